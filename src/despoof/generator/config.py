"""Configs and presets of the generator and of the training of its parts."""

from dataclasses import dataclass, field
from typing import Literal

from despoof.errors import ConfigError
from despoof.runs.config import HOW

Posterior = Literal["sample", "mode"]
Scheduler = Literal["ddim", "pndm"]
Precision = Literal["no", "fp16", "bf16"]
Noise = Literal["content", "pair"]


@dataclass(frozen=True)
class StableConfig:
    """The autoencoder of Stable Diffusion 1.5, which the paper's release takes over; diffusers' `AutoencoderKL`."""

    channels: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    groups: int = 32
    scaling: float = 0.18215  # brings latents to about unit deviation
    posterior: Posterior = "sample"  # the release samples; the mode is repeatable without a seed


@dataclass(frozen=True)
class AutoencoderConfig:
    """Pixels <-> latents at an eighth of the side."""

    latent_channels: int = 8
    width: int = 64  # channels at a quarter of the side; twice as many at an eighth
    blocks: int = 2  # residual blocks per level
    stable: StableConfig | None = None  # in place of ours; width and blocks are then not read


@dataclass(frozen=True)
class IdentityConfig:
    """The ArcFace-style encoder: 112 px -> a 7 x 7 map of tokens and an embedding.

    `iresnet` is ArcFace's own network: widths and blocks have four entries, at 56, 28, 14 and 7 px. `onnx` is
    any checkpoint of that format, which gives an embedding only.
    """

    widths: tuple[int, ...] = (48, 96, 128)  # at 28, 14 and 7 px
    blocks: tuple[int, ...] = (1, 2, 2)
    embedding: int = 128  # the teacher's size
    encoder: str = "ours"  # a key of identity.ENCODERS
    pad_to: int | None = None  # width to which the tokens of an iresnet are filled with zeros
    onnx_bytes: int = 0  # length of the ONNX file, which becomes part of the artefact
    pixels: Literal["half", "imagenet"] = "half"  # what an ONNX file takes: [-1, 1] or ImageNet units


