"""Trainers of the generator's parts, on real faces only. Each resumes its own run and refuses another's folder."""

import importlib
from pathlib import Path

from despoof.errors import ConfigError
from despoof.generator.config import GeneratorRecipe
from despoof.generator.registry import generator_class, save_generator
from despoof.generator.training.latents import Faces, data_hash
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import identifying
from despoof.runs.folder import alone_in_folder
from despoof.runs.identity import Identity, provenance


@alone_in_folder
def train_generator(recipe: GeneratorRecipe, faces: Faces, folder: str | Path, **parts: str | Path | None) -> Path:
    """Train a generator by its kind's own trainer on faces (N, S, S, 3) uint8; return its weights file.

    `parts` are paths of `autoencoder`, `identity` and `start_from`. Under a launcher of processes, call it in each.
    """
    kind = recipe.generator.kind
    module, _, name = generator_class(kind).trainer.partition(":")
    if not name:
        raise ConfigError(f"kind {kind!r} has no trainer of its own. Make it from another: `despoof train student`.")
    given = {role: Path(path) for role, path in parts.items() if path is not None}
    parents = {role: file_hash(path) for role, path in given.items()}
    run = Identity("train generator", identifying(recipe), data_hash(faces), parents)
    path = Path(folder) / "generator.safetensors"
    trained = getattr(importlib.import_module(module), name)(recipe, faces, Path(folder), run, given)
    if trained is not None:
        save_generator(path, trained, facts=provenance(run))
    return path
