"""The networks that a config chooses: autoencoder, identity encoder, denoiser."""

from typing import NamedTuple

from torch import nn

from despoof.generator.autoencoders import Autoencoder, StableAutoencoder
from despoof.generator.config import AutoencoderConfig, GeneratorConfig, IdentityConfig
from despoof.generator.denoiser import build_denoiser
from despoof.generator.identity import IdentityEncoder, IResNet, OnnxIdentity

ENCODERS: dict[str, type[nn.Module]] = {"ours": IdentityEncoder, "iresnet": IResNet, "onnx": OnnxIdentity}


class Parts(NamedTuple):
    """What latent diffusion is made of."""

    autoencoder: nn.Module
    identity: nn.Module
    denoiser: nn.Module


def build_parts(config: GeneratorConfig) -> Parts:
    """Return untrained parts, made in this order, on which seeded weights depend."""
    return Parts(build_autoencoder(config.autoencoder), build_identity(config.identity), build_denoiser(config))


def build_autoencoder(config: AutoencoderConfig) -> nn.Module:
    """Return an untrained autoencoder: ours, or Stable Diffusion's where the config holds one."""
    return Autoencoder(config) if config.stable is None else StableAutoencoder(config)


def build_identity(config: IdentityConfig) -> nn.Module:
    """Return an untrained identity encoder."""
    return ENCODERS[config.encoder](config)
