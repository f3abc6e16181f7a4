"""The one-step student: latents noised to t -> clean latents in a single call of the denoiser."""

import torch

from despoof.errors import ConfigError
from despoof.generator.diffusion import clean_from
from despoof.generator.identity import Identity, condition_tokens
from despoof.generator.latent_diffusion import Generator


class OneStep(Generator):
    """Distilled from a `Generator` of the same shape by `train_student`; knows one t only."""

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
