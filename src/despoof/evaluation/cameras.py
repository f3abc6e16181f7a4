"""Cross-fitted scores -> what a camera that was never seen may expect: tables over cameras, per camera, per species.

Every camera weighs the same. No answer is an error, of live and of attacks alike, and a column says how often there is
none. Intervals redraw cameras, and people within them, with thresholds as they are; seeds are averaged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from despoof import metrics
from despoof.data.draws import CameraDraws
from despoof.data.sample import Label
from despoof.errors import InputError
from despoof.evaluation.crossfit import APCER_7, BPCER_5, EQUAL, CrossFitted
from despoof.evaluation.intervals import Difference, difference
from despoof.evaluation.protocols import CROSS_FITTED
from despoof.evaluation.tables import Figure, shown

AUC, EER = "AUC", "EER oracle"
AT = f"@ {CROSS_FITTED}"
HTER, APCER, BPCER = f"HTER {AT}", f"APCER {AT}", f"BPCER {AT}"
ONE = "one threshold"  # for all cameras, where the mean BPCER over them is 5 %
ONE_APCER = "APCER @ mean BPCER 5 %"
POINT_WORDS = {"strict": APCER_7, "balanced": EQUAL, "lenient": BPCER_5}  # as a detector names its points
EACH = "Each camera"  # title of a table of many lines
COMPARED = (HTER, AUC, ONE_APCER)
Rows = list[tuple[str, ...]]  # of a table, the first being its head
NOTES = f"""Percent: mean over cameras ± sd over seeds (95 % interval). Each camera is judged by models that learned
nothing of it. `{CROSS_FITTED}`: the threshold of a fold is where APCER and BPCER, averaged over the cameras of all
other folds, are equal. No answer counts as an error. {ONE_APCER}: one threshold for all cameras, at which the mean
BPCER of what was answered is 5 %. {EER}: each camera at its own threshold, which no deployment can know. Intervals
redraw cameras, and in each its people (its images, where people are not told apart); thresholds stay as they are, and
of fewer than about ten cameras they are too narrow.
"""


@dataclass(frozen=True)
class Measured:
    """A figure of each seed and camera, (S, C), and of each camera in each draw, (C, R), over seeds; NaN: not there."""

    values: np.ndarray
    drawn: np.ndarray | None = None


@dataclass(frozen=True)
class Cameras:
    """A model on its cameras: figures by name, those of `species` by its name, and counts by camera."""

    judged: CrossFitted
    names: tuple[str, ...]
    figures: dict[str, Measured]
    species: dict[str, Measured]
    counts: dict[str, np.ndarray]  # live, attack, and each species: (C,) presentations
    draws: CameraDraws

    def mean(self, measured: Measured) -> Figure:
        """Return the mean over the cameras that have the figure."""
        by_seed = _mean(measured.values)
        interval = None if measured.drawn is None else self.draws.interval(self.draws.mean(measured.drawn))
        sd = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
        return Figure(float(by_seed.mean()), sd, interval)

    def worst(self, name: str) -> tuple[str, float]:
        """Return the camera of the lowest AUC, or of the highest error, as means over seeds."""
        values = self.figures[name].values.mean(0)
        if np.isnan(values).all():
            return "–", float("nan")
        place = int(np.nanargmin(values) if name == AUC else np.nanargmax(values))
        return self.names[place], float(values[place])


def on_cameras(judged: CrossFitted, *, rounds: int = 1000) -> Cameras:
    """Return the figures of a model on each camera; `rounds` are of the bootstrap, 0 leaves intervals out."""
    people = [row.subject for row in judged.rows]
    draws = CameraDraws([row.domain for row in judged.rows], people, rounds=rounds)
    one = np.array([[judged.curves(i).at_bpcer(0.05).threshold] for i in range(len(judged.seeds))])
    thresholds = judged.thresholds | {ONE: np.broadcast_to(one, judged.liveness.shape)}
    live, kinds = judged.live, np.array([row.attack_type for row in judged.rows])
    figures = {AUC: _auc(judged, draws), EER: _eer(judged, draws)}
    for point, limits in thresholds.items():
        errors = judged.errors(limits)
        for name, mask in (("BPCER", live), ("APCER", ~live)):
            figures[f"{name}, {point}"] = Measured(*draws.shares(errors, mask))
    figures |= {BPCER: figures[f"BPCER, {EQUAL}"], APCER: figures[f"APCER, {EQUAL}"]}
    figures |= {HTER: half_total(figures[APCER], figures[BPCER]), ONE_APCER: figures[f"APCER, {ONE}"]}
    figures["no answer"] = Measured(*draws.shares(np.isnan(judged.liveness), np.ones(len(live), bool)))
    errors = judged.errors(judged.thresholds[EQUAL])
    masks = {str(kind): kinds == kind for kind in np.unique(kinds[~live])}
    counted = {"live": live, "attack": ~live} | masks
    counts = {name: np.array([mask[inside].sum() for inside in draws.places]) for name, mask in counted.items()}
    species = {kind: Measured(*draws.shares(errors, mask)) for kind, mask in masks.items()}
    return Cameras(judged, tuple(map(str, draws.names)), figures, species, counts, draws)


def all_tables(models: Sequence[Cameras], first: str | None = None) -> dict[str, Rows]:
    """Return every table of models on their cameras by its title; `first` is the model that all others are minus of."""
    tables = {
        "Mean over cameras": row_table(models),
        f"Points of the mean over cameras, {CROSS_FITTED}": point_table(models),
        "Attack species, mean over the cameras that have it": species_table(models),
    }
    if first is not None:
        tables["Differences between models, percentage points (95 % interval)"] = difference_table(models, first)
    return tables | {EACH: camera_table(models)}


def row_table(models: Sequence[Cameras]) -> Rows:
    """Return one row for each model."""
    means = (AUC, HTER, APCER, BPCER, ONE_APCER, EER, "no answer")
    rows = [("protocol", "model", "seeds", "cameras", "live", "attack", *means, "worst AUC", "worst HTER")]
    for each in models:
        sizes = (len(each.judged.seeds), len(each.names), each.counts["live"].sum(), each.counts["attack"].sum())
        worst = (f"{100 * value:.2f} ({camera})" for camera, value in map(each.worst, (AUC, HTER)))
        figures = (shown(each.mean(each.figures[name])) for name in means)
        rows.append((*_name(each), *map(str, sizes), *figures, *worst))
    return rows


def point_table(models: Sequence[Cameras]) -> Rows:
    """Return what each model's cross-fitted points came to on the cameras that they did not come from."""
    rows = [("protocol", "model", f"point, {CROSS_FITTED}", "BPCER", "APCER")]
    for each in models:
        for word, point in POINT_WORDS.items():
            rates = (shown(each.mean(each.figures[f"{rate}, {point}"])) for rate in ("BPCER", "APCER"))
            rows.append((*_name(each), f"{word}: mean {point}" if point != EQUAL else f"{word}: {point}", *rates))
    return rows


