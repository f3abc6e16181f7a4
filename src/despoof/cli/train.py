"""`despoof train autoencoder|identity|generator|student`: each resumes where it stopped."""

from pathlib import Path
from typing import TYPE_CHECKING

from despoof.cli.options import Place, configured, launchable
from despoof.generator.config import (
    AUTOENCODER_RECIPES,
    GENERATOR_RECIPES,
    IDENTITY_RECIPES,
    STUDENT_RECIPES,
    AutoencoderRecipe,
    GeneratorRecipe,
    IdentityRecipe,
    StudentRecipe,
)

if TYPE_CHECKING:
    from despoof.generator.training.latents import StoredFaces


@launchable
@configured(AUTOENCODER_RECIPES, "small")
def autoencoder(store: Place, run: Path, *, recipe: AutoencoderRecipe, threads: int = 2) -> None:
    """Train the autoencoder on the live faces of a store (train split).

    Args:
        store: folder made by `despoof prepare`, or a URI of shards of it; only live faces are used.
        run: folder for log, state and autoencoder.safetensors.
        threads: of the processor.
    """
    from despoof.generator.training.autoencoder import train_autoencoder

    print(train_autoencoder(recipe, _live_faces(store, recipe.generator.face_size, threads), run))


@launchable
@configured(IDENTITY_RECIPES, "small")
def identity(store: Place, run: Path, teacher: Path, *, recipe: IdentityRecipe, threads: int = 2) -> None:
    """Distil the identity encoder from an ArcFace ONNX teacher on the live faces of a store (train split).

    Args:
        store: folder made by `despoof prepare`, or a URI of shards of it; its source images must still lie where they
            were.
        run: folder for log, state and identity.safetensors.
        teacher: ONNX file, 112 px ArcFace crops, RGB, ImageNet mean and deviation.
        threads: of the processor.
    """
    from despoof.generator.training.identity import train_identity

    faces = _live_faces(store, recipe.generator.face_size, threads)
    print(train_identity(recipe, faces, run, teacher=teacher))


@launchable
@configured(GENERATOR_RECIPES, "small")
def generator(
    store: Place, run: Path, autoencoder: Path | None = None, identity: Path | None = None, *, recipe: GeneratorRecipe,
    start_from: Path | None = None, faces: int | None = None, threads: int = 2,
) -> None:  # fmt: skip
    """Train a generator on the live faces of a store (train split); under `torchrun`, on many processes.

    Args:
        store: folder made by `despoof prepare`, or a URI of shards of it; only live faces are used.
        run: folder for log, state and generator.safetensors.
        autoencoder: autoencoder.safetensors; of the preset paper, the folder `vae` in diffusers' format.
        identity: identity.safetensors, any ArcFace checkpoint as .onnx (which has no map: `--generator.condition`
            embedding or none), or an iResNet as .pth.
        start_from: to start from its weights: folder of a U-Net of the same shape in diffusers' format, or another
            generator.safetensors, whose autoencoder and identity encoder are taken too where none are given.
        faces: how many are learned from, the first of a shuffle by the training's seed, so fewer are a part of more;
            all if left out.
        threads: of the processor, per process.
    """
    from despoof.generator.training import train_generator

    learned = _first(_live_faces(store, recipe.generator.face_size, threads), faces, recipe.training.seed)
    parts = {"autoencoder": autoencoder, "identity": identity, "start_from": start_from}
    print(train_generator(recipe, learned, run, **parts))


@launchable
@configured(STUDENT_RECIPES, "small")
def student(
    store: Place, run: Path, teacher: Path, *, recipe: StudentRecipe, faces: int | None = None, threads: int = 2
) -> None:
    """Train a one-step generator from a trained one, on the live faces of a store (train split).

    By `--training.target teacher` it learns what the teacher makes in many calls, by `face` the faces themselves.

    Args:
        store: folder made by `despoof prepare`, or a URI of shards of it; only live faces are used.
        run: folder for the teacher's latents, log, state and generator.safetensors.
        teacher: generator.safetensors of kind diffusion; to learn the faces, also a one-step one to go on from.
        faces: how many are learned from, the first of a shuffle by the training's seed, so fewer are a part of more;
            all if left out.
        threads: of the processor.
    """
    from despoof.generator.registry import load_generator
    from despoof.generator.training.student import train_student

    learned = _first(_live_faces(store, load_generator(teacher).config.face_size, threads), faces, recipe.training.seed)
    print(train_student(recipe, learned, run, teacher=teacher))


def _live_faces(store: Place, size: int, threads: int) -> "StoredFaces":
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


def _first(stored: "StoredFaces", count: int | None, seed: int) -> "StoredFaces":
    """Return `count` of the faces, shuffled by a seed of its own; all in their order for None."""
    from dataclasses import replace

    from despoof.errors import InputError
    from despoof.runs.seed import item_rng

    if count is None:
        return stored
    if not 0 < count <= len(stored):
        raise InputError(f"faces {count}; the store holds {len(stored)} to learn from. Ask for 1 to {len(stored)}.")
    picks = item_rng(seed, "faces learned from").permutation(len(stored))[:count]
    return replace(stored, rows=[stored.rows[i] for i in picks])
