"""Schedule and sampler against published values and a Gaussian whose exact denoiser is known; a wrong β, offset
or prediction type would still give faces, only worse ones."""

from dataclasses import replace

import pytest
import torch

from despoof.errors import ConfigError
from despoof.generator.config import TINY, DiffusionConfig
from despoof.generator.diffusion import LatentDiffusion
from despoof.generator.schedule import build_schedule, cut_steps, sample

PUBLISHED = {201: 0.752, 401: 0.423, 601: 0.160, 701: 0.082, 801: 0.0365, 981: 0.0058}  # SD 1.5, ᾱ_t


@pytest.mark.parametrize(("step", "value"), PUBLISHED.items())
def test_schedule_has_the_published_values(step: int, value: float) -> None:
    schedule = build_schedule(DiffusionConfig())
    assert float(schedule.alphas_cumprod[step]) == pytest.approx(value, abs=6e-4)


def test_fifty_steps_cut_at_801_leave_forty_one_calls() -> None:
    steps = cut_steps(build_schedule(DiffusionConfig(grid=50)), 801)
    assert len(steps) == 41
    assert steps[0] == 801
    assert steps[-1] == 1


def test_a_start_off_the_grid_is_refused_with_the_grid() -> None:
    with pytest.raises(ConfigError, match="901, 801"):
        cut_steps(build_schedule(DiffusionConfig(grid=10)), 800)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("start", [301, 801])
def test_sampler_solves_the_gaussian(prediction: str, start: int) -> None:
    """For x_0 ~ N(0, s²) the flow from t to 0 is x_0 = x_t s / sqrt(ᾱ s² + 1 - ᾱ)."""
    spread = 0.5
    schedule = build_schedule(DiffusionConfig(prediction=prediction, grid=500))
    alphas = schedule.alphas_cumprod
    x = torch.linspace(-3, 3, 64).reshape(1, 1, 8, 8)

    def ideal(noisy: torch.Tensor, step: int) -> torch.Tensor:
        a = alphas[step]
        clean = a.sqrt() * spread**2 / (a * spread**2 + 1 - a) * noisy
        noise = (noisy - a.sqrt() * clean) / (1 - a).sqrt()
        return noise if prediction == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * clean

    a = alphas[start]
    exact = x * spread / (a * spread**2 + 1 - a).sqrt()
    torch.testing.assert_close(sample(schedule, x, start, ideal), exact, rtol=0.02, atol=1e-3)


def test_noise_and_velocity_are_their_formulas() -> None:
    schedule = build_schedule(DiffusionConfig())
    clean, noise, steps = torch.randn(2, 4, 4, 4), torch.randn(2, 4, 4, 4), torch.tensor([10, 700])
    a = schedule.alphas_cumprod[steps][:, None, None, None]
    torch.testing.assert_close(schedule.add_noise(clean, noise, steps), a.sqrt() * clean + (1 - a).sqrt() * noise)
    velocity = a.sqrt() * noise - (1 - a).sqrt() * clean
    torch.testing.assert_close(LatentDiffusion(TINY).target(clean, noise, steps), velocity)


def test_perfect_denoising_returns_the_latents() -> None:
    schedule = build_schedule(DiffusionConfig(prediction="epsilon"))
    clean, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    noised = schedule.add_noise(clean, noise, torch.tensor([901]))
    # with the true noise, every DDIM step stays on the line between noise and latents; the last, at ᾱ_0, is
    # x = sqrt(ᾱ_0) x_0 + sqrt(1 - ᾱ_0) ε
    a = schedule.alphas_cumprod[0]
    left = a.sqrt() * clean + (1 - a).sqrt() * noise
    torch.testing.assert_close(sample(schedule, noised, 901, lambda x, step: noise), left, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("step", "weight"), [(1, 5.0), (501, None), (901, None)])
def test_min_snr_weighs_an_error_of_clean_latents_alike_for_every_prediction(
    prediction: str, step: int, weight: float | None
) -> None:
    config = replace(TINY, diffusion=DiffusionConfig(prediction=prediction))
    generator, steps = LatentDiffusion(config), torch.tensor([step])
    clean, noise, wrong = (torch.randn(1, 4, 8, 8, dtype=torch.float64) for _ in range(3))
    noised = generator.add_noise(clean, noise, steps)
    alpha = generator.schedule.alphas_cumprod[step].double()
    mistaken = (noised - alpha.sqrt() * wrong) / (1 - alpha).sqrt()  # the noise that `wrong` would have needed
    error = (generator.target(clean, noise, steps) - generator.target(wrong, mistaken, steps)).square().mean()
    ratio = float(alpha / (1 - alpha))
    expected = min(ratio, 5.0) * float((clean - wrong).square().mean())
    assert weight is None or min(ratio, 5.0) == weight
    assert float(generator.weights(steps, 5.0)[0] * error) == pytest.approx(expected, rel=1e-3)
    assert float(generator.weights(steps, 0.0)[0]) == 1