def species_table(models: Sequence[Cameras]) -> Rows:
    """Return APCER of each attack species, as the mean over the cameras that have it."""
    rows = [("protocol", "model", "species", "cameras", "attacks", APCER)]
    for each in models:
        for kind, measured in each.species.items():
            count = each.counts[kind]
            rows.append((*_name(each), kind, str((count > 0).sum()), str(count.sum()), shown(each.mean(measured))))
    return rows


def camera_table(models: Sequence[Cameras]) -> Rows:
    """Return the figures of each camera, as means over seeds."""
    names = (AUC, HTER, APCER, BPCER, EER, "no answer")
    rows = [("protocol", "model", "camera", "live", "attack", *names)]
    for each in models:
        for i, camera in enumerate(each.names):
            counts = (str(each.counts[label.value][i]) for label in Label)
            figures = (shown(Figure(float(each.figures[name].values[:, i].mean()))) for name in names)
            rows.append((*_name(each), camera, *counts, *figures))
    return rows


def difference_table(models: Sequence[Cameras], first: str, names: Sequence[str] = COMPARED) -> Rows:
    """Return `first` minus every other model that judged the same presentations, drawn alike, in percentage points."""
    known = sorted({each.judged.model for each in models})
    if first not in known:
        raise InputError(f"model {first!r} is not among the score files; expected one of {', '.join(known)}.")
    rows = [("protocol", f"{first} minus", *names, "interval excludes 0")]
    for one in (each for each in models if each.judged.model == first):
        for other in models:
            if other is one or not other.draws.rounds or _presented(one) != _presented(other):
                continue
            found = {name: paired_difference(one, other, name) for name in names}
            apart = [name for name, each in found.items() if not each.interval.low <= 0 <= each.interval.high]
            figures = (
                f"{100 * each.value:+.2f} ({100 * each.interval.low:+.1f} to {100 * each.interval.high:+.1f})"
                for each in found.values()
            )
            rows.append((one.judged.protocol, _against(one, other), *figures, ", ".join(apart) or "none"))
    return rows


