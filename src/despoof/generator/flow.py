"""Flow matching (Lipman et al. 2023): the straight line from latents to noise, walked back by Euler steps.

x_s = (1 - s) x_0 + s ε with s = t / train_steps; the same network learns ε - x_0, which is dx/ds on that line.
"""

import math

import torch

from despoof.errors import ConfigError
from despoof.generator.identity import Identity, condition_tokens
from despoof.generator.latent_diffusion import Generator


class Flow(Generator):
    """A `Generator` with another path of noise; `grid` Euler steps cover the whole of it."""

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
