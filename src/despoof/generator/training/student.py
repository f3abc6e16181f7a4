"""Distil a one-step student from a trained generator, on real faces only.

The teacher's sampler is deterministic, so for each face, its mirror image and each noise there is one pair
(noised latents, clean latents). The pairs are made once; the student starts as the teacher and learns to go from
the first to the second in one call.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from despoof.errors import ConfigError
from despoof.generator.config import StudentRecipe, StudentTraining
from despoof.generator.diffusion import LatentDiffusion, OneStep
from despoof.generator.registry import load_generator, save_generator
from despoof.generator.training.latents import Faces, Latents, bare_tokens, data_hash, filled_tokens
from despoof.generator.training.trainer import Trainer
from despoof.runs.checkpoint import file_hash, load_strict
from despoof.runs.config import to_dict
from despoof.runs.identity import Identity, provenance
from despoof.runs.loop import step_rng


def train_student(recipe: StudentRecipe, faces: Faces, folder: str | Path, *, teacher: str | Path) -> Path:
    """Train on faces (N, S, S, 3) uint8 against the teacher's weights file; return the student's."""
    training, source = recipe.training, load_generator(teacher)
    if source.config.kind != "diffusion":
        raise ConfigError(f"teacher {teacher} is of kind {source.config.kind!r}; expected 'diffusion'. Give that one.")
    start = source.start_of(training.start_step)
    run = Identity("train student", to_dict(recipe), data_hash(faces), {"teacher": file_hash(teacher)})
    student = student_of(source, start, teacher)
    trainer = Trainer(student.denoiser, training, folder, run)
    student.to(trainer.device)
    with trainer.processes.main_process_first():
        pairs = teacher_pairs(
            source.to(trainer.device), faces, Path(folder) / "pairs", run.label, start=start, noises=training.noises
        )

    def step(number: int) -> dict[str, float]:
        rng = step_rng(training.seed, number)
        views = torch.randint(len(pairs), (training.batch,), generator=rng)
        draws = torch.randint(training.noises, (training.batch,), generator=rng)

        def loss(network: nn.Module, part: torch.Tensor) -> dict[str, torch.Tensor]:
            noised, clean, tokens = (
                each.to(trainer.device)
                for each in (
                    pairs.pick("noised", views[part], draws[part]),
                    pairs.pick("clean", views[part], draws[part]),
                    filled_tokens(student.config, pairs.pick("tokens", views[part])),
                )
            )
            with trainer.autocast():
                steps = torch.full((len(tokens),), start, device=tokens.device)
                prediction = network(noised, steps, encoder_hidden_states=tokens).sample.float()
                return {"loss": _error(student, student.clean_of(noised, prediction), clean, training)}

        return trainer.step(loss)

    path = Path(folder) / "generator.safetensors"
    if trainer.run(step, title="train student"):
        save_generator(path, student, facts=provenance(run))
    return path


def teacher_pairs(
    teacher: LatentDiffusion, faces: Faces, folder: Path, label: str, *, start: int, noises: int
) -> Latents:
    """Return `noised`, `clean` (2N, noises, C, H, W) and bare `tokens` (2N, K, D) of all faces and mirror images."""

    def make(face: torch.Tensor) -> dict[str, torch.Tensor]:
        face = face.to(teacher.device)
        identity, latents = teacher.identity(face), teacher.autoencoder.encode(face)
        noised = [teacher.noised(latents, face, start, salt) for salt in range(noises)]
        clean = [teacher.denoised(one, identity, start) for one in noised]
        tokens = bare_tokens(teacher.config, identity)
        return {"noised": torch.stack(noised, 1), "clean": torch.stack(clean, 1), "tokens": tokens}

    return Latents(folder, label, faces, make, title=f"teacher's latents t={start}")


def student_of(teacher: LatentDiffusion, start: int, path: str | Path) -> OneStep:
    """Return the untrained student, whose networks are the teacher's; `path` names these in errors."""
    config = teacher.config
    config = replace(config, kind="one_step", diffusion=replace(config.diffusion, start_step=start))
    student = OneStep(config)
    load_strict(student, teacher.state_dict(), path)
    student.requires_grad_(False).eval()
    student.denoiser.requires_grad_(True)
    return student


def _error(student: OneStep, made: torch.Tensor, clean: torch.Tensor, training: StudentTraining) -> torch.Tensor:
    loss = F.mse_loss(made, clean)
    if training.pixel_weight:
        with torch.no_grad():
            wanted = student.autoencoder.decode(clean)
        loss = loss + training.pixel_weight * F.l1_loss(student.autoencoder.decode(made).float(), wanted.float())
    return loss
