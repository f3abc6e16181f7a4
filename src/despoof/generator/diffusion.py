"""Latent diffusion: a face is encoded, noised to t, denoised under its identity; many calls, one or a flow."""

import math

import torch

from despoof.errors import ConfigError
from despoof.generator.config import GeneratorConfig
from despoof.generator.generator import Generator, Lap
from despoof.generator.identity import Identity, condition_tokens
from despoof.generator.parts import Parts, build_parts
from despoof.generator.schedule import add_noise, build_schedule, clean_from, content_noise, sample, target


class LatentDiffusion(Generator):
    """Latent diffusion DFG (AG-FAS). Use `counterpart`; the four steps are public for study and timing."""

    def __init__(self, config: GeneratorConfig, parts: Parts | None = None) -> None:
        super().__init__(config)
        parts = parts or build_parts(config)
        self.autoencoder, self.identity, self.denoiser = parts.autoencoder, parts.identity, parts.denoiser
        self.schedule = build_schedule(config.diffusion)

    def make(self, face: torch.Tensor, start: int, salt: int, lap: Lap) -> torch.Tensor:
        """Run the four steps."""
        identity = self.identity(face)
        lap("identity")
        noised = self.noised(self.autoencoder.encode(face), face, start, salt)
        lap("encode")
        clean = self.denoised(noised, identity, start)
        lap("denoise")
        made = self.autoencoder.decode(clean)
        lap("decode")
        return made

    def start_of(self, start_step: int | None) -> int:
        """Return the wish, or the config's t; whether it is on the grid is seen when sampling."""
        return self.config.diffusion.start_step if start_step is None else start_step

    def noised(self, latents: torch.Tensor, face: torch.Tensor, start: int, salt: int = 0) -> torch.Tensor:
        """Return latents at step `start` with noise that belongs to each face."""
        noise = torch.stack([content_noise(one, latents.shape[1:], salt) for one in face]).to(latents)
        steps = torch.full((len(face),), start, device=latents.device)
        return self.add_noise(latents, noise, steps)

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return latents (N, C, H, W) at steps (N,)."""
        return add_noise(self.schedule, latents, noise, steps)

    def target(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return what the denoiser learns to predict from noised latents."""
        return target(self.schedule, latents, noise, steps)

    def denoised(self, noised: torch.Tensor, identity: Identity, start: int) -> torch.Tensor:
        """Return clean latents."""
        tokens = condition_tokens(identity, self.config.condition).to(noised)

        def denoise(x: torch.Tensor, step: int) -> torch.Tensor:
            return self.denoiser(x, step, encoder_hidden_states=tokens).sample

        return sample(self.schedule, noised, start, denoise)


class OneStep(LatentDiffusion):
    """Distilled from a `LatentDiffusion` of the same shape by `train_student`; knows one t only."""

    def start_of(self, start_step: int | None) -> int:
        """Return the config's t; any other is refused, since the student never saw it."""
        own = self.config.diffusion.start_step
        if start_step not in (None, own):
            raise ConfigError(
                f"start_step {start_step}: this one-step generator was distilled at {own} only. "
                "Leave start_step out, or train another student."
            )
        return own

    def denoised(self, noised: torch.Tensor, identity: Identity, start: int) -> torch.Tensor:
        """Return clean latents."""
        tokens = condition_tokens(identity, self.config.condition).to(noised)
        return self.clean_of(noised, self.denoiser(noised, start, encoder_hidden_states=tokens).sample)

    def clean_of(self, noised: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        """Return the clean latents that a prediction stands for."""
        return clean_from(self.schedule, noised, prediction, self.config.diffusion.start_step)


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

    def denoised(self, noised: torch.Tensor, identity: Identity, start: int) -> torch.Tensor:
        """Return clean latents."""
        tokens = condition_tokens(identity, self.config.condition).to(noised)
        whole = self.config.diffusion.train_steps
        calls = math.ceil(self.config.diffusion.grid * start / whole)
        x = noised
        for call in range(calls):
            step = start * (1 - call / calls)
            x = x - start / calls / whole * self.denoiser(x, step, encoder_hidden_states=tokens).sample
        return x
