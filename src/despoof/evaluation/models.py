"""Detectors as models that a protocol can fit, and the one that ships."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from despoof.data.split import split_by_subject
from despoof.detector.backbones import BACKBONES
from despoof.detector.batches import Gathered, without_simulated
from despoof.detector.config import PRESETS, DetectorConfig, DetectorTraining
from despoof.detector.members import merge
from despoof.detector.network import load_detector, save_detector
from despoof.detector.probe import train_probe
from despoof.detector.scoring import fit_calibration, logits, scores
from despoof.detector.train import train
from despoof.evaluation.protocols import is_live
from despoof.evaluation.runner import Model, Rows, Score
from despoof.faces.counterparts import read_counterparts
from despoof.faces.store import Store
from despoof.metrics import apcer_at_bpcer, auc, bpcer_at_apcer, ece, eer, proportion_interval
from despoof.runs.config import config_hash
from despoof.runs.processes import choose_device

MEMBER_SEEDS = 1000  # from one member's seed to the next, so that seeds 0, 1, 2 share none


@dataclass(frozen=True)
class DetectorRecipe:
    """What is trained: preset, where the cue enters, folder of counterparts; the rest if not the preset's."""

    preset: str
    insertion: str
    counterparts: Path
    steps: int | None = None
    selection: str | None = None
    technique: str | None = None
    style_mixing: float | None = None
    backbone: str | None = None
    start: str | None = None  # "random" in place of the preset's
    start_from: Path | None = None  # pretrained weights of a backbone other than MobileNetV2
    members: int = 1  # runs that start alike and whose weights are averaged
    real_members: int = 0  # more such runs, which learn from real captures alone
    workers: int = 0  # processes that make batches ahead

    @property
    def config(self) -> DetectorConfig:
        """The network."""
        preset = PRESETS[self.preset][0]
        backbone = self.backbone or preset.backbone
        strides = preset.attention_strides
        if backbone != preset.backbone and self.insertion in ("attention", "last"):
            with torch.device("meta"):  # for its stages alone
                found = {stage.stride for stage in BACKBONES[backbone]().stages if stage.stride >= 8}
            strides = tuple(sorted(each for each in found if each <= max(preset.statistics, default=each)))
        return replace(preset, insertion=self.insertion, backbone=backbone, attention_strides=strides)

    def training(self, seed: int) -> DetectorTraining:
        """The optimisation, of one seed."""
        given = {
            "start": self.start,
            "frozen_stages": 0 if self.start == "random" else None,
            "steps": self.steps,
            "selection": self.selection,
            "technique": self.technique,
            "style_mixing": self.style_mixing,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        return replace(PRESETS[self.preset][1], seed=seed, **chosen)

    def fit(
        self, sets: tuple[Gathered, Gathered], seed: int, folder: Path, known: dict[str, torch.Tensor] | None = None
    ) -> Path:
        """Train on (training, validation), or train the members and merge them; return the artefact.

        `known` is of a probe: what its backbone has read before.
        """
        training = self.training(seed)
        if training.optimiser == "logistic":
            return train_probe(self.config, training, *sets, folder, start_from=self.start_from, known=known)
        if self.members == 1 and not self.real_members:
            return self._train(training, sets, folder)
        files = []
        for kind, count, learned in (
            ("member", self.members, sets[0]),
            ("real-member", self.real_members, without_simulated(sets[0])),
        ):
            for number in range(count):
                member = replace(training, seed=seed + MEMBER_SEEDS * number, start_seed=seed)
                files.append(self._train(member, (learned, sets[1]), folder / f"{kind}-{number}"))
        return merge(files, sets[1], folder / "detector.safetensors")

    def _train(self, training: DetectorTraining, sets: tuple[Gathered, Gathered], folder: Path) -> Path:
        return train(self.config, training, *sets, folder, start_from=self.start_from, workers=self.workers)


class Pixels:
    """Faces and counterparts of a whole store, read once."""

    def __init__(self, store: Store, recipe: DetectorRecipe) -> None:
        self.recipe = recipe
        self.rows = store.with_face()
        self._store = store

    @cached_property
    def _index(self) -> dict[str, int]:
        return {row.key: i for i, row in enumerate(self.rows)}

    @cached_property
    def _faces(self) -> np.ndarray:
        return self._store.faces(self.rows, self.recipe.config.face_size)

    @cached_property
    def _counterparts(self) -> np.ndarray | None:
        if not self.recipe.config.uses_cue:
            return None
        size = self.recipe.config.face_size
        return read_counterparts(self.recipe.counterparts, self.rows, size, faces=self._faces)

    def gather(self, rows: Rows) -> Gathered:
        """Return what a detector trains on or scores."""
        picks = [self._index[row.key] for row in rows]
        domains = sorted({row.sample.domain for row in self.rows})
        return Gathered(
            self._faces[picks],
            None if self._counterparts is None else self._counterparts[picks],
            is_live(rows),
            np.array([domains.index(row.sample.domain) for row in rows]),
            [row.key for row in rows],
            np.array([row.sample.simulated for row in rows], bool),
        )


def detector_model(name: str, store: Store, recipe: DetectorRecipe) -> Model:
    """Return the recipe as a model for `run_protocol`."""
    pixels = Pixels(store, recipe)
    known: dict[int, dict[str, torch.Tensor]] = {}  # seed -> what a probe's backbone read, over the cells

    def fit(train_rows: Rows, validation_rows: Rows, seed: int, folder: Path) -> Score:
        sets = pixels.gather(train_rows), pixels.gather(validation_rows)
        detector = load_detector(recipe.fit(sets, seed, folder, known.setdefault(seed, {}))).to(choose_device())
        return lambda rows: scores(detector, pixels.gather(rows))

    facts = {
        "config_hash": config_hash(recipe.config),
        "training_hash": config_hash(recipe.training(0)),
        "counterparts": recipe.counterparts.name if recipe.config.uses_cue else None,
    }
    if recipe.members > 1:
        facts["members"] = recipe.members
    if recipe.real_members:
        facts["real_members"] = recipe.real_members
    return Model(name, fit, facts)


def train_shipped(store: Store, recipe: DetectorRecipe, seed: int, folder: Path) -> Path:
    """Train on all domains of a store; return the artefact, with operating points from validation.

    Validation is subject-disjoint. Figures are of its real captures alone; calibration and the two thresholds of the
    decision are of its simulated ones too, where there are any: a threshold fixed on the cameras that were learned
    from lies too high for others (docs/log.md).
    """
    pixels = Pixels(store, recipe)
    _, held = split_by_subject([row.sample for row in pixels.rows], 0.15, seed)
    keys = {sample.key for sample in held}
    train_rows = [row for row in pixels.rows if row.key not in keys]
    held_rows = [row for row in pixels.rows if row.key in keys]
    real = np.array([not row.sample.simulated for row in held_rows])
    validation_rows = [row for row, each in zip(held_rows, real, strict=True) if each]
    sets = pixels.gather(train_rows), pixels.gather(validation_rows)
    detector = load_detector(recipe.fit(sets, seed, folder / "training"))
    everyone = pixels.gather(held_rows)
    temperature, offset = fit_calibration(logits(detector, everyone), everyone.live)
    detector.facts |= {"temperature": temperature, "offset": offset}
    liveness = scores(detector, everyone)
    limits = thresholds(liveness, held_rows)
    facts = {"thresholds": limits, "validation": figures(liveness[real], validation_rows, limits)}
    path = folder / "detector.safetensors"
    save_detector(path, detector, facts=facts)
    return path


def thresholds(liveness: np.ndarray, rows: Rows) -> dict[str, float]:
    """Return the two thresholds of the decision from liveness (N,) of validation.

    A face is LIVE from the threshold of equal error, ATTACK below the one where BPCER is at most 5 %, and UNCERTAIN
    between.
    """
    live, attacks = is_live(rows), _by_species(liveness, rows)
    high = eer(liveness[live], liveness[~live])[1]
    low = min(apcer_at_bpcer(liveness[live], attacks, 0.05).threshold, high)
    return {"attack_below": low, "live_from": high}


def figures(liveness: np.ndarray, rows: Rows, limits: dict[str, float]) -> dict:
    """Return figures of liveness (N,) at the thresholds, and stricter points of APCER in every species and of BPCER."""
    live, attacks = is_live(rows), _by_species(liveness, rows)
    strict = {
        f"bpcer_at_apcer_{share:g}": asdict(bpcer_at_apcer(liveness[live], attacks, share))
        for share in (0.1, 0.05, 0.01)
    }
    lenient = {
        f"apcer_at_bpcer_{share:g}": asdict(apcer_at_bpcer(liveness[live], attacks, share))
        for share in (0.1, 0.05, 0.01)
    }
    refused, passed = (liveness[live] < limits["live_from"]).sum(), (liveness[~live] >= limits["live_from"]).sum()
    return {
        "live": int(live.sum()),
        "attack": int((~live).sum()),
        "auc": auc(liveness[live], liveness[~live]),
        "eer": eer(liveness[live], liveness[~live])[0],
        "ece": ece(liveness[live], liveness[~live]),
        "bpcer_at_live_from": asdict(proportion_interval(int(refused), int(live.sum()))),
        "apcer_pooled_at_live_from": asdict(proportion_interval(int(passed), int((~live).sum()))),
        **strict,
        **lenient,
    }


def _by_species(liveness: np.ndarray, rows: Rows) -> dict[str, np.ndarray]:
    live = is_live(rows)
    names = np.array([f"{row.sample.domain}/{row.sample.attack_type}" for row in rows])
    return {name: liveness[~live & (names == name)] for name in sorted(set(names[~live]))}
