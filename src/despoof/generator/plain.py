"""The plain autoencoder as a generator: no noise, no identity; what it cannot copy is the cue.

The bottleneck autoencoder: a whole face through one short code, so that only what many faces share comes back.
"""

import math

import torch
from torch import nn

from despoof.errors import ConfigError
from despoof.generator.autoencoders import Block
from despoof.generator.config import BottleneckConfig, GeneratorConfig
from despoof.generator.generator import Generator, Lap
from despoof.generator.parts import build_autoencoder


class PlainAutoencoder(Generator):
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


class Bottleneck(PlainAutoencoder):
    """A `PlainAutoencoder` around a `CodeAutoencoder`."""

    @staticmethod
    def network(config: GeneratorConfig) -> nn.Module:
        """Return what encodes and decodes."""
        return CodeAutoencoder(config)


class CodeAutoencoder(nn.Module):
    """(N, 3, S, S) <-> code (N, C, 1, 1). The parts have the names of `Autoencoder`, whose trainer trains it."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        own = config.bottleneck or BottleneckConfig()
        halvings = round(math.log2(config.face_size / 16))  # from a quarter of the side to 4 px
        widths = [own.width * 2 ** min(level, 3) for level in range(halvings + 1)]
        pairs = list(zip(widths, widths[1:], strict=False))
        down = [layer for a, b in pairs for layer in (Block(a), nn.Conv2d(a, b, 4, 2, 1))]
        up = [
            layer for a, b in reversed(pairs) for layer in (nn.Conv2d(b, 4 * a, 3, 1, 1), nn.PixelShuffle(2), Block(a))
        ]
        side, last = config.face_size // 4 >> halvings, widths[-1]
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(48, widths[0], 3, 1, 1), *down, nn.SiLU(), nn.Conv2d(last, own.code, side)
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(own.code, last, side), Block(last), *up, nn.SiLU(), nn.Conv2d(widths[0], 48, 3, 1, 1),
            nn.PixelShuffle(4),
        )  # fmt: skip

    def encode(self, face: torch.Tensor) -> torch.Tensor:
        """Return codes (N, C, 1, 1)."""
        return self.encoder(face)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return a face (N, 3, S, S), not clamped."""
        return self.decoder(latents)