def _name(each: Cameras) -> tuple[str, str]:
    return each.judged.protocol, each.judged.model


def _against(one: Cameras, other: Cameras) -> str:
    """Return the other model's name, with its protocol where that is another."""
    same = one.judged.protocol == other.judged.protocol
    return other.judged.model if same else f"{other.judged.model} ({other.judged.protocol})"


def _presented(each: Cameras) -> list[tuple[str, str, Label]]:
    return [(row.domain, row.path, row.label) for row in each.judged.rows]


def paired_difference(one: Cameras, other: Cameras, name: str) -> Difference:
    """Return a figure of one model minus another's that judged the same presentations, both drawn alike."""
    means, drawn = [], []
    for each in (one, other):
        means.append(_mean(each.figures[name].values).mean())
        drawn.append(each.draws.mean(each.figures[name].drawn))
    rounds = drawn[0] - drawn[1]
    known = rounds[~np.isnan(rounds)]  # a round that drew no live, or no attack, says nothing
    return difference(means[0] - means[1], known if len(known) else rounds)


def _auc(judged: CrossFitted, draws: CameraDraws) -> Measured:
    def one(scores: np.ndarray, live: np.ndarray) -> float:
        return metrics.auc(scores[live], scores[~live])

    drawn = np.zeros((len(draws.names), draws.rounds))
    for row in judged.liveness:
        for i, (place, times) in enumerate(zip(draws.places, draws.times, strict=True)):
            drawn[i] += _drawn_auc(row[place], judged.live[place], times) / len(judged.liveness)
    return Measured(_each_camera(judged, draws, one), drawn)


def _drawn_auc(scores: np.ndarray, live: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return (R,): the AUC of the answered of n presentations, there as often as times (R, n) say; NaN of one class."""
    answered = ~np.isnan(scores)
    one, other = answered & live, answered & ~live
    gap = scores[one][:, None] - scores[other]
    won = ((gap > 0) + 0.5 * (gap == 0)).astype(np.float32)
    pairs = times[:, one].sum(1) * times[:, other].sum(1)
    return ((times[:, one] @ won) * times[:, other]).sum(1) / np.where(pairs > 0, pairs, np.nan)


def _eer(judged: CrossFitted, draws: CameraDraws) -> Measured:
    return Measured(_each_camera(judged, draws, lambda scores, live: metrics.eer(scores[live], scores[~live])[0]))


def _each_camera(
    judged: CrossFitted, draws: CameraDraws, statistic: Callable[[np.ndarray, np.ndarray], float]
) -> np.ndarray:
    """Return (S, C): a statistic of the answered scores and of which are live; NaN where a class has no answer."""
    values = np.full((len(judged.liveness), len(draws.names)), np.nan)
    for s, row in enumerate(judged.liveness):
        for c, place in enumerate(draws.places):
            scores, live = row[place], judged.live[place]
            answered = ~np.isnan(scores)
            if (live & answered).any() and (~live & answered).any():
                values[s, c] = statistic(scores[answered], live[answered])
    return values


def half_total(one: Measured, other: Measured) -> Measured:
    """Return the mean of two rates, such as APCER and BPCER."""
    return Measured((one.values + other.values) / 2, (one.drawn + other.drawn) / 2)


def _mean(values: np.ndarray) -> np.ndarray:
    """Return (S,): the mean over the cameras of (S, C) that have a number; NaN where none has."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)
