"""The study: every form of the cue alone, beside the face's own numbers, and beside all that the detector reads."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from despoof.evaluation.cameras import AUC, HTER, Cameras, on_cameras
from despoof.evaluation.crossfit import EQUAL
from despoof.faces.store import Store, StoredSample
from despoof.studies.carriers.judging import JUDGE, Block, Model, judge
from despoof.studies.carriers.making import BLURRED, COPIED, Make, ways
from despoof.studies.carriers.reading import FACES, TOOK, Numbers, Sight, operations, read_all, stages
from despoof.studies.readings import some
from despoof.studies.tables import Estimate, Share

SHIPS = "ships"
BESIDE = {"alone": (), FACES: (FACES,), SHIPS: (SHIPS,)}  # place of a form -> what it stands beside
Figures = dict[str, Estimate]  # HTER and AUC, in percent


class Exchange(NamedTuple):
    """Decisions that differ, of all captures, live and attacks, with other numbers for the cue's; and the HTER then."""

    all: Share
    live: Share
    attacks: Share
    hter: float


@dataclass(frozen=True)
class Form:
    """One form of the cue of counterparts made in one way, by its place: alone, beside the face, beside "ships".

    Figures are its own, and less those of what it stands beside; of another generator's counterparts, also less those
    of the first's. It takes `took` milliseconds a face, and 1e9 `operations`, beside what the face itself takes.
    """

    counterpart: str
    cue: str
    numbers: int
    took: float
    operations: float
    figures: dict[str, Figures] = field(default_factory=dict)
    minus: dict[str, Figures] = field(default_factory=dict)
    against: dict[str, Figures] = field(default_factory=dict)
    exchanged: dict[str, dict[str, Exchange]] = field(default_factory=dict)  # given instead, a key of `GIVEN`

    def better(self, place: str) -> bool:
        """Say whether it lowers the error or raises the AUC beyond the interval."""
        return self.minus[place][HTER].high < 0 or self.minus[place][AUC].low > 0


@dataclass(frozen=True)
class Found:
    """Figures of what forms stand beside, the forms, and how alike two draws of noise make some (correlation)."""

    captures: Sequence[StoredSample]
    references: dict[str, Figures]
    forms: list[Form]
    alike: dict[str, float]


def captures(store: Store, per_group: int, seed: int = 0) -> list[StoredSample]:
    """Return `per_group` real captures of each camera, class and species, the same in any run."""
    groups: dict[tuple[str, str, str], list[StoredSample]] = {}
    for row in store.with_face():
        if not row.sample.simulated:
            sample = row.sample
            groups.setdefault((sample.domain, sample.label.value, sample.attack_type), []).append(row)
    return [row for key in sorted(groups) for row in some(groups[key], per_group, seed)]


