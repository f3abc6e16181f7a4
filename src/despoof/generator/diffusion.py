"""Latent diffusion: a face is encoded, noised to t, denoised under its identity; many calls, one or a flow."""

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from despoof.errors import ConfigError
from despoof.generator.autoencoders import build_autoencoder
from despoof.generator.config import GeneratorConfig
from despoof.generator.generator import Generator, Lap
from despoof.generator.identity import FaceIdentity, build_identity, condition_tokens, condition_width
from despoof.generator.schedule import build_schedule, content_noise, sample

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


class Parts(NamedTuple):
    """What latent diffusion is made of."""

    autoencoder: nn.Module
    identity: nn.Module
    denoiser: nn.Module


def build_parts(config: GeneratorConfig) -> Parts:
    """Return untrained parts, made in this order, on which seeded weights depend."""
    return Parts(build_autoencoder(config.autoencoder), build_identity(config.identity), build_denoiser(config))


def build_denoiser(config: GeneratorConfig) -> "UNet2DConditionModel":
    """Return an untrained `UNet2DConditionModel` with cross-attention at every level but one.

    Noised latents (N, C, H, W), step (N,), tokens (N, K, D) -> prediction (N, C, H, W).
    """
    from diffusers import UNet2DConditionModel

    channels, down, up = config.network.channels, *_blocks(config)
    return UNet2DConditionModel(
        sample_size=config.face_size // 8,
        in_channels=config.autoencoder.latent_channels,
        out_channels=config.autoencoder.latent_channels,
        block_out_channels=channels,
        layers_per_block=config.network.layers,
        norm_num_groups=config.network.groups,
        cross_attention_dim=condition_width(config.identity, config.condition),
        down_block_types=down,
        up_block_types=up,
        # diffusers means the number of heads by this name
        attention_head_dim=config.network.heads or tuple(max(1, width // 32) for width in channels),
    )


def _blocks(config: GeneratorConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    attending = len(config.network.channels) - 1
    down, up = ("CrossAttnDownBlock2D",) * attending, ("CrossAttnUpBlock2D",) * attending
    if config.network.plain_level == "first":
        return ("DownBlock2D", *down), (*up, "UpBlock2D")
    return (*down, "DownBlock2D"), ("UpBlock2D", *up)


class LatentDiffusion(Generator):
    """Latent diffusion DFG (AG-FAS). Use `counterpart`; the four steps are public for study and timing."""

    trainer = "despoof.generator.training.diffusion:train_denoiser"

    def __init__(self, config: GeneratorConfig, parts: Parts | None = None) -> None:
        super().__init__(config)
        parts = parts or build_parts(config)
        self.autoencoder, self.identity, self.denoiser = parts.autoencoder, parts.identity, parts.denoiser
        self.schedule = build_schedule(config.diffusion)

    def make(self, face: torch.Tensor, start: int, salt: int, lap: Lap) -> torch.Tensor:
        """Run the four steps."""
        identity = self.identity(face)
        lap("identity")
        latents = self.autoencoder.encode(face)
        noise = self.noise(face, latents.shape[1:], salt).to(latents)
        lap("encode")
        clean = self.cleaned(latents, noise, identity, start)
        lap("denoise")
        made = self.autoencoder.decode(clean)
        lap("decode")
        return made

    def start_of(self, start_step: int | None) -> int:
        """Return the start step asked for, or the config's; `denoised` refuses one that is not on the grid."""
        return self.config.diffusion.start_step if start_step is None else start_step

    def noise(self, face: torch.Tensor, shape: torch.Size, salt: int = 0) -> torch.Tensor:
        """Return the noise of faces (N, 3, S, S), each of a shape (C, H, W), as the config says."""
        if self.config.diffusion.noise == "pair":  # one for all faces: that of a single grey pixel
            return content_noise(torch.zeros(1), shape, salt).expand(len(face), *shape)
        return torch.stack([content_noise(one, shape, salt) for one in face])

    @property
    def signs(self) -> tuple[int, ...]:
        """The signs that a face's noise is taken with: of a pair, both."""
        return (1, -1) if self.config.diffusion.noise == "pair" else (1,)

    def cleaned(self, latents: torch.Tensor, noise: torch.Tensor, identity: FaceIdentity, start: int) -> torch.Tensor:
        """Return latents (N, C, H, W), noised to step `start` and denoised; of a pair, the mean of both."""
        steps = torch.full((latents.shape[0],), start, device=latents.device)  # len() would fix an exported batch
        made = [self.denoised(self.add_noise(latents, sign * noise, steps), identity, start) for sign in self.signs]
        return torch.stack(made).mean(0)

    def noised(self, latents: torch.Tensor, face: torch.Tensor, start: int, salt: int = 0) -> torch.Tensor:
        """Return latents at step `start` with noise that belongs to each face, whatever the config says.

        For learning: who learns under one noise for all faces learns to take away this noise and nothing else.
        """
        noise = torch.stack([content_noise(one, latents.shape[1:], salt) for one in face]).to(latents)
        steps = torch.full((len(face),), start, device=latents.device)
        return self.add_noise(latents, noise, steps)

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return latents (N, C, H, W) at steps (N,)."""
        return self.schedule.add_noise(latents, noise, steps)

    def target(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return what the denoiser learns: ε, or v = sqrt(ᾱ) ε - sqrt(1 - ᾱ) x_0 (Salimans & Ho 2022).

        Written out, here and in `OneStep`, since diffusers' PNDM has neither `get_velocity` nor a predicted x_0.
        """
        if self.config.diffusion.prediction == "epsilon":
            return noise
        alpha = self.schedule.alphas_cumprod.to(latents)[steps][:, None, None, None]
        return alpha**0.5 * noise - (1 - alpha) ** 0.5 * latents

    def weights(self, steps: torch.Tensor, limit: float) -> torch.Tensor:
        """Return what the squared error of the prediction at steps (N,) weighs: min-SNR (arXiv 2303.09556), or ones.

        Predictions of all kinds then weigh alike: as min(SNR, limit) times the error of clean latents.
        """
        alpha = self.schedule.alphas_cumprod.to(steps.device)[steps]
        if not limit:
            return torch.ones_like(alpha)
        ratio = alpha / (1 - alpha)
        own = ratio if self.config.diffusion.prediction == "epsilon" else ratio + 1
        return ratio.clamp(max=limit) / own

    def denoised(self, noised: torch.Tensor, identity: FaceIdentity, start: int) -> torch.Tensor:
        """Return clean latents."""
        tokens = condition_tokens(identity, self.config.condition).to(noised)

        def denoise(x: torch.Tensor, step: int) -> torch.Tensor:
            return self.denoiser(x, step, encoder_hidden_states=tokens).sample

        return sample(self.schedule, noised, start, denoise)


class OneStep(LatentDiffusion):
    """Distilled from a `LatentDiffusion` of the same shape by `train_student`; knows one t only."""

    trainer = ""

    def start_of(self, start_step: int | None) -> int:
        """Return the config's t; any other is refused, since the student never saw it."""
        own = self.config.diffusion.start_step
        if start_step not in (None, own):
            raise ConfigError(
                f"start_step {start_step}: this one-step generator was distilled at {own} only. "
                "Leave start_step out, or train another student."
            )
        return own

    def denoised(self, noised: torch.Tensor, identity: FaceIdentity, start: int) -> torch.Tensor:
        """Return clean latents."""
        tokens = condition_tokens(identity, self.config.condition).to(noised)
        return self.clean_of(noised, self.denoiser(noised, start, encoder_hidden_states=tokens).sample)

    def clean_of(self, noised: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        """Return the clean latents that a prediction at the own t stands for: `target`, solved for x_0."""
        alpha = self.schedule.alphas_cumprod[self.config.diffusion.start_step].to(noised)
        if self.config.diffusion.prediction == "epsilon":
            return (noised - (1 - alpha).sqrt() * prediction) / alpha.sqrt()
        return alpha.sqrt() * noised - (1 - alpha).sqrt() * prediction


class Flow(LatentDiffusion):
    """A `LatentDiffusion` with another path of noise; `grid` Euler steps cover the whole of it."""

    def start_of(self, start_step: int | None) -> int:
        """Return t in 1..train_steps; the path is continuous, so there is no grid to be on."""
        start, most = super().start_of(start_step), self.config.diffusion.train_steps
        if not 1 <= start <= most:
            raise ConfigError(f"start_step {start}; expected 1..{most}. Choose one within.")
        return start

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return the point of the line at steps (N,)."""
        s = (steps.to(latents) / self.config.diffusion.train_steps)[:, None, None, None]
        return (1 - s) * latents + s * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return the line's direction."""
        return noise - latents

    def weights(self, steps: torch.Tensor, limit: float) -> torch.Tensor:
        """Return ones: min-SNR is defined for diffusion's path of noise."""
        return torch.ones(len(steps), device=steps.device)

    def denoised(self, noised: torch.Tensor, identity: FaceIdentity, start: int) -> torch.Tensor:
        """Return clean latents."""
        tokens = condition_tokens(identity, self.config.condition).to(noised)
        whole = self.config.diffusion.train_steps
        calls = math.ceil(self.config.diffusion.grid * start / whole)
        x = noised
        for call in range(calls):
            step = start * (1 - call / calls)
            x = x - start / calls / whole * self.denoiser(x, step, encoder_hidden_states=tokens).sample
        return x
