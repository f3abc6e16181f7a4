"""Configs and presets of the generator."""

from dataclasses import dataclass, field
from typing import Literal

Posterior = Literal["sample", "mode"]


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
    encoder: Literal["ours", "iresnet", "onnx"] = "ours"
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
    scheduler: Literal["ddim", "pndm"] = "ddim"  # pndm: as the release does, warts included


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that shapes a counterpart. Of the kinds, only those of diffusion read every part."""

    face_size: int = 128
    condition: Literal["map", "embedding", "none"] = "map"
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    kind: Literal["diffusion", "one_step", "flow", "autoencoder", "bottleneck"] = "diffusion"
    bottleneck: BottleneckConfig | None = None  # of the kind `bottleneck` only


SMALL = GeneratorConfig()
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
PRESETS = {"small": SMALL, "tiny": TINY, "paper": PAPER}
