"""Train the autoencoder on real faces: mean absolute error over a pyramid, of values and of gradients."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from despoof.generator.autoencoders import Autoencoder
from despoof.generator.config import GeneratorConfig
from despoof.runs.checkpoint import save_artefact
from despoof.runs.config import to_dict
from despoof.runs.identity import Identity as RunIdentity
from despoof.runs.loop import LoopConfig, run_loop, step_rng, warm_cosine


@dataclass(frozen=True)
class AutoencoderTraining:
    """Optimisation of the autoencoder."""

    loop: LoopConfig = LoopConfig(steps=4000)
    batch: int = 32
    rate: float = 1e-3
    latent_noise: float = 0.05  # of a latent's deviation; keeps the decoder smooth between latents
    seed: int = 0


def train_autoencoder(
    config: GeneratorConfig,
    training: AutoencoderTraining,
    faces: np.ndarray,
    folder: str | Path,
    *,
    network: nn.Module | None = None,
) -> Path:
    """Train on faces (N, S, S, 3) uint8 and return the path of the artefact.

    `network` stands in for `Autoencoder`; it has an `encoder` and a `decoder`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(training.seed)
    model = (network or Autoencoder(config.autoencoder)).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.rate, weight_decay=1e-3)
    schedule = warm_cosine(optimiser, 100, training.loop.steps)

    def step(number: int) -> dict[str, float]:
        generator = step_rng(training.seed, number)
        face = draw_faces(faces, training.batch, generator).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            raw = model.encoder(face)
            noise = torch.randn(raw.shape, generator=generator).to(device)
            spread = raw.detach().float().std((0, 2, 3), keepdim=True)
            back = model.decoder(raw + training.latent_noise * spread * noise)
        back = back.float()
        # the small pull keeps raw latents near unit size, where bfloat16 is accurate
        loss = pyramid_error(back, face) + 1e-3 * raw.float().square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        return {"loss": loss.item(), "l1": (back.detach() - face).abs().mean().item()}

    parts = {"model": model, "optimiser": optimiser, "schedule": schedule}
    run_loop(
        folder,
        parts,
        step,
        training.loop,
        title="train autoencoder",
        identity=RunIdentity("train autoencoder", {"training": to_dict(training)}),
    )
    if network is None:
        _measure_latents(model, faces, device)
    path = Path(folder) / "autoencoder.safetensors"
    save_artefact(path, "autoencoder", to_dict(config), model.state_dict())
    return path


def draw_faces(faces: np.ndarray, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return (count, 3, S, S) in [-1, 1], drawn with replacement, half of them mirrored."""
    picks = torch.randint(len(faces), (count,), generator=generator).numpy()
    return mirrored(as_batch(faces[picks]), generator)


def as_batch(faces: np.ndarray) -> torch.Tensor:
    """Return faces (N, S, S, 3) uint8 as (N, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 127.5 - 1


def mirrored(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror each item of (N, 3, S, S) with probability one half."""
    flip = torch.rand(len(batch), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], batch.flip(3), batch)


def pyramid_error(back: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute error of values and gradients at full, half and quarter size."""
    total = back.new_zeros(())
    for _ in range(3):
        total = total + F.l1_loss(back, face)
        for axis in (2, 3):
            total = total + F.l1_loss(back.diff(dim=axis), face.diff(dim=axis))
        back, face = F.avg_pool2d(back, 2), F.avg_pool2d(face, 2)
    return total


@torch.no_grad()
def _measure_latents(model: Autoencoder, faces: np.ndarray, device: torch.device) -> None:
    generator = step_rng(0, 0)
    raw = [model.encoder(draw_faces(faces, 64, generator).to(device)) for _ in range(8)]
    model.standardise(torch.cat(raw))
