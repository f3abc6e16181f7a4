"""`despoof train autoencoder|identity|generator|detector`: each resumes where it stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from despoof.data.store import StoredSample
    from despoof.generator.config import GeneratorConfig

Preset = Literal["small", "tiny"]
Insertion = Literal["attention", "none", "dual"]


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
    from despoof.generator.train_autoencoder import AutoencoderTraining, train_autoencoder
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
    from despoof.generator.train_identity import IdentityTraining, teacher_embeddings, train_identity
    from despoof.runs.loop import LoopConfig

    config, rows, faces = _real_faces(store, preset, threads)
    targets = teacher_embeddings(rows, teacher, run / "teacher.npy")
    print(train_identity(config, IdentityTraining(LoopConfig(steps), seed=seed), faces, targets, run))


def generator(
    store: Path, run: Path, autoencoder: Path, identity: Path, *, preset: Preset = "small", steps: int = 6000,
    seed: int = 0, threads: int = 2,
) -> None:  # fmt: skip
    """Train the denoiser on the latents of the live faces of a store (train split).

    Args:
        store: folder made by `despoof prepare`; only live faces are used.
        run: folder for log, state and generator.safetensors.
        autoencoder: autoencoder.safetensors.
        identity: identity.safetensors.
        preset: shape of the generator.
        steps: optimisation steps of 32 faces.
        seed: of weights, noise and batches.
        threads: of the processor.
    """
    from despoof.generator.train_generator import GeneratorTraining, train_generator
    from despoof.runs.loop import LoopConfig

    config, _, faces = _real_faces(store, preset, threads)
    training = GeneratorTraining(LoopConfig(steps), seed=seed)
    print(train_generator(config, training, faces, (autoencoder, identity), run))


def detector(
    store: Path, counterparts: Path, run: Path, *, insertion: Insertion = "attention", preset: Preset = "small",
    steps: int | None = None, seed: int = 0, threads: int = 2,
) -> None:  # fmt: skip
    """Train the detector on every domain of a store, selected on subject-disjoint validation.

    Args:
        store: folder made by `despoof prepare`, live and attack, with domains.
        counterparts: folder made by `despoof reconstruct`.
        run: folder for log, state and detector.safetensors with its operating points.
        insertion: where the cue enters.
        preset: shape of the detector.
        steps: optimisation steps; the preset's if left out.
        seed: of weights, batches and of the validation split.
        threads: of the processor.
    """
    import torch

    from despoof.data.store import Store
    from despoof.evaluation.detectors import DetectorRecipe, train_shipped

    torch.set_num_threads(threads)
    recipe = DetectorRecipe(preset, insertion, counterparts, steps)
    print(train_shipped(Store(store), recipe, seed, run))


def _real_faces(store: Path, preset: str, threads: int) -> "tuple[GeneratorConfig, list[StoredSample], np.ndarray]":
    import torch

    from despoof.data.sample import Label, Split
    from despoof.data.store import Store
    from despoof.errors import InputError
    from despoof.generator.config import PRESETS

    torch.set_num_threads(threads)
    config, opened = PRESETS[preset], Store(store)
    rows = [row for row in opened.with_face() if row.sample.label is Label.LIVE and row.sample.split is not Split.TEST]
    if not rows:
        raise InputError(f"store {store} holds no live face outside its test split; expected some. Prepare faces.")
    return config, rows, opened.faces(rows, config.face_size)
