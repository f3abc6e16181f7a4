"""Ways to make a counterpart of the same face: steps, calls, draws of noise, and controls without any generator."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch

from despoof.errors import InputError
from despoof.generator.diffusion import Flow, LatentDiffusion
from despoof.generator.generator import Generator, Lap
from despoof.generator.identity import condition_tokens
from despoof.generator.schedule import content_noise

COPIED = "autoencoder"  # the control: encoded and decoded, what a good copy leaves over
BLURRED = "blurred face"  # the control without any network
BLUR = 2.0  # pixels at 128 px, deviation of the control's Gaussian


class Made(NamedTuple):
    """Latents of faces and of their counterparts (N, C, H, W), and the counterparts (N, 3, S, S) in [-1, 1]."""

    own: torch.Tensor
    latents: torch.Tensor
    counterpart: torch.Tensor


Make = Callable[[torch.Tensor, Lap], Made]  # of faces (N, 3, S, S) in [-1, 1]; laps: "latents", "decode", "again"


def ways(generator: Generator, steps: Sequence[int]) -> dict[str, Make]:
    """Return ways by name, that of the generator's own step and noise first.

    A one-step student is asked at other steps as well, where its teacher had learned and its distillation never was.
    Raises InputError for a kind without latent diffusion.
    """
    own = _own_step(generator)
    found: dict[str, Make] = {f"t {own}": partial(_denoised, generator, own)}
    found |= {f"t {step}": partial(_denoised, generator, step) for step in steps if step != own}
    found |= {
        f"t {own}, second draw": partial(_denoised, generator, own, salt=1),
        f"t {own}, one noise for all": partial(_denoised, generator, own, salt=None),
        f"t {own}, many calls": partial(_denoised, generator, own, many=True),
        COPIED: partial(_copied, generator),
        BLURRED: partial(_blurred, generator),
    }
    return found


def ways_of_others(others: Iterable[tuple[str, Generator, int | None]], side: int) -> dict[str, Make]:
    """Return the way of each generator at a step, or its own, by its name with weights and step.

    Raises InputError for a kind without latent diffusion, or for faces of another side.
    """
    found: dict[str, Make] = {}
    for name, generator, step in others:
        at = _own_step(generator) if step is None else step
        if (size := generator.config.face_size) != side:
            raise InputError(f"{name!r} is of {size} px, the first of {side}; expected one size. Give another file.")
        generator.eval().to(memory_format=torch.channels_last)  # as the first's, see `Sight`
        found[f"{name} ({generator.name}, t {at})"] = partial(_denoised, generator, at)
    return found


def _own_step(generator: Generator) -> int:
    if not isinstance(generator, LatentDiffusion):
        raise InputError(f"kind {generator.config.kind!r} has no steps; expected latent diffusion. Give another file.")
    return generator.start_of(None)


def _denoised(
    generator: LatentDiffusion, step: int, face: torch.Tensor, lap: Lap, *, salt: int | None = 0, many: bool = False
) -> Made:
    own, identity = generator.autoencoder.encode(face), generator.identity(face)
    tokens, steps = condition_tokens(identity, generator.config.condition).to(own), torch.full((len(face),), step)
    if salt is None:
        noise, signs = content_noise(torch.zeros_like(face[0]), own.shape[1:], 0).expand_as(own), (1,)
    else:
        noise, signs = generator.noise(face, own.shape[1:], salt), generator.signs
    made = []
    for sign in signs:
        noised = generator.add_noise(own, sign * noise.to(own), steps)
        if many:
            made.append(LatentDiffusion.denoised(generator, noised, identity, step))
        else:
            prediction = generator.denoiser(noised, step, encoder_hidden_states=tokens).sample
            made.append(_clean(generator, noised, prediction, step))
    latents = torch.stack(made).mean(0)
    lap("latents")
    counterpart = generator.autoencoder.decode(latents).clamp(-1, 1)
    lap("decode")
    return Made(own, latents, counterpart)


def _clean(generator: LatentDiffusion, noised: torch.Tensor, prediction: torch.Tensor, step: int) -> torch.Tensor:
    """Return the clean latents that a prediction at a step stands for: the generator's `target`, solved for x_0."""
    if isinstance(generator, Flow):
        return noised - step / generator.config.diffusion.train_steps * prediction
    alpha = generator.schedule.alphas_cumprod[step].to(noised)
    if generator.config.diffusion.prediction == "epsilon":
        return (noised - (1 - alpha).sqrt() * prediction) / alpha.sqrt()
    return alpha.sqrt() * noised - (1 - alpha).sqrt() * prediction


def _copied(generator: LatentDiffusion, face: torch.Tensor, lap: Lap) -> Made:
    own = generator.autoencoder.encode(face)
    lap("latents")
    made = generator.autoencoder.decode(own).clamp(-1, 1)
    lap("decode")
    again = generator.autoencoder.encode(made)
    lap("again")
    return Made(own, again, made)


def _blurred(generator: LatentDiffusion, face: torch.Tensor, lap: Lap) -> Made:
    deviation = BLUR * face.shape[-1] / 128
    reach = int(3 * deviation)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    taps = (taps / taps.sum()).view(1, 1, 1, -1).repeat(3, 1, 1, 1)
    padded = torch.nn.functional.pad(face, (reach,) * 4, mode="reflect")
    across = torch.nn.functional.conv2d(padded, taps, groups=3)
    made = torch.nn.functional.conv2d(across, taps.transpose(2, 3), groups=3)
    lap("decode")
    own, again = (generator.autoencoder.encode(each) for each in (face, made))
    lap("again")
    return Made(own, again, made)
