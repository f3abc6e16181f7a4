"""`despoof train autoencoder|identity|generator|student`: each resumes where it stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from despoof.faces.store import StoredSample
    from despoof.generator.config import GeneratorConfig
    from despoof.generator.training.latents import StoredFaces

Preset = Literal["small", "tiny"]
GeneratorPreset = Literal["small", "tiny", "paper"]
Kind = Literal["diffusion", "flow", "autoencoder", "bottleneck"]
Condition = Literal["map", "embedding", "none"]
Precision = Literal["no", "fp16", "bf16"]
Pixels = Literal["half", "imagenet"]


def autoencoder(
    store: Path, run: Path, *, preset: Preset = "small", steps: int = 2700, seed: int = 0, threads: int = 2
) -> None:
    """Train the autoencoder on the live faces of a store (train split).

    Args:
        store: folder made by `despoof prepare`; only live faces are used.
        run: folder for log, state and autoencoder.safetensors.
        preset: shape of the generator.
        steps: optimisation steps.
        seed: of weights and batches.
        threads: of the processor.
    """
    from despoof.generator.training.autoencoder import AutoencoderTraining, train_autoencoder
    from despoof.runs.loop import LoopConfig

    config, _, faces = _real_faces(store, preset, threads)
    print(train_autoencoder(config, AutoencoderTraining(LoopConfig(steps), seed=seed), faces, run))


def identity(
    store: Path, run: Path, teacher: Path, *, preset: Preset = "small", steps: int = 2600, seed: int = 0,
    threads: int = 2,
) -> None:  # fmt: skip
    """Distil the identity encoder from an ArcFace ONNX teacher on the live faces of a store (train split).

    Args:
        store: folder made by `despoof prepare`; its source images must still lie where they were.
        run: folder for log, state and identity.safetensors.
        teacher: ONNX file, 112 px ArcFace crops, RGB, ImageNet mean and deviation.
        preset: shape of the generator.
        steps: optimisation steps.
        seed: of weights and batches.
        threads: of the processor.
    """
    from despoof.generator.training.identity import IdentityTraining, teacher_embeddings, train_identity
    from despoof.runs.loop import LoopConfig

    config, rows, faces = _real_faces(store, preset, threads)
    targets = teacher_embeddings(rows, teacher, run / "teacher.npy")
    print(train_identity(config, IdentityTraining(LoopConfig(steps), seed=seed), faces, targets, run))


def generator(
    store: Path, run: Path, autoencoder: Path | None = None, identity: Path | None = None, *,
    preset: GeneratorPreset = "small", kind: Kind | None = None, condition: Condition | None = None,
    start_from: Path | None = None, steps: int | None = None, batch: int | None = None,
    accumulation: int | None = None, precision: Precision | None = None, identity_pixels: Pixels = "half",
    faces: int | None = None, seed: int = 0, threads: int = 2,
) -> None:  # fmt: skip
    """Train a generator on the live faces of a store (train split); under `torchrun`, on many processes.

    Args:
        store: folder made by `despoof prepare`; only live faces are used.
        run: folder for log, state and generator.safetensors.
        autoencoder: autoencoder.safetensors; of the preset paper, the folder `vae` in diffusers' format.
        identity: identity.safetensors, any ArcFace checkpoint as .onnx, or an iResNet as .pth.
        preset: shape of the generator and optimisation.
        kind: diffusion, flow, or for comparison autoencoder or bottleneck (which take no identity); the
            preset's if left out.
        condition: what of the identity is shown to the denoiser; an ONNX file has no map.
        start_from: folder of a U-Net of the same shape in diffusers' format, to start from its weights.
        steps: optimisation steps; the preset's if left out.
        batch: faces of one step, over all processes.
        accumulation: parts into which each process cuts its share of a batch.
        precision: no, fp16 or bf16.
        identity_pixels: what an identity encoder in ONNX form takes: [-1, 1], or ImageNet's mean and deviation.
        faces: how many are learned from, the first of a shuffle by `seed`, so fewer are a part of more; all if
            left out.
        seed: of weights, noise, batches and the choice of faces.
        threads: of the processor, per process.
    """
    from dataclasses import replace

    from despoof.errors import ConfigError
    from despoof.generator.config import PRESETS
    from despoof.generator.training.diffusion import TRAININGS, train_generator
    from despoof.generator.training.plain import PLAIN, train_plain

    config, training = PRESETS[preset], TRAININGS[preset]
    config = replace(config, kind=kind or config.kind, condition=condition or config.condition)
    config = replace(config, identity=replace(config.identity, pixels=identity_pixels))
    chosen = {"batch": batch, "accumulation": accumulation, "precision": precision}
    training = replace(training, seed=seed, **{key: value for key, value in chosen.items() if value is not None})
    training = replace(training, loop=replace(training.loop, steps=steps or training.loop.steps))
    learned = _stored_faces(store, config.face_size, threads)
    if faces is not None:
        learned = _first(learned, faces, seed)
    if config.kind in PLAIN:
        print(train_plain(config, training.loop, learned, run, autoencoder=autoencoder, seed=seed))
        return
    if autoencoder is None or identity is None:
        raise ConfigError(f"kind {config.kind!r} needs an autoencoder and an identity encoder. Give both files.")
    print(train_generator(config, training, learned, (autoencoder, identity), run, start_from=start_from))


def student(
    store: Path, run: Path, teacher: Path, *, start_step: int | None = None, steps: int = 4000, noises: int = 1,
    pixel_weight: float = 0.0, seed: int = 0, threads: int = 2,
) -> None:  # fmt: skip
    """Distil a one-step generator from a trained one, on the live faces of a store (train split).

    Args:
        store: folder made by `despoof prepare`; only live faces are used.
        run: folder for the teacher's latents, log, state and generator.safetensors.
        teacher: generator.safetensors of kind diffusion.
        start_step: t that the student shall know; the teacher's own if left out.
        steps: optimisation steps of 32 faces.
        noises: draws of noise for each face; the teacher runs once for each.
        pixel_weight: of the error of decoded pixels, beside that of latents.
        seed: of batches.
        threads: of the processor.
    """
    from despoof.generator.registry import load_generator
    from despoof.generator.training.student import StudentTraining, train_student
    from despoof.runs.loop import LoopConfig

    faces = _live_faces(store, load_generator(teacher).config.face_size, threads)[1]
    training = StudentTraining(LoopConfig(steps), noises=noises, pixel_weight=pixel_weight, seed=seed)
    print(train_student(teacher, training, faces, run, start_step=start_step))


def _real_faces(store: Path, preset: str, threads: int) -> "tuple[GeneratorConfig, list[StoredSample], np.ndarray]":
    from despoof.generator.config import PRESETS

    config = PRESETS[preset]
    return config, *_live_faces(store, config.face_size, threads)


def _live_faces(store: Path, size: int, threads: int) -> "tuple[list[StoredSample], np.ndarray]":
    stored = _stored_faces(store, size, threads)
    return stored.rows, stored[:]


def _stored_faces(store: Path, size: int, threads: int) -> "StoredFaces":
    import torch

    from despoof.data.sample import Label, Split
    from despoof.errors import InputError
    from despoof.faces.store import Store
    from despoof.generator.training.latents import StoredFaces

    torch.set_num_threads(threads)
    opened = Store(store)
    rows = [row for row in opened.with_face() if row.sample.label is Label.LIVE and row.sample.split is not Split.TEST]
    if not rows:
        raise InputError(f"store {store} holds no live face outside its test split; expected some. Prepare faces.")
    return StoredFaces(opened, rows, size)


def _first(stored: "StoredFaces", count: int, seed: int) -> "StoredFaces":
    """Return `count` of the faces, shuffled by a seed of its own."""
    from despoof.errors import InputError
    from despoof.generator.training.latents import StoredFaces
    from despoof.runs.seed import item_rng

    if not 0 < count <= len(stored):
        raise InputError(f"faces {count}; the store holds {len(stored)} to learn from. Ask for 1 to {len(stored)}.")
    picks = item_rng(seed, "faces learned from").permutation(len(stored))[:count]
    return StoredFaces(stored.store, [stored.rows[i] for i in picks], stored.size)
