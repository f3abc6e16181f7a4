"""Judged recordings of one camera -> figures: an outcome for each target, and what the errors have in common.

Rates are of decisions, as `evaluation.measure` counts them: an attack errs as LIVE, a live face as anything else.
Non-responses stand apart, in no rate. APCER stands for IAPAR, the rate of a whole system with a comparison: what passes
there has passed here, so IAPAR is at most APCER on the same presentations. FRR is at least BPCER.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import numpy as np

from despoof import metrics
from despoof.data.sample import Label
from despoof.data.video import is_video
from despoof.evaluation.intervals import Scores, bootstrap_interval
from despoof.evaluation.measure import Judged, figures
from despoof.metrics import auc
from despoof.pipeline import Guard
from despoof.qualification.targets import Target, more_needed
from despoof.verdict import Decision

FORMAT = "despoof-qualify/1"
QUALITY = {  # name in `Judged.quality` -> what more and less of it are called
    "size": ("larger", "smaller"),
    "luma": ("brighter", "darker"),
    "sharpness": ("sharper", "softer"),
    "clipped": ("more clipped", "less clipped"),
    "room": ("seen with more room around", "seen with less room around"),
}
FEWEST, FEWEST_PEOPLE = 8, 3  # errors, and other presentations, from which a link with a quality value is looked for
CONFIDENCE = 1 - 0.05 / len(QUALITY)  # of a link's interval, since all values are tried (Bonferroni)


class Outcome(StrEnum):
    """How a rate, or all rates of a target, stand to their limits."""

    MET = "met"
    NOT_MET = "not met"
    TOO_LITTLE = "too little data"
    NO_THRESHOLD = "no threshold separates this camera"


def qualification(guard: Guard, found: Sequence[Judged], targets: Sequence[Target], *, rounds: int = 1000) -> dict:
    """Return every figure as JSON values; `rounds` are of the bootstrap over people."""
    values = figures(guard, found)
    overlaps = [each for each in (overlap(found, clips, rounds) for clips in (False, True)) if each]
    rates = _with_missing(values["rates"], values["decisions"])
    return values | {
        "format": FORMAT,
        "rates": rates,
        "targets": [held_against(target, rates, overlaps, found) for target in targets],
        "overlap": overlaps,
        "links": [link for errs in (False, True) for link in links(found, attacks=errs, rounds=rounds)],
    }


def outcome(rate: dict, limit: float) -> Outcome:
    """Return how a rate stands to a limit: met where its upper bound is below, not met where its estimate is above."""
    if rate["high"] < limit:
        return Outcome.MET
    return Outcome.NOT_MET if rate["value"] > limit else Outcome.TOO_LITTLE


def held_against(target: Target, rates: Sequence[dict], overlaps: Sequence[dict], found: Sequence[Judged]) -> dict:
    """Return the outcome of a target as a whole and of each of its rates, and how many more presentations that takes.

    Where a rate is not met, and none of the kinds (photos, clips) has a threshold at which the estimates of all rates
    are within the limits, it is `NO_THRESHOLD`.
    """
    parts = []
    for rate in rates:
        limit = target.limit(rate["rate"])
        if limit is not None and rate["threshold"] == "live_from":
            more = more_needed(rate["errors"], rate["presented"], limit)
            parts.append(
                {name: rate[name] for name in ("rate", "of", "errors", "presented", "value", "low", "high")}
                | {"limit": limit, "outcome": outcome(rate, limit).value, "more_without_error": more}
            )
    outcomes, whole = {each["outcome"] for each in parts}, Outcome.MET
    there = [_threshold_for(target, found, each["kind"] == "clips") for each in overlaps]
    if Outcome.NOT_MET in outcomes:
        hopeless = bool(there) and not any(there) and None not in (target.apcer, target.bpcer)
        whole = Outcome.NO_THRESHOLD if hopeless else Outcome.NOT_MET
    elif Outcome.TOO_LITTLE in outcomes:
        whole = Outcome.TOO_LITTLE
    within = {each["kind"]: point for each, point in zip(overlaps, there, strict=True) if point}
    told = {"name": target.name, "source": target.source, "outcome": whole.value}
    return told | {"parts": parts, "threshold_within": within}


def overlap(found: Sequence[Judged], clips: bool, rounds: int = 1000) -> dict | None:
    """Return AUC and the lowest HTER over thresholds (pooled over species) of photos or of clips; None without both.

    The interval of AUC redraws people; None where a class has a single one.
    """
    live, attack = (_answered(found, label, clips) for label in Label)
    if not live or not attack:
        return None
    pair = _liveness(live), _liveness(attack)
    thresholds, passed, refused = metrics.roc(*pair)
    best = int(np.argmin(passed + refused))
    people = [[_person(each) for each in part] for part in (live, attack)]
    interval = None
    if rounds and min(len(set(names)) for names in people) > 1:
        drawn = bootstrap_interval([(auc, Scores(*pair, *people))], rounds=rounds)
        interval = [drawn.low, drawn.high]
    return {
        "kind": "clips" if clips else "photos",
        "live": len(live),
        "attacks": len(attack),
        "AUC": auc(*pair),
        "AUC_interval": interval,
        "best_HTER": float(passed[best] + refused[best]) / 2,
        "best_HTER_threshold": float(thresholds[best]),
    }


def links(found: Sequence[Judged], *, attacks: bool, rounds: int = 1000) -> list[dict]:
    """Return the quality values that tell errors from the rest, of live or of attacks, with n.

    `AUC` is the probability that the value of an error is above that of another presentation of the class; only those
    whose interval over people leaves 0.5 out are returned, and none where errors, or others, are few.
    """
    label = Label.ATTACK if attacks else Label.LIVE
    rows = [each for clips in (False, True) for each in _answered(found, label, clips) if each.quality]
    wrong = [each for each in rows if errs(each)]
    right = [each for each in rows if not errs(each)]
    if not rounds or any(len(part) < FEWEST or len(set(map(_person, part))) < FEWEST_PEOPLE for part in (wrong, right)):
        return []
    people = [[_person(each) for each in part] for part in (wrong, right)]
    told = []
    for name in QUALITY:
        pair = tuple(np.array([each.quality[name] for each in part], np.float64) for part in (wrong, right))
        drawn = bootstrap_interval([(auc, Scores(*pair, *people))], rounds=rounds, confidence=CONFIDENCE)
        if not drawn.low <= 0.5 <= drawn.high:
            counts = {"of": "attacks" if attacks else "live", "errors": len(wrong), "others": len(right)}
            told.append(counts | {"quality": name, "AUC": auc(*pair), "low": drawn.low, "high": drawn.high})
    return told


def errs(each: Judged) -> bool:
    """Return whether an answered presentation is an error at `live_from`: an attack as LIVE, live as anything else."""
    return (each.decision is Decision.LIVE) == (each.sample.label is Label.ATTACK)


def _threshold_for(target: Target, found: Sequence[Judged], clips: bool) -> dict | None:
    """Return the point on these photos or clips whose estimates lie within a target's limits; None if there is none."""
    live, attack = (_answered(found, label, clips) for label in Label)
    species = metrics.by_species(_liveness(attack), [each.group for each in attack])
    point = metrics.bpcer_at_apcer(_liveness(live), species, 1.0 if target.apcer is None else target.apcer)
    if target.bpcer is not None and point.bpcer > target.bpcer:  # BPCER rises along thresholds: no other has less
        return None
    return {"live_from": point.threshold, "BPCER": point.bpcer, "APCER": point.apcer}


def _with_missing(rates: Sequence[dict], shown: Iterable[str]) -> list[dict]:
    """Add the rate of each group (live, species) without an answer: nothing is known, so its bounds are 0 and 1."""
    groups = dict.fromkeys(["live", *shown])
    missing = set(groups) - {each["of"] for each in rates if each["threshold"] == "live_from"}
    if set(groups) == {"live"}:
        missing.add("attacks")
    empty = {"threshold": "live_from", "errors": 0, "presented": 0, "value": 0.0, "low": 0.0, "high": 1.0}
    return [{"rate": "BPCER" if of == "live" else "APCER", "of": of} | empty for of in sorted(missing)] + [*rates]


def _answered(found: Sequence[Judged], label: Label, clips: bool) -> list[Judged]:
    kind = [each for each in found if each.answered and is_video(each.sample.file) is clips]
    return [each for each in kind if each.sample.label is label]


def _liveness(rows: Sequence[Judged]) -> np.ndarray:
    return np.array([each.liveness for each in rows], np.float64)


def _person(each: Judged) -> str:
    return "/".join(each.sample.person)
