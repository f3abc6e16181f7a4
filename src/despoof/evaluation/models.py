"""Every model that a protocol can fit, by its name; the one file of evaluation that knows detectors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from despoof.detector.batches import Gathered, chosen, gather
from despoof.detector.config import FROZEN, INSERTIONS, PRESETS, DetectorConfig, DetectorRecipe, TechniqueConfig
from despoof.detector.frozen.reading import Numbers
from despoof.detector.recipe import fitted, identity, train_recipe
from despoof.detector.scoring import scores
from despoof.errors import InputError
from despoof.evaluation import baselines
from despoof.evaluation.peers.peer import packaged, packaged_names
from despoof.evaluation.runner import Model, Rows, Score, untrained
from despoof.faces.store import Store
from despoof.runs.config import config_hash, to_dict

BASELINES = ("saturation", "sharpness", "statistics")
MIXED = 0.5  # chance of MixStyle, as published
SELECTION = {"last step": "last", "source-validation": "validation"}  # word of protocols -> of the training config
# Options that a model's name and its protocol say, and the place of files, which a run's parents name by their content
NOT_IN_LABEL = ("network.insertion", "training.selection", "probe.released", "head.released", "kernel.released")


@dataclass(frozen=True)
class Material:
    """What models are made of: a store, counterparts of its faces, the folder of public models' files."""

    store: Store
    counterparts: Path | None = None
    peers: Path | None = None
    workers: int = 0  # processes that make batches ahead
    scratch: Path | None = None  # folder of pixels that memory does not hold
    _read: dict[tuple[int, bool, bool], Gathered] = field(default_factory=dict)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {row.key: i for i, row in enumerate(self.store.with_face())}

    @cached_property
    def numbers(self) -> Numbers:
        """What frozen networks read in the store, over models, cells and seeds; kept in it."""
        return Numbers.of_store(self.store, self.scratch)

    def whole(self, network: DetectorConfig) -> Gathered:
        """Return the store as a network reads it, read once for all that read alike; what lacks is an error."""
        key = network.face_size, network.uses_cue, network.uses_surroundings
        if key not in self._read:
            self._read[key] = gather(self.store, self.store.with_face(), network, self.counterparts, self.scratch)
        return self._read[key]

    def part(self, network: DetectorConfig, rows: Rows) -> Gathered:
        """Return rows of the store as a network reads them."""
        return chosen(self.whole(network), np.array([self._places[row.key] for row in rows], int))


def named_models(
    names: Sequence[str] | None, recipe: DetectorRecipe, material: Material, selection: str = "last step"
) -> list[Model]:
    """Return the models of these names, or all that the material allows; what cannot be made is an error here.

    A detector is named by where the cue enters its network, then a technique if not the recipe's, then mixed styles:
    ``none``, ``attention+dann``, ``none+erm+mixstyle``. `selection` is the protocol's.
    """
    each_once = dict.fromkeys(names or _possible(recipe, material))
    return [_named(name, recipe, material, selection) for name in each_once]


def label(recipe: DetectorRecipe) -> str:
    """Return the preset that a recipe is nearest to and what it changes of it, for names of files."""
    changes = {}
    for name, preset in PRESETS.items():
        own = _leaves(to_dict(fitted(preset, {"network": {"backbone": recipe.network.backbone}})))
        changed = {key: value for key, value in _leaves(to_dict(recipe)).items() if own.get(key) != value}
        if preset.network.backbone != recipe.network.backbone:
            changed = {"network.backbone": recipe.network.backbone} | changed
        changes[name] = {key: value for key, value in changed.items() if key not in NOT_IN_LABEL}
    nearest = min(changes, key=lambda name: len(changes[name]))
    parts = [f"{key.partition('.')[2] or key}={_word(value)}" for key, value in changes[nearest].items()]
    text = "-".join([nearest, *parts])
    return text if re.fullmatch(r"[\w.=+-]{1,80}", text) else f"{nearest}-{config_hash(changes[nearest])}"


def _possible(recipe: DetectorRecipe, material: Material) -> list[str]:
    usual = ("none", "dual") if recipe.training is None else ("attention", "none", "dual")
    detectors = [name for name in usual if name == "none" or material.counterparts is not None]
    return [*detectors, *BASELINES, *(packaged_names() if material.peers else ())]


def _named(name: str, recipe: DetectorRecipe, material: Material, selection: str) -> Model:
    store, insertion = material.store, name.partition("+")[0]
    if insertion in INSERTIONS:
        return _detector(f"{name}-{label(recipe)}", _recipe(name, recipe, selection), material)
    if name in baselines.NUMBERS:
        return untrained(name, baselines.number(store, name))
    if name == "statistics":
        return Model(name, baselines.statistics_baseline(store), {"ridge": baselines.RIDGE}, seeded=False)
    if name not in packaged_names():
        known = ", ".join([*INSERTIONS, *baselines.NUMBERS, "statistics", *packaged_names()])
        raise InputError(f"model {name!r}; expected one of {known}. Correct the name.")
    if material.peers is None:
        raise InputError(f"model {name!r} needs --peers, the folder of its ONNX files. Give it or leave it out.")
    placed = packaged(name, material.peers)
    return untrained(name, baselines.peer(placed), placed.hashes)


def _recipe(name: str, recipe: DetectorRecipe, selection: str) -> DetectorRecipe:
    """Return the recipe of a name, such as ``attention+dann+mixstyle``."""
    insertion, *more = name.split("+")
    recipe = replace(recipe, network=replace(recipe.network, insertion=insertion))
    if recipe.training is None:
        if more:
            raise InputError(
                f"model {name!r} on frozen networks; expected one of {', '.join(FROZEN)}. Take another preset."
            )
        return recipe
    training = replace(recipe.training, selection=SELECTION[selection])
    if more[-1:] == ["mixstyle"]:
        training, more = replace(training, style_mixing=MIXED), more[:-1]
    if len(more) > 1:
        raise InputError(f"model {name!r} names two techniques; expected one. Leave one out.")
    return replace(recipe, training=replace(training, technique=TechniqueConfig(more[0])) if more else training)


def _detector(name: str, recipe: DetectorRecipe, material: Material) -> Model:
    network, counterparts = recipe.network, material.counterparts
    if network.uses_cue and counterparts is None:
        raise InputError(f"model {name!r} needs --counterparts, made by `despoof reconstruct`. Give the folder.")

    def fit(train_rows: Rows, validation_rows: Rows, seed: int, folder: Path) -> Score:
        sets = (material.part(network, rows) if rows else None for rows in (train_rows, validation_rows))
        numbers = material.numbers if recipe.training is None else None
        options = {"seed": seed, "counterparts": counterparts, "workers": material.workers, "numbers": numbers}
        detector = train_recipe(recipe, *sets, folder, **options)
        return lambda rows: scores(detector, material.part(network, rows), numbers=numbers)

    whole = identity(recipe, 0, counterparts)
    config = {key: value for key, value in whole.config.items() if key != "seed"}
    return Model(name, fit, config, whole.parents, seeded=recipe.seeded, ready=lambda: material.whole(network))


def _word(value: object) -> str:
    """Return a value for the name of a file: of a path its last part, of a list its parts."""
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    return Path(str(value)).name


def _leaves(values: dict, inside: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        found |= _leaves(value, f"{inside}{key}.") if isinstance(value, dict) else {f"{inside}{key}": value}
    return found
