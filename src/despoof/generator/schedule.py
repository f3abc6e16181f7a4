"""Noise schedule and sampler: x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε, and from step t back to 0.

Schedules are diffusers', with the β of Stable Diffusion 1.5. DDIM is the sound choice. PNDM is the release's:
cutting its grid drops the warm-up call, so from the third call on the denoiser is told a step one notch below the
one its latents are at; the choice exists to repeat the release.
"""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from despoof.errors import ConfigError
from despoof.generator.config import DiffusionConfig
from despoof.runs import seed

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, PNDMScheduler

    Schedule = DDIMScheduler | PNDMScheduler

Denoise = Callable[[torch.Tensor, int], torch.Tensor]


def build_schedule(config: DiffusionConfig) -> "Schedule":
    """Return the schedule; its grid of steps is set."""
    from diffusers import DDIMScheduler, PNDMScheduler

    kind: type = DDIMScheduler
    own = {"clip_sample": False}
    if config.scheduler == "pndm":
        kind, own = PNDMScheduler, {"skip_prk_steps": True}
    schedule = kind(
        num_train_timesteps=config.train_steps,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule="scaled_linear",
        prediction_type=config.prediction,
        set_alpha_to_one=False,
        steps_offset=1,
        **own,
    )
    schedule.set_timesteps(config.grid)
    return schedule


def cut_steps(schedule: "Schedule", start_step: int) -> list[int]:
    """Return the grid's steps from `start_step` down, as the release does (its 50 steps from 801 leave 41)."""
    steps = [int(step) for step in schedule.timesteps]
    if start_step not in steps:
        raise ConfigError(f"start_step {start_step} is not on the grid {steps}. Choose one of these.")
    return [step for step in steps if step <= start_step]


def content_noise(face: torch.Tensor, shape: torch.Size, salt: int) -> torch.Tensor:
    """Return standard normal noise seeded by a face's pixels, rounded to 8 bits, and a salt."""
    pixels = ((face.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return torch.from_numpy(seed.content_noise(pixels.numpy(), shape, salt))


def sample(schedule: "Schedule", noised: torch.Tensor, start_step: int, denoise: Denoise) -> torch.Tensor:
    """Return x_0 from x_t by the deterministic sampler (DDIM with η = 0, or PNDM) over the cut grid."""
    steps, x = cut_steps(schedule, start_step), noised
    own = copy.copy(schedule)  # PNDM remembers its last calls; this way every sampling has its own memory
    own.set_timesteps(schedule.num_inference_steps)
    for step in steps:
        x = own.step(denoise(x, step), step, x).prev_sample
    return x
