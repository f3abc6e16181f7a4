"""Score files of all folds of one model -> thresholds for each fold from the scores of all others.

Every score is of a model that never saw its camera, and so are the scores that its threshold comes from. Cameras weigh
the same in a threshold, whatever their size, since the next one is drawn from cameras and not from images.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from despoof.data.sample import Label, Split
from despoof.errors import InputError
from despoof.evaluation.protocols import CROSS_FITTED
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.metrics import MeanCurves, OperatingPoint, mean_curves

EQUAL, BPCER_5, APCER_7 = "equal error", "BPCER 5 %", "APCER 7 %"
POINTS: dict[str, Callable[[MeanCurves], OperatingPoint]] = {  # of rates averaged over cameras
    EQUAL: MeanCurves.equal_error,
    BPCER_5: lambda curves: curves.at_bpcer(0.05),
    APCER_7: lambda curves: curves.at_apcer(0.07),
}


@dataclass(frozen=True)
class CrossFitted:
    """One model on all cameras of a protocol: S seeds, N presentations in the order of camera and path.

    `liveness` is (S, N), NaN where there is no answer; `thresholds` are (S, N) by the name of the point, each
    presentation's from the folds that it is not in.
    """

    protocol: str
    model: str
    seeds: tuple[int, ...]
    rows: tuple[ScoreRow, ...]
    liveness: np.ndarray
    thresholds: dict[str, np.ndarray]

    @cached_property
    def live(self) -> np.ndarray:
        """Which presentations are live, (N,) bool."""
        return np.array([row.label is Label.LIVE for row in self.rows], bool)

    def curves(self, seed: int) -> MeanCurves:
        """Return the rates of one seed, by its place in `seeds`, over one threshold for all cameras."""
        return _curves(self.rows, self.liveness[seed])

    def errors(self, thresholds: np.ndarray) -> np.ndarray:
        """Return (S, N) bool: live refused and attacks accepted at thresholds (S, N); no answer is an error in both."""
        with np.errstate(invalid="ignore"):
            return np.where(self.live, ~(self.liveness >= thresholds), ~(self.liveness < thresholds))


def is_cross_fitted(file: ScoreFile) -> bool:
    """Say whether a score file's thresholds come from the other cells of its protocol."""
    return file.facts.get("threshold") == CROSS_FITTED


def cross_fitted_thresholds(files: Sequence[ScoreFile]) -> dict[str, dict[str, OperatingPoint]]:
    """Return, by cell, each of `POINTS` on the scores of all other cells; rates there are what was seen in those.

    `files` are the tests of one protocol, model and seed. A fold that is missing is an InputError.
    """
    facts = {tuple(str(file.facts[name]) for name in ("protocol", "model", "seed")) for file in files}
    if len(facts) != 1:
        raise InputError(f"score files of {sorted(facts)}; expected one protocol, model and seed. Choose them.")
    name = " / ".join(min(facts))
    _require_all(files, name)
    found = {}
    for file in files:
        others = [row for other in files if other is not file for row in other.rows]
        curves = _curves(others, np.array([np.nan if row.liveness is None else row.liveness for row in others]))
        found[str(file.facts["cell"])] = {point: of(curves) for point, of in POINTS.items()}
    return found


def complete(files: Sequence[ScoreFile]) -> tuple[list[ScoreFile], list[str]]:
    """Return the test score files of the models and seeds of which all folds are there, and why others are not."""
    kept, left_out = [], []
    groups: dict[tuple[str, ...], list[ScoreFile]] = defaultdict(list)
    for file in files:
        groups[tuple(str(file.facts[name]) for name in ("protocol", "model", "seed"))].append(file)
    for name, group in groups.items():
        try:
            _require_all(group, " / ".join(name))
            kept += group
        except InputError as error:
            left_out.append(str(error))
    return kept, left_out


def cross_fitted(files: Sequence[ScoreFile]) -> list[CrossFitted]:
    """Return each protocol and model of test score files, all its seeds together, in alphabetic order."""
    groups: dict[tuple[str, str], dict[int, list[ScoreFile]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        groups[file.facts["protocol"], file.facts["model"]][file.facts["seed"]].append(file)
    return [_one_model(*name, seeds) for name, seeds in sorted(groups.items())]


def _one_model(protocol: str, model: str, seeds: dict[int, list[ScoreFile]]) -> CrossFitted:
    rows: list[ScoreRow] = []
    liveness, thresholds = [], []
    for seed in sorted(seeds):
        points = cross_fitted_thresholds(seeds[seed])
        pairs = [(row, points[str(file.facts["cell"])]) for file in seeds[seed] for row in file.rows]
        pairs.sort(key=lambda pair: _place(pair[0]))
        if rows and [_place(row) for row in rows] != [_place(row) for row, _ in pairs]:
            raise InputError(f"{protocol} / {model}: seeds were tested on other samples; expected the same. Run again.")
        rows = rows or [row for row, _ in pairs]
        liveness.append([np.nan if row.liveness is None else row.liveness for row, _ in pairs])
        thresholds.append([[of[point].threshold for point in POINTS] for _, of in pairs])
    by_point = np.moveaxis(np.array(thresholds), 2, 0)
    limits = dict(zip(POINTS, by_point, strict=True))
    return CrossFitted(protocol, model, tuple(sorted(seeds)), tuple(rows), np.array(liveness, np.float64), limits)


def _place(row: ScoreRow) -> tuple[str, str, str]:
    return row.domain, row.path, row.label.value


def _require_all(files: Sequence[ScoreFile], name: str) -> None:
    """Raise InputError where a camera is tested twice, or learned from and never tested."""
    tested: dict[str, str] = {}
    for file in files:
        if file.facts["split"] != Split.TEST:
            raise InputError(f"{name}: a validation file among the scores; expected test files. Leave it out.")
        for domain in {row.domain for row in file.rows}:
            if domain in tested:
                raise InputError(
                    f"{name}: {domain!r} is tested in {tested[domain]} and {file.facts['cell']}; expected each camera "
                    "in one fold. Leave one out."
                )
            tested[domain] = str(file.facts["cell"])
    learned = {domain for file in files for domain in file.facts.get("sources", ())}
    missing = sorted(learned - set(tested))
    if missing or len(files) < 2:
        raise InputError(
            f"{name}: {len(files)} folds, which learn from {len(missing)} cameras that none of them tests "
            f"({', '.join(missing[:5]) or 'none'}); expected all folds, since the threshold of each comes from all "
            "others. Run the missing cells, or bring their files together."
        )


def _curves(rows: Sequence[ScoreRow], liveness: np.ndarray) -> MeanCurves:
    """Return rates averaged over cameras, of what was answered: a threshold decides nothing else."""
    scores: dict[Label, dict[str, list[float]]] = {label: defaultdict(list) for label in Label}
    for row, value in zip(rows, liveness, strict=True):
        if not np.isnan(value):
            scores[row.label][row.domain].append(value)
    live, attacks = (
        {name: np.array(values) for name, values in scores[label].items()} for label in (Label.LIVE, Label.ATTACK)
    )
    return mean_curves(live, attacks)