def carriers(
    sight: Sight, store: Store, rows: Sequence[StoredSample], out: Path, *, steps: Sequence[int], seeds: int = 3,
    others: Mapping[str, Make] = MappingProxyType({}), features: bool = False,
) -> Found:  # fmt: skip
    """Measure every form on captures of a store; numbers are kept below `out`, so that a killed run goes on.

    With `features`, the difference of features alone, of the generator's own way and the controls; `others` are ways
    of other generators, of which no other form is read either.
    """
    makes = ways(sight.generator, () if features else steps)
    own = next(iter(makes))
    whole = () if features else (own, COPIED)
    if features:
        makes = {name: makes[name] for name in (own, COPIED, BLURRED)}
    makes |= others
    numbers = read_all(sight, store, rows, {name: (make, name in whole) for name, make in makes.items()}, out)
    backbone, drawn = sight.detector.config.backbone, f"{own}, second draw"
    both = tuple(f"features, {name}" for name in (backbone, "minifasnet") if f"{FACES}: {name}" in numbers)
    members = {"mean over t": [f"t {step}" for step in steps], f"{own}, mean of two": [own, drawn]}
    members = {} if features else members
    for name, of in members.items():
        numbers |= {f"{name}: {form}": np.mean([numbers[f"{way}: {form}"] for way in of], 0) for form in both}
    cues = _cues(numbers, whole, both)
    weights = [(part, JUDGE.weights.get(name, 1.0)) for name, part in sight.detector.parts.items()]
    faces = {name.removeprefix(f"{FACES}: "): each for name, each in numbers.items() if name.startswith(f"{FACES}: ")}
    blocks = {name: Block(each) for name, each in (faces | cues).items()}
    blocks |= {FACES: blocks[backbone], SHIPS: Block(faces[SHIPS], weights)}
    references = {FACES: (FACES,), "face, minifasnet": (FACES, "minifasnet"), SHIPS: (SHIPS,)}
    models = [Model(name, of) for name, of in references.items() if set(of) <= set(blocks)]
    references = [model.name for model in models]
    models += [Model(f"{place}|{name}", (*of, name), name) for name in cues for place, of in BESIDE.items()]
    judged, answers = judge(rows, blocks, models, seeds=seeds)
    measured = {name: on_cameras(each) for name, each in judged.items()}
    work, forms = {way: operations(sight, make) for way, make in makes.items()}, []
    for name, each in cues.items():
        way, cue = name.rsplit(": ", 1)
        needed = [(one, stage) for one in members.get(way, [way]) for stage in stages(cue, backbone)]
        took = sum(float(numbers.get(f"{one}: {TOOK}{stage}", np.zeros(1))[0]) for one, stage in needed)
        form = Form(way, cue, each.shape[1], took, sum(work[one].get(stage, 0.0) for one, stage in needed))
        for place, of in BESIDE.items():
            model = measured[f"{place}|{name}"]
            form.figures[place] = _figures(model)
            form.minus[place] = _figures(model, measured[(*of, FACES)[0]])
            if way in others:
                form.against[place] = _figures(model, measured[f"{place}|{own}: {cue}"])
            form.exchanged[place] = {given: _exchange(model, a) for given, a in answers[f"{place}|{name}"].items()}
        forms.append(form)
    alike = {form: _alike(numbers[f"{own}: {form}"], numbers[f"{drawn}: {form}"]) for form in both if drawn in makes}
    return Found(rows, {name: _figures(measured[name]) for name in references}, forms, alike)


def _cues(numbers: Numbers, whole: Collection[str], both: Collection[str]) -> Numbers:
    """Return the numbers of every form of the ways in `whole`, and of the forms in `both` of all others."""
    found = {}
    for name, each in numbers.items():
        way, form = name.rsplit(": ", 1)
        if way != FACES and not form.startswith(TOOK) and (way in whole or form in both):
            found[name] = each
    return found


def _figures(model: Cameras, less: Cameras | None = None) -> Figures:
    """Return the mean over cameras, in percent, or less another model's in the same draws of cameras and people."""

    def of(one: Cameras, name: str) -> np.ndarray:
        return 100 * np.append(one.mean(one.figures[name]).value, one.draws.mean(one.figures[name].drawn))

    found = {}
    for name in (HTER, AUC):
        value, *drawn = of(model, name) - (0 if less is None else of(less, name))
        found[name] = Estimate(float(value), *map(float, np.quantile(drawn, (0.025, 0.975))))
    return found


def _exchange(model: Cameras, answers: np.ndarray) -> Exchange:
    """Return what the answers (N,) of the first seed change, which were given other numbers for the cue's."""
    judged, draws = model.judged, model.draws
    limits, live = judged.thresholds[EQUAL][0], judged.live
    changed = (answers >= limits) != (judged.liveness[0] >= limits)
    shares = (Share(int(changed[of].sum()), int(of.sum())) for of in (live | True, live, ~live))
    errors = (answers >= limits) != live
    rates = (float(np.nanmean(draws.shares(errors, of)[0])) for of in (live, ~live))
    return Exchange(*shares, 50 * sum(rates))


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two draws' numbers (N, K), each standardised over captures, mean over captures."""
    mean, deviation = one.mean(0), one.std(0) + 1e-6
    a, b = ((each - mean) / deviation for each in (one, other))
    a, b = (each - each.mean(1, keepdims=True) for each in (a, b))
    return float(((a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))).mean())
