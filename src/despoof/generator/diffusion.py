"""Noise schedule and sampler: x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε, and from step t back to 0.

Everything is diffusers' `DDIMScheduler` with the β of Stable Diffusion 1.5. DDIM and not the release's PNDM:
cutting PNDM's grid drops its warm-up call, and the denoiser is then told a step that is off by one notch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from despoof.errors import ConfigError
from despoof.generator.config import DiffusionConfig

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

Denoise = Callable[[torch.Tensor, int], torch.Tensor]


def build_schedule(config: DiffusionConfig) -> "DDIMScheduler":
    """Return the schedule; its grid of steps is set."""
    from diffusers import DDIMScheduler

    schedule = DDIMScheduler(
        num_train_timesteps=config.train_steps,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule="scaled_linear",
        prediction_type=config.prediction,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    schedule.set_timesteps(config.grid)
    return schedule


def cut_steps(schedule: "DDIMScheduler", start_step: int) -> list[int]:
    """Return the grid's steps from `start_step` down, as the release does (its 50 steps from 801 leave 41)."""
    steps = [int(step) for step in schedule.timesteps]
    if start_step not in steps:
        raise ConfigError(f"start_step {start_step} is not on the grid {steps}. Choose one of these.")
    return steps[steps.index(start_step) :]


def add_noise(
    schedule: "DDIMScheduler", latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor
) -> torch.Tensor:
    """Return x_t for latents x_0 (N, C, H, W), noise of that shape and steps (N,)."""
    return schedule.add_noise(latents, noise, steps)


def target(schedule: "DDIMScheduler", latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Return what the denoiser learns: ε, or v = sqrt(ᾱ) ε - sqrt(1 - ᾱ) x_0 (Salimans & Ho 2022)."""
    if schedule.config.prediction_type == "epsilon":
        return noise
    return schedule.get_velocity(latents, noise, steps)


def sample(schedule: "DDIMScheduler", noised: torch.Tensor, start_step: int, denoise: Denoise) -> torch.Tensor:
    """Return x_0 from x_t by deterministic DDIM (η = 0) over the cut grid."""
    x = noised
    for step in cut_steps(schedule, start_step):
        x = schedule.step(denoise(x, step), step, x).prev_sample
    return x