@dataclass(frozen=True)
class BottleneckConfig:
    """An autoencoder whose whole face is one short code."""

    code: int = 128
    width: int = 32  # channels at a quarter of the side; they double down to 4 px, up to 8 times


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the diffusers `UNet2DConditionModel`."""

    channels: tuple[int, ...] = (64, 96, 128)
    layers: int = 1
    groups: int = 16  # of the group norms; divides every width
    plain_level: Literal["first", "last"] = "first"  # the level without attention: ours, Stable Diffusion's
    heads: int | None = None  # on every level; None: heads of dimension 32


@dataclass(frozen=True)
class DiffusionConfig:
    """Noise schedule and sampling. β as in Stable Diffusion 1.5, which the paper's release reuses."""

    train_steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    grid: int = 10  # sampling steps over the whole schedule; the cut at start_step leaves fewer
    start_step: int = 501  # t to which a face is noised; on the grid 1, 1 + train_steps/grid, ...
    scheduler: Scheduler = "ddim"  # pndm: as the release does, see schedule.py
    # content: one draw, seeded by the face. pair: one noise for all faces and its negative, and the mean of what is
    # made of both, where most of what the draw did cancels. Files of before this choice have none and mean content.
    noise: Noise = "content"


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that shapes a counterpart. Of the kinds, only those of diffusion read every part."""

    face_size: int = 128
    condition: Literal["map", "embedding", "none"] = "map"
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    kind: str = "diffusion"  # a key of registry.GENERATORS
    bottleneck: BottleneckConfig | None = None  # of the kind `bottleneck` only


@dataclass(frozen=True)
class Training:
    """How one network is trained: AdamW, the rate rising over `warmup` steps and falling as a cosine to zero."""

    steps: int
    batch: int = 32  # faces of one step, over all processes and parts
    rate: float = 1e-3
    warmup: int = 100  # steps
    decay: float = 1e-2  # of the weights; all values of AdamW here are ours, tried on a few hundred steps
    gradient_limit: float = 1.0  # largest norm
    average: float = 0.0  # decay of the running mean of the weights (EMA), which is what is kept; 0: the last ones
    seed: int = 0
    precision: Precision = "bf16"
    accumulation: int = 1  # parts into which each process cuts its share of a batch
    save_every: int = 250
    log_every: int = 50


NO_LIMIT = 1e9  # of the gradient's norm


@dataclass(frozen=True)
class AutoencoderTraining(Training):
    """Of the autoencoder, and of the kinds that encode and decode only."""

    steps: int = 2700
    decay: float = 1e-3
    gradient_limit: float = NO_LIMIT
    latent_noise: float = 0.05  # of a latent's deviation; keeps the decoder smooth between latents


@dataclass(frozen=True)
class IdentityTraining(Training):
    """Of the identity encoder."""

    steps: int = 2600
    batch: int = 64
    rate: float = 2e-3
    decay: float = 5e-2
    gradient_limit: float = NO_LIMIT


@dataclass(frozen=True)
class DenoiserTraining(Training):
    """Of the kinds with a denoiser."""

    steps: int = 6000
    rate: float = 8e-4
    warmup: int = 200
    average: float = 0.999
    condition_dropout: float = 0.05  # share of faces trained without identity
    snr_limit: float = 5.0  # min-SNR weighting (Hang et al. 2023, their gamma); 0: every t weighs the same
    recompute: bool = False  # activations in the backward pass, to save memory
    fsdp: bool = field(default=False, metadata=HOW)  # each process keeps its part of the network, not all of it


@dataclass(frozen=True)
class StudentTraining(Training):
    """Of the one-step student."""

    steps: int = 4000
    rate: float = 3e-4
    average: float = 0.999
    target: Literal["teacher", "face"] = "teacher"  # the teacher's latents, or the face's own under fresh noise
    noises: int = 1  # of each face and each mirrored face, where the teacher is the target; each is one of its runs
    pixel_weight: float = 0.0  # of the mean absolute error of decoded pixels, beside that of latents
    identity_weight: float = 0.0  # of one minus the identity cosine of decoded faces, by the frozen encoder
    changed: float = 0.0  # share of a batch that is changed in one place and learns the unchanged face; target face
    changes: int = 2  # of each face and each mirrored face, made once
    start_step: int | None = None  # t that the student shall know; the teacher's own if None
    noise: Noise | None = None  # of the student's counterparts; the teacher's own if None. Training draws its own
    fsdp: bool = field(default=False, metadata=HOW)  # as of `DenoiserTraining`

    def __post_init__(self) -> None:
        if self.changed and self.target != "face":
            raise ConfigError(f"changed is {self.changed} with target {self.target!r}; expected 0. Take target 'face'.")


SMALL = GeneratorConfig(diffusion=DiffusionConfig(noise="pair"))
BASE = GeneratorConfig(  # 51 M parameters, of which the denoiser has 43 M
    autoencoder=AutoencoderConfig(width=96),
    identity=IdentityConfig(widths=(64, 128, 256)),
    network=NetworkConfig(channels=(128, 256, 384), groups=32),
    diffusion=DiffusionConfig(noise="pair"),
)
TINY = GeneratorConfig(  # for tests: random weights, a second to run
    face_size=64,
    autoencoder=AutoencoderConfig(latent_channels=4, width=8, blocks=1),
    identity=IdentityConfig(widths=(8, 8, 8), blocks=(0, 0, 0), embedding=8),
    network=NetworkConfig(channels=(8, 16), groups=4),
)
PAPER = GeneratorConfig(  # as released: AG-FAS, docs/generator.md; 860 M + 84 M + 24 M parameters
    face_size=256,
    autoencoder=AutoencoderConfig(latent_channels=4, stable=StableConfig()),
    identity=IdentityConfig((64, 128, 256, 512), (2, 2, 2, 2), 512, encoder="iresnet", pad_to=768),
    network=NetworkConfig((320, 640, 1280, 1280), layers=2, groups=32, plain_level="last", heads=8),
    diffusion=DiffusionConfig(prediction="epsilon", grid=50, start_step=801, scheduler="pndm"),
)
PRESETS = {"small": SMALL, "base": BASE, "tiny": TINY, "paper": PAPER}


@dataclass(frozen=True)
class AutoencoderRecipe:
    """What `despoof train autoencoder` takes."""

    generator: GeneratorConfig = SMALL
    training: AutoencoderTraining = AutoencoderTraining()


@dataclass(frozen=True)
class IdentityRecipe:
    """What `despoof train identity` takes."""

    generator: GeneratorConfig = SMALL
    training: IdentityTraining = IdentityTraining()


@dataclass(frozen=True)
class GeneratorRecipe:
    """What `despoof train generator` takes; the kind says which of the two trainings is its own."""

    generator: GeneratorConfig = SMALL
    training: DenoiserTraining = DenoiserTraining()
    copying: AutoencoderTraining = AutoencoderTraining()  # of kinds that encode and decode only


@dataclass(frozen=True)
class StudentRecipe:
    """What `despoof train student` takes; the shape is the teacher's."""

    training: StudentTraining = StudentTraining()


AUTOENCODER_RECIPES = {name: AutoencoderRecipe(PRESETS[name]) for name in ("small", "base", "tiny")}
IDENTITY_RECIPES = {name: IdentityRecipe(PRESETS[name]) for name in ("small", "base", "tiny")}
STUDENT_RECIPES = {"small": StudentRecipe()}
# 150,000 steps with EMA: the released checkpoint's name. No dropout: its script knows no token for "no identity".
# Batch 64, rate 1e-5: an unofficial re-implementation's, unverified. Everything else is not published; ours.
PAPER_TRAINING = DenoiserTraining(
    steps=150_000, save_every=1000, log_every=100, batch=64, rate=1e-5, average=0.9999, condition_dropout=0.0,
    snr_limit=0.0, accumulation=4, recompute=True, fsdp=True,
)  # fmt: skip
# of an accelerator: 23,500 steps of 128 are 3 M faces
BASE_TRAINING = DenoiserTraining(steps=23_500, batch=128, rate=4e-4, warmup=1000, average=0.9995)
GENERATOR_RECIPES = {
    "small": GeneratorRecipe(), "base": GeneratorRecipe(BASE, BASE_TRAINING), "tiny": GeneratorRecipe(TINY),
    "paper": GeneratorRecipe(PAPER, PAPER_TRAINING),
}  # fmt: skip
