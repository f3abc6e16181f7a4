"""Train the denoiser on the latents of real faces (AG-FAS trains on real faces only)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from despoof.errors import ConfigError
from despoof.generator.config import GeneratorConfig
from despoof.generator.parts import Parts, build_denoiser
from despoof.generator.registry import GENERATORS, LatentDiffusion, save_generator
from despoof.generator.training.latents import Encoded, Faces, encode_all
from despoof.generator.training.trainer import Fit, Precision
from despoof.generator.weights import load_denoiser, read_parts
from despoof.runs.config import to_dict
from despoof.runs.identity import Identity as RunIdentity
from despoof.runs.loop import LoopConfig, step_rng


@dataclass(frozen=True)
class GeneratorTraining:
    """Optimisation of the denoiser. `batch` counts the faces of one step over all processes and parts."""

    loop: LoopConfig = LoopConfig(steps=6000, save_every=250)
    batch: int = 32
    rate: float = 8e-4
    average: float = 0.999  # decay of the running mean of the weights (EMA); the mean is what ships
    condition_dropout: float = 0.05  # share of faces trained without identity
    seed: int = 0
    precision: Precision = "bf16"
    accumulation: int = 1  # parts into which each process cuts its share of a batch
    recompute: bool = False  # activations in the backward pass, to save memory


# 150,000 steps with EMA: the released checkpoint's name. No dropout: its script knows no token for "no identity".
# Batch 64, rate 1e-5: an unofficial re-implementation's, unverified. Everything else is not published; ours.
PAPER_TRAINING = GeneratorTraining(
    LoopConfig(steps=150_000, save_every=1000, log_every=100),
    batch=64, rate=1e-5, average=0.9999, condition_dropout=0.0, accumulation=4, recompute=True,
)  # fmt: skip
TRAININGS = {"small": GeneratorTraining(), "tiny": GeneratorTraining(), "paper": PAPER_TRAINING}


def train_generator(
    config: GeneratorConfig,
    training: GeneratorTraining,
    faces: Faces,
    parts: tuple[str | Path, str | Path],
    folder: str | Path,
    *,
    start_from: str | Path | None = None,
) -> Path:
    """Train on faces (N, S, S, 3) uint8 with the files (autoencoder, identity); return the artefact's path.

    Loss: mean squared error of the prediction at uniform t (Ho et al. 2020, eq. 14). `start_from` is a folder
    with a U-Net of the same shape in diffusers' format. Under a launcher of processes, call it in each.
    """
    torch.manual_seed(training.seed)
    generator = _assemble(config, parts, start_from)
    if training.recompute:
        generator.denoiser.enable_gradient_checkpointing()
    fit = Fit(
        generator.denoiser, training.loop, rate=training.rate, average=training.average,
        precision=training.precision, accumulation=training.accumulation,
    )  # fmt: skip
    generator.to(fit.accelerator.device)
    with fit.accelerator.main_process_first():
        encoded = encode_all(generator, faces, Path(folder))

    def step(number: int) -> dict[str, float]:
        views, times, noise, keep = _draw(encoded, generator, training, number)

        def loss(network: nn.Module, part: torch.Tensor) -> torch.Tensor:
            device = fit.accelerator.device
            clean, tokens = encoded.pick(views[part], device)
            moments = times[part].to(device), noise[part].to(device)
            noised, wanted = _task(generator, clean, *moments)
            with fit.accelerator.autocast():
                condition = tokens * keep[part].to(device)
                got = network(noised, moments[0], encoder_hidden_states=condition).sample
            return F.mse_loss(got.float(), wanted)

        return fit.step(training.batch, loss)

    path = Path(folder) / "generator.safetensors"
    if fit.run(
        folder, step, title="train generator", identity=RunIdentity("train generator", {"training": to_dict(training)})
    ):
        save_generator(path, generator)
    return path


def _assemble(
    config: GeneratorConfig, files: tuple[str | Path, str | Path], start_from: str | Path | None
) -> LatentDiffusion:
    if config.kind not in ("diffusion", "flow"):
        raise ConfigError(f"kind {config.kind!r} has no denoiser to train here; expected 'diffusion' or 'flow'.")
    config, autoencoder, identity = read_parts(config, *files)
    denoiser = build_denoiser(config)
    if start_from is not None:
        load_denoiser(denoiser, Path(start_from))
    return GENERATORS[config.kind](config, Parts(autoencoder, identity, denoiser))  # type: ignore[call-arg, return-value]


def _draw(
    encoded: Encoded, generator: LatentDiffusion, training: GeneratorTraining, number: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what is random in one global batch: views, times, noise, and 0 where identity is withheld."""
    draw, count = step_rng(training.seed, number), training.batch
    views = torch.randint(len(encoded), (count,), generator=draw)
    times = torch.randint(generator.config.diffusion.train_steps, (count,), generator=draw)
    noise = torch.randn(count, *encoded.latents.shape[1:], generator=draw)
    keep = torch.rand(count, 1, 1, generator=draw) >= training.condition_dropout
    return views, times, noise, keep


def _task(
    generator: LatentDiffusion, clean: torch.Tensor, times: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    return generator.add_noise(clean, noise, times), generator.target(clean, noise, times)
