"""Detectors as models that a protocol can fit."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from despoof.detector.batches import Gathered, chosen, gather
from despoof.detector.config import DetectorRecipe
from despoof.detector.recipe import identity, train_recipe
from despoof.detector.scoring import scores
from despoof.evaluation.runner import Model, Rows, Score
from despoof.faces.store import Store
from despoof.runs.config import config_hash


class _Pixels:
    """Faces and counterparts of a whole store, read once and when they are first asked for."""

    def __init__(self, store: Store, recipe: DetectorRecipe, counterparts: Path | None) -> None:
        self._rows = store.with_face()
        self._places = {row.key: i for i, row in enumerate(self._rows)}
        self._arguments = store, self._rows, recipe.network, counterparts

    @cached_property
    def _whole(self) -> Gathered:
        return gather(*self._arguments)

    def gather(self, rows: Rows) -> Gathered:
        """Return what a detector trains on or scores."""
        return chosen(self._whole, np.array([self._places[row.key] for row in rows], int))


def detector_model(
    name: str, store: Store, recipe: DetectorRecipe, counterparts: Path | None, *, workers: int = 0
) -> Model:
    """Return the recipe as a model for `run_protocol`; its facts are the recipe's identity, whatever the seed."""
    pixels = _Pixels(store, recipe, counterparts)
    known: dict[int, dict[str, torch.Tensor]] = {}  # seed -> what a probe's backbone read, over the cells

    def fit(train_rows: Rows, validation_rows: Rows, seed: int, folder: Path) -> Score:
        sets = pixels.gather(train_rows), pixels.gather(validation_rows)
        detector = train_recipe(
            recipe, *sets, folder, seed=seed, counterparts=counterparts, workers=workers,
            known=known.setdefault(seed, {}),
        )  # fmt: skip
        return lambda rows: scores(detector, pixels.gather(rows))

    told = identity(recipe, 0, counterparts)
    facts = {
        "config_hash": config_hash(told.config["network"]),
        "training_hash": config_hash(told.config["training"] or told.config["probe"]),
        "counterparts": counterparts.name if counterparts and recipe.network.uses_cue else None,
        "members": recipe.members,
        "real_members": recipe.real_members,
        "parents": told.parents,
    }
    return Model(name, fit, facts)
