"""Configs and presets of the generator."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class AutoencoderConfig:
    """Pixels <-> latents at an eighth of the side."""

    latent_channels: int = 8
    width: int = 64  # channels at a quarter of the side; twice as many at an eighth
    blocks: int = 2  # residual blocks per level


@dataclass(frozen=True)
class IdentityConfig:
    """The ArcFace-style encoder: 112 px -> a 7 x 7 map of tokens and an embedding."""

    widths: tuple[int, ...] = (48, 96, 128)  # at 28, 14 and 7 px
    blocks: tuple[int, ...] = (1, 2, 2)
    embedding: int = 128  # the teacher's size


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the diffusers `UNet2DConditionModel`."""

    channels: tuple[int, ...] = (64, 96, 128)
    layers: int = 1
    groups: int = 16  # of the group norms; divides every width


@dataclass(frozen=True)
class DiffusionConfig:
    """Noise schedule and sampling. β as in Stable Diffusion 1.5, which the paper's release reuses."""

    train_steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    grid: int = 10  # sampling steps over the whole schedule; the cut at start_step leaves fewer
    start_step: int = 501  # t to which a face is noised; on the grid 1, 1 + train_steps/grid, ...


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that shapes a counterpart."""

    face_size: int = 128
    condition: Literal["map", "embedding", "none"] = "map"
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)


SMALL = GeneratorConfig()
TINY = GeneratorConfig(  # for tests: random weights, a second to run
    face_size=64,
    autoencoder=AutoencoderConfig(latent_channels=4, width=8, blocks=1),
    identity=IdentityConfig(widths=(8, 8, 8), blocks=(0, 0, 0), embedding=8),
    network=NetworkConfig(channels=(8, 16), groups=4),
)
PRESETS = {"small": SMALL, "tiny": TINY}
