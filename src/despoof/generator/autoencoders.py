"""Pixels <-> latents, (N, 3, S, S) in [-1, 1] <-> (N, C, S/8, S/8) of about unit variance; and kinds of that alone."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from despoof.errors import ConfigError
from despoof.generator.config import AutoencoderConfig, BottleneckConfig, GeneratorConfig, StableConfig
from despoof.generator.generator import Generator, Lap
from despoof.generator.schedule import content_noise


class Block(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class Autoencoder(nn.Module):
    """Encoder, decoder and the latents' measured mean and deviation.

    Our own and not a diffusers class, because those run convolutions at full resolution, which at 128 px makes
    them several times slower than the denoiser they serve. Here pixels are folded four by four first.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        c, w = config.latent_channels, config.width
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),  # (48, S/4, S/4)
            nn.Conv2d(48, w, 3, padding=1),
            *(Block(w) for _ in range(config.blocks)),
            nn.Conv2d(w, 2 * w, 4, stride=2, padding=1),  # (2w, S/8, S/8)
            *(Block(2 * w) for _ in range(config.blocks)),
            nn.SiLU(),
            nn.Conv2d(2 * w, c, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(c, 2 * w, 3, padding=1),
            *(Block(2 * w) for _ in range(config.blocks)),
            nn.Conv2d(2 * w, 4 * w, 3, padding=1),
            nn.PixelShuffle(2),  # (w, S/4, S/4)
            *(Block(w) for _ in range(config.blocks)),
            nn.SiLU(),
            nn.Conv2d(w, 2 * w, 3, padding=1),
            nn.PixelShuffle(2),  # (w/2, S/2, S/2)
            nn.SiLU(),
            nn.Conv2d(w // 2, 12, 3, padding=1),
            nn.PixelShuffle(2),  # (3, S, S)
        )
        self.register_buffer("mean", torch.zeros(c))
        self.register_buffer("deviation", torch.ones(c))

    def encode(self, face: torch.Tensor) -> torch.Tensor:
        """Return standardised latents (N, C, S/8, S/8)."""
        raw = self.encoder(face)
        return (raw - self.mean[:, None, None]) / self.deviation[:, None, None]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return a face (N, 3, S, S), not clamped."""
        return self.decoder(latents * self.deviation[:, None, None] + self.mean[:, None, None])

    def standardise(self, latents: torch.Tensor) -> None:
        """Store the mean and deviation per channel of raw latents (N, C, H, W)."""
        self.mean.copy_(latents.mean((0, 2, 3)))
        self.deviation.copy_(latents.std((0, 2, 3)))


POSTERIOR_SALT = 0x5D15  # keeps the posterior's draw apart from the noise to t, which has salts 0, 1, ...


class StableAutoencoder(nn.Module):
    """(N, 3, S, S) in [-1, 1] <-> (N, 4, S/8, S/8) by diffusers' `AutoencoderKL`."""

    def __init__(self, config: AutoencoderConfig) -> None:
        from diffusers import AutoencoderKL

        super().__init__()
        stable = self.stable = config.stable or StableConfig()
        levels = len(stable.channels)
        self.kl = AutoencoderKL(
            latent_channels=config.latent_channels,
            block_out_channels=stable.channels,
            layers_per_block=stable.layers,
            norm_num_groups=stable.groups,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            scaling_factor=stable.scaling,
        )

    def encode(self, face: torch.Tensor) -> torch.Tensor:
        """Return scaled latents: the posterior's mode, or a sample whose noise belongs to each face.

        The release samples from the global state, so its counterparts cannot be repeated.
        """
        posterior = self.kl.encode(face).latent_dist
        latents = posterior.mode()
        if self.stable.posterior == "sample":
            noise = torch.stack([content_noise(one, latents.shape[1:], POSTERIOR_SALT) for one in face])
            latents = latents + posterior.std * noise.to(latents)
        return latents * self.stable.scaling

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return a face (N, 3, S, S), not clamped."""
        return self.kl.decode(latents / self.stable.scaling).sample


def build_autoencoder(config: AutoencoderConfig) -> nn.Module:
    """Return an untrained autoencoder: ours, or Stable Diffusion's where the config holds one."""
    return Autoencoder(config) if config.stable is None else StableAutoencoder(config)


class PlainAutoencoder(Generator):
    """Encode and decode, no noise, no identity: what it cannot copy is the cue.

    The weakest rival: a good autoencoder copies an attack as well as a real face.
    """

    trainer = "despoof.generator.training.autoencoder:train_copying"

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
    """A `PlainAutoencoder` around a `CodeAutoencoder`: only what many faces share comes back."""

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
