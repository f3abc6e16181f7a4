"""Train a one-step generator: distilled from a trained one, or on the faces themselves; on real faces only.

Target `teacher`: its sampler is deterministic, so for each face, its mirror image and each noise there is one pair
(noised latents, clean latents). The pairs are made once; the student starts as the teacher and learns to go from
the first to the second in one call.

Target `face`: the student goes on from the teacher's weights (which may be a student's) and learns the face's own
latents under noise drawn anew at every step: all of the network for one t, and no teacher's error to inherit.
A share of the faces may be changed in one place (`data.simulation.patches`) and learn the *unchanged* face: noise takes
fine traces out of a counterpart and leaves coarse ones in, so what a face cannot have must be learned to go.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from despoof.data.simulation.patches import patched
from despoof.errors import ConfigError
from despoof.faces.align import as_image, as_tensor
from despoof.generator.config import Noise, StudentRecipe, StudentTraining
from despoof.generator.diffusion import LatentDiffusion, OneStep
from despoof.generator.registry import load_generator, save_generator
from despoof.generator.training.diffusion import encode_faces
from despoof.generator.training.latents import Faces, Latents, bare_tokens, data_hash, filled_tokens
from despoof.generator.training.trainer import Trainer
from despoof.runs.checkpoint import file_hash, load_strict
from despoof.runs.config import identifying
from despoof.runs.folder import alone_in_folder
from despoof.runs.identity import Identity, provenance
from despoof.runs.loop import step_rng
from despoof.runs.seed import content_seed

# number of a step -> its batch on the trainer's device: part (K,) -> noised, clean (K, C, H, W) and bare tokens
Draw = Callable[[int], Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]


@alone_in_folder
def train_student(recipe: StudentRecipe, faces: Faces, folder: str | Path, *, teacher: str | Path) -> Path:
    """Train on faces (N, S, S, 3) uint8 from the teacher's weights file; return the student's."""
    training, source = recipe.training, load_generator(teacher)
    taken = ["diffusion"] if training.target == "teacher" else ["diffusion", "one_step"]
    if source.config.kind not in taken:
        raise ConfigError(
            f"teacher {teacher} is of kind {source.config.kind!r}; expected {' or '.join(map(repr, taken))} for target "
            f"{training.target!r}. Give such a one."
        )
    start = training.start_step
    if start is None or training.target == "teacher":  # on faces a student may learn another t than it knows
        start = source.start_of(start)
    run = Identity("train student", identifying(recipe), data_hash(faces), {"teacher": file_hash(teacher)})
    student = student_of(source, start, teacher, training.noise)
    trainer = Trainer(student.denoiser, training, folder, run, fsdp=training.fsdp)
    student.to(trainer.device)
    with trainer.processes.main_process_first():
        make = _teacher_draws if training.target == "teacher" else _face_draws
        draw = make(source.to(trainer.device), student, faces, trainer)

    def step(number: int) -> dict[str, float]:
        batch = draw(number)

        def loss(network: nn.Module, part: torch.Tensor) -> dict[str, torch.Tensor]:
            noised, clean, tokens = (each.to(trainer.device) for each in batch(part))
            with trainer.autocast():
                steps = torch.full((len(tokens),), start, device=tokens.device)
                filled = filled_tokens(student.config, tokens)
                prediction = network(noised, steps, encoder_hidden_states=filled).sample.float()
                return _errors(student, student.clean_of(noised, prediction), clean, training)

        return trainer.step(loss)

    path = Path(folder) / "generator.safetensors"
    if trainer.run(step, title="train student"):
        save_generator(path, student, facts=provenance(run))
    return path


def _teacher_draws(teacher: LatentDiffusion, student: OneStep, faces: Faces, trainer: Trainer) -> Draw:
    training, folder, label = trainer.training, trainer.folder, trainer.identity.label
    start = student.config.diffusion.start_step
    pairs = teacher_pairs(teacher, faces, folder / "pairs", label, start=start, noises=training.noises)

    def draw(number: int) -> Callable:
        rng = step_rng(training.seed, number)
        views = torch.randint(len(pairs), (training.batch,), generator=rng)
        draws = torch.randint(training.noises, (training.batch,), generator=rng)
        return lambda part: (
            pairs.pick("noised", views[part], draws[part]),
            pairs.pick("clean", views[part], draws[part]),
            pairs.pick("tokens", views[part]),
        )

    return draw


def _face_draws(teacher: LatentDiffusion, student: OneStep, faces: Faces, trainer: Trainer) -> Draw:
    training, folder, label = trainer.training, trainer.folder, trainer.identity.label
    latents = encode_faces(teacher, faces, folder / "latents", label)
    changed = None
    if training.changed:
        changed = changed_faces(teacher, faces, folder / "changed", label, changes=training.changes)

    def draw(number: int) -> Callable:
        rng = step_rng(training.seed, number)
        views = torch.randint(len(latents), (training.batch,), generator=rng)
        noise = torch.randn(training.batch, *latents.arrays["latents"].shape[1:], generator=rng)
        steps = torch.full((training.batch,), student.config.diffusion.start_step)
        other = torch.rand(training.batch, generator=rng) < training.changed
        which = torch.randint(training.changes, (training.batch,), generator=rng)

        def seen(name: str, part: torch.Tensor) -> torch.Tensor:
            own = latents.pick(name, views[part])
            if changed is not None:
                shown = part[other[part]]
                own[other[part]] = changed.pick(name, views[shown], which[shown])
            return own

        def batch(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            noised = student.add_noise(seen("latents", part), noise[part], steps[part])
            return noised, latents.pick("latents", views[part]), seen("tokens", part)

        return batch

    return draw


def changed_faces(teacher: LatentDiffusion, faces: Faces, folder: Path, label: str, *, changes: int) -> Latents:
    """Return `latents` (2N, changes, C, H, W) and bare `tokens` (2N, changes, K, D) of faces changed in one place.

    Pieces of another face are of the one before it in its chunk; what changes is drawn by the face's own pixels.
    """

    def make(face: torch.Tensor) -> dict[str, torch.Tensor]:
        pixels = np.stack([as_image(one) for one in face])
        found: dict[str, list[torch.Tensor]] = {"latents": [], "tokens": []}
        for draw in range(changes):
            made = []
            for own, other in zip(pixels, np.roll(pixels, 1, 0), strict=True):
                rng = np.random.default_rng(content_seed(own.tobytes(), draw))
                made.append(patched(own, other, rng)[0])
            one = as_tensor(np.stack(made), face.shape[-1]).to(teacher.device)
            found["latents"].append(teacher.autoencoder.encode(one))
            found["tokens"].append(bare_tokens(teacher.config, teacher.identity(one)))
        return {name: torch.stack(each, 1) for name, each in found.items()}

    return Latents(folder, label, faces, make, title="change and encode faces")


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


def student_of(teacher: LatentDiffusion, start: int, path: str | Path, noise: Noise | None = None) -> OneStep:
    """Return the untrained student, whose networks are the teacher's; `path` names these in errors."""
    config = teacher.config
    diffusion = replace(config.diffusion, start_step=start, noise=noise or config.diffusion.noise)
    config = replace(config, kind="one_step", diffusion=diffusion)
    student = OneStep(config)
    load_strict(student, teacher.state_dict(), path)
    student.requires_grad_(False).eval()
    student.denoiser.requires_grad_(True)
    return student


def _errors(
    student: OneStep, made: torch.Tensor, clean: torch.Tensor, training: StudentTraining
) -> dict[str, torch.Tensor]:
    """Return the errors of made latents by name; "loss" is their weighted sum."""
    found = {"latent_error": F.mse_loss(made, clean)}
    loss = found["latent_error"]
    if training.pixel_weight or training.identity_weight:
        with torch.no_grad():
            wanted = student.autoencoder.decode(clean)
        got = student.autoencoder.decode(made)
    if training.pixel_weight:
        found["pixel_error"] = F.l1_loss(got.float(), wanted.float())
        loss = loss + training.pixel_weight * found["pixel_error"]
    if training.identity_weight:
        with torch.no_grad():
            own = student.identity(wanted).embedding.float()
        found["identity_error"] = 1 - (student.identity(got).embedding.float() * own).sum(1).mean()
        loss = loss + training.identity_weight * found["identity_error"]
    return {"loss": loss} | found
