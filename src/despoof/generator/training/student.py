"""Distil a one-step student from a trained generator, on real faces only.

The teacher's sampler is deterministic, so for each face, its mirror image and each noise there is one pair
(noised latents, clean latents). The pairs are made once, in shards that survive a kill; the student starts as
the teacher and learns to go from the first to the second in one call.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from despoof.errors import ConfigError
from despoof.generator.diffusion import OneStep
from despoof.generator.identity import condition_tokens
from despoof.generator.registry import LatentDiffusion, load_generator, save_generator
from despoof.generator.training.autoencoder import as_batch
from despoof.generator.training.trainer import Fit, Precision
from despoof.runs.checkpoint import file_hash, load_strict
from despoof.runs.config import to_dict
from despoof.runs.folder import atomic_path
from despoof.runs.identity import Identity as RunIdentity
from despoof.runs.loop import LoopConfig, step_rng
from despoof.runs.progress import track
from despoof.runs.seed import content_seed

SHARD = 64  # faces; so 128 views


@dataclass(frozen=True)
class StudentTraining:
    """Optimisation of the student."""

    loop: LoopConfig = LoopConfig(steps=4000)
    batch: int = 32
    rate: float = 3e-4
    average: float = 0.999  # decay of the running mean of the weights; the mean is what ships
    noises: int = 1  # of each face and each mirrored face; each is one teacher's run
    pixel_weight: float = 0.0  # of the mean absolute error of decoded pixels, beside that of latents
    precision: Precision = "bf16"
    seed: int = 0


@dataclass(frozen=True)
class Pairs:
    """What the student learns from, 16-bit, of V views: `noised`, `clean` (V, noises, C, H, W), `tokens` (V, K, D)."""

    noised: torch.Tensor
    clean: torch.Tensor
    tokens: torch.Tensor


def train_student(
    teacher: str | Path,
    training: StudentTraining,
    faces: np.ndarray,
    folder: str | Path,
    *,
    start_step: int | None = None,
) -> Path:
    """Train on faces (N, S, S, 3) uint8 against the teacher's artefact; return the student's.

    `start_step` is the t that the student shall know; the teacher's own if left out.
    """
    source = load_generator(teacher)
    if source.config.kind != "diffusion":
        raise ConfigError(f"teacher {teacher} is of kind {source.config.kind!r}; expected 'diffusion'. Give that one.")
    start = source.start_of(start_step)
    student = _student_of(source, start, teacher)
    fit = Fit(student.denoiser, training.loop, rate=training.rate, average=training.average,
              warm=100, precision=training.precision)  # fmt: skip
    student.to(fit.accelerator.device)
    with fit.accelerator.main_process_first():
        shards = Path(folder) / f"pairs-{file_hash(teacher)}-t{start}-{training.noises}"
        pairs = teacher_pairs(source.to(fit.accelerator.device), start, faces, training.noises, shards)

    def step(number: int) -> dict[str, float]:
        draw = step_rng(training.seed, number)
        views = torch.randint(len(pairs.tokens), (training.batch,), generator=draw)
        noises = torch.randint(training.noises, (training.batch,), generator=draw)

        def loss(network: nn.Module, part: torch.Tensor) -> torch.Tensor:
            picked = _pick(pairs, views[part], noises[part], fit.accelerator.device)
            with fit.accelerator.autocast():
                return _student_loss(student, network, picked, training.pixel_weight)

        return fit.step(training.batch, loss)

    path = Path(folder) / "generator.safetensors"
    if fit.run(
        folder, step, title="train student", identity=RunIdentity("train student", {"training": to_dict(training)})
    ):
        save_generator(path, student)
    return path


def teacher_pairs(teacher: LatentDiffusion, start: int, faces: np.ndarray, noises: int, folder: Path) -> Pairs:
    """Return the teacher's pairs of all faces and their mirror images; kept in `folder`, made where missing."""
    shards = []
    starts = range(0, len(faces), SHARD)
    for first in track(starts, f"teacher's latents t={start}", len(starts)):
        chunk = faces[first : first + SHARD]
        path = folder / f"{content_seed(np.ascontiguousarray(chunk).tobytes()):016x}.safetensors"
        made = _kept(path)
        if made is None:
            made = _shard(teacher, start, chunk, noises)
            with atomic_path(path) as temporary:
                save_file(made, str(temporary))
        shards.append(made)
    return Pairs(*(torch.cat([shard[name] for shard in shards]) for name in ("noised", "clean", "tokens")))


def _kept(path: Path) -> dict[str, torch.Tensor] | None:
    """Return a shard, or None where it is missing or cut short and must be made."""
    try:
        return load_file(path) if path.is_file() else None
    except SafetensorError:
        return None


@torch.no_grad()
def _shard(teacher: LatentDiffusion, start: int, chunk: np.ndarray, noises: int) -> dict[str, torch.Tensor]:
    made: dict[str, list[torch.Tensor]] = {"noised": [], "clean": [], "tokens": []}
    device = next(teacher.parameters()).device
    for face in _views(chunk, device):
        identity = teacher.identity(face)
        latents = teacher.autoencoder.encode(face)
        noised = [teacher.noised(latents, face, start, salt) for salt in range(noises)]
        clean = [teacher.denoised(one, identity, start) for one in noised]
        made["noised"].append(torch.stack(noised, 1).half().cpu())
        made["clean"].append(torch.stack(clean, 1).half().cpu())
        made["tokens"].append(condition_tokens(identity, teacher.config.condition).half().cpu())
    return {name: torch.cat(parts).contiguous() for name, parts in made.items()}


def _views(chunk: np.ndarray, device: torch.device) -> Iterator[torch.Tensor]:
    face = as_batch(chunk).to(device)
    yield face
    yield face.flip(3)


def _student_of(teacher: LatentDiffusion, start: int, path: str | Path) -> OneStep:
    config = teacher.config
    config = replace(config, kind="one_step", diffusion=replace(config.diffusion, start_step=start))
    student = OneStep(config)
    load_strict(student, teacher.state_dict(), path)
    student.requires_grad_(False).eval()
    student.denoiser.requires_grad_(True)
    return student


def _pick(pairs: Pairs, views: torch.Tensor, noises: torch.Tensor, device: torch.device) -> Pairs:
    return Pairs(
        pairs.noised[views, noises].to(device).float(),
        pairs.clean[views, noises].to(device).float(),
        pairs.tokens[views].to(device).float(),
    )


def _student_loss(student: OneStep, network: nn.Module, pairs: Pairs, pixel_weight: float) -> torch.Tensor:
    start = student.config.diffusion.start_step
    steps = torch.full((len(pairs.tokens),), start, device=pairs.tokens.device)
    prediction = network(pairs.noised, steps, encoder_hidden_states=pairs.tokens).sample.float()
    clean = student.clean_of(pairs.noised, prediction)
    loss = F.mse_loss(clean, pairs.clean)
    if pixel_weight:
        with torch.no_grad():
            wanted = student.autoencoder.decode(pairs.clean)
        loss = loss + pixel_weight * F.l1_loss(student.autoencoder.decode(clean).float(), wanted.float())
    return loss
