"""Trainers of the generator's parts, on real faces only. Each resumes its own run and refuses another's folder."""

import importlib
from pathlib import Path
from typing import Any

from despoof.errors import ConfigError
from despoof.generator.config import GeneratorRecipe
from despoof.generator.registry import generator_class


def train_generator(recipe: GeneratorRecipe, faces: Any, folder: str | Path, **parts: str | Path | None) -> Path:
    """Train a generator by its kind's own trainer on faces (N, S, S, 3) uint8; return its weights file.

    `parts` are paths: autoencoder, identity, start_from.
    """
    kind = recipe.generator.kind
    module, _, name = generator_class(kind).trainer.partition(":")
    if not name:
        raise ConfigError(f"kind {kind!r} has no trainer of its own. Make it from another: `despoof train student`.")
    return getattr(importlib.import_module(module), name)(recipe, faces, folder, **parts)
