"""Train the denoiser on the latents of real faces (AG-FAS trains on real faces only)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from despoof.generator.config import GeneratorConfig
from despoof.generator.diffusion import add_noise, target
from despoof.generator.generator import Generator, save_generator
from despoof.generator.identity import condition_tokens
from despoof.generator.train_autoencoder import as_batch
from despoof.runs.checkpoint import load_artefact, load_strict
from despoof.runs.loop import LoopConfig, run_loop, step_generator, warm_cosine
from despoof.runs.progress import track


@dataclass(frozen=True)
class GeneratorTraining:
    """Optimisation of the denoiser."""

    loop: LoopConfig = LoopConfig(steps=6000, save_every=250)
    batch: int = 32
    rate: float = 8e-4
    average: float = 0.999  # decay of the running mean of the weights (EMA); the mean is what ships
    condition_dropout: float = 0.05  # share of faces trained without identity
    seed: int = 0


def train_generator(
    config: GeneratorConfig,
    training: GeneratorTraining,
    faces: np.ndarray,
    parts: tuple[str | Path, str | Path],
    folder: str | Path,
) -> Path:
    """Train on faces (N, S, S, 3) uint8 with the artefacts (autoencoder, identity); return the artefact's path.

    Loss: mean squared error of the prediction at uniform t (Ho et al. 2020, eq. 14).
    """
    from accelerate import Accelerator
    from diffusers.training_utils import EMAModel

    accelerator = Accelerator(mixed_precision="bf16")
    torch.manual_seed(training.seed)
    generator = Generator(config)
    _load_parts(generator, *parts)
    generator.to(accelerator.device)
    latents, tokens = _encode_all(generator, faces, accelerator.device)
    optimiser = torch.optim.AdamW(generator.denoiser.parameters(), lr=training.rate, weight_decay=1e-2)
    schedule = warm_cosine(optimiser, 200, training.loop.steps)
    average = EMAModel(generator.denoiser.parameters(), decay=training.average, use_ema_warmup=True)
    denoiser, optimiser = accelerator.prepare(generator.denoiser, optimiser)

    def step(number: int) -> dict[str, float]:
        draw = step_generator(training.seed, number * accelerator.num_processes + accelerator.process_index)
        picks = torch.randint(len(latents), (training.batch,), generator=draw)
        times = torch.randint(config.diffusion.train_steps, (training.batch,), generator=draw)
        noise = torch.randn(training.batch, *latents.shape[1:], generator=draw)
        keep = torch.rand(training.batch, 1, 1, generator=draw) >= training.condition_dropout
        clean, times, noise = (x.to(accelerator.device) for x in (latents[picks].float(), times, noise))
        condition = (tokens[picks].float() * keep).to(accelerator.device)
        noised = add_noise(generator.schedule, clean, noise, times)
        with accelerator.autocast():
            got = denoiser(noised, times, encoder_hidden_states=condition).sample
        loss = F.mse_loss(got.float(), target(generator.schedule, clean, noise, times))
        optimiser.zero_grad()
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.step(generator.denoiser.parameters())
        return {"loss": loss.item(), "gradient": float(norm)}

    states = {"denoiser": generator.denoiser, "optimiser": optimiser, "schedule": schedule, "average": average}
    run_loop(folder, states, step, training.loop, title="train generator")
    average.copy_to(generator.denoiser.parameters())
    path = Path(folder) / "generator.safetensors"
    save_generator(path, generator)
    return path


def _load_parts(generator: Generator, autoencoder: str | Path, identity: str | Path) -> None:
    load_strict(generator.autoencoder, load_artefact(autoencoder, "autoencoder").tensors, autoencoder)
    load_strict(generator.identity, load_artefact(identity, "identity").tensors, identity)
    generator.autoencoder.requires_grad_(False).eval()
    generator.identity.requires_grad_(False).eval()


@torch.no_grad()
def _encode_all(generator: Generator, faces: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents and condition tokens, 16-bit, of all faces and of all faces mirrored."""
    latents, tokens = [], []
    starts = range(0, len(faces), 64)
    for start in track(starts, "encode faces", len(starts)):
        face = as_batch(faces[start : start + 64]).to(device)
        for view in (face, face.flip(3)):
            latents.append(generator.autoencoder.encode(view).half().cpu())
            identity = generator.identity(view)
            tokens.append(condition_tokens(identity, generator.config.condition).half().cpu())
    return torch.cat(latents), torch.cat(tokens)
