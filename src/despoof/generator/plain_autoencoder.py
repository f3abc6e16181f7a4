"""The plain autoencoder as a generator: no noise, no identity; what it cannot copy is the cue."""

import torch
from torch import nn

from despoof.errors import ConfigError
from despoof.generator.config import GeneratorConfig
from despoof.generator.kind import Kind, Lap
from despoof.generator.parts import build_autoencoder


class PlainAutoencoder(Kind):
    """Encode and decode. The weakest rival: a good autoencoder copies an attack as well as a real face."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.autoencoder = self.network(config)

    @staticmethod
    def network(config: GeneratorConfig) -> nn.Module:
        """Return what encodes and decodes."""
        return build_autoencoder(config.autoencoder)

    def make(self, face: torch.Tensor, start: int, salt: int, lap: Lap) -> torch.Tensor:
        """Encode and decode."""
        latents = self.autoencoder.encode(face)
        lap("encode")
        made = self.autoencoder.decode(latents)
        lap("decode")
        return made

    def start_of(self, start_step: int | None) -> int:
        """Return 0: nothing is noised."""
        if start_step:
            raise ConfigError(f"start_step {start_step}: kind {self.config.kind!r} adds no noise. Leave it out.")
        return 0
