"""One's own camera, live and attack -> a profile that corrects liveness, where that mends errors on people left out.

For a camera on which no threshold helps. With f the calibrated logit, A the faces shown, y their targets (+-`TARGET`),
and w weights by which each class counts half, the posterior mean of a Gaussian process over the residuals (Rasmussen
and Williams 2006, eq. 2.25) is added:

    f'(x) = f(x) + k(x, A) (k(A, A) + NOISE diag(1 / w))^-1 (y - f(A)),
    k(a, b) = CONSTANT + NEAR exp(-|a - b|^2 / width).

A face unlike all of A gets the constant's share alone. Each person is judged by what was learned from the others; it is
adopted only if the paired interval of the difference of errors, people drawn, excludes 0.

With live faces alone nothing of this can be tried, so they set the level alone: all logits are shifted by half of the
way from the median of the live faces' to that of other cameras', and upwards, where more attacks pass, by `MOST_ALIKE`
at most. What justifies it is that on cameras left out errors fell, and APCER with them. How the numbers were found:
docs/studies/adaptation.md.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from despoof.calibration import RULE, Presented, Shown, bpcer_at, calibrate, profile_of, recordings
from despoof.clip.judge import part_medians
from despoof.data.video import FrameRule, is_video, read_frames
from despoof.errors import ConfigError, InputError
from despoof.metrics import Interval
from despoof.pipeline import Guard
from despoof.points import thresholds_of
from despoof.profile import MOST_ALIKE, Correction, Point, Profile, logit_of, squares
from despoof.runs.progress import track
from despoof.runs.seed import item_rng
from despoof.verdict import Verdict

CONSTANT, NEAR, NOISE = 0.3, 3.0, 0.3
TARGET = 4.4  # calibrated logit of a target: 1.4 deviations of those that a detector gives on cameras it never saw
DIGITS = 6  # significant ones of a point: a file of 200 points of 128 numbers stays below half a megabyte
FEWEST = 5  # faces of either class
FRAMES = FrameRule("spaced", 5)  # of a clip
MOST = 200  # faces that a correction holds, half of each class
MOST_NUMBERS = 25_600  # of all their embeddings: a profile is small
OTHERS_LIVE = 2.51  # calibrated logit: the median of live faces, mean over 35 cameras, by detectors that never saw them
SHARE_OF_WAY = 0.5  # to it, by which live faces alone shift the logit
EVEN = 0.5  # liveness at which errors are counted: calibration makes both sides as likely there
ROUNDS = 2000


@dataclass(frozen=True)
class Faces:
    """Judged faces of one class or type: photos, and frames of clips; all (N,) but the embeddings (N, E)."""

    liveness: np.ndarray
    embedding: np.ndarray
    person: list[str]
    file: list[str]
    unanswered: dict[str, str] = field(default_factory=dict)  # file -> reason
    unnamed: int = 0  # files that lie in no folder of a person


@dataclass(frozen=True)
class Adapted:
    """What came of it: HTER (share) of people left out as they are and corrected, the difference with its interval.

    `profile` is None where nothing is adopted; `lines` say what to know, and why.
    """

    plain: float
    corrected: float
    difference: Interval
    profile: Profile | None
    lines: list[str]


def look_at(guard: Guard, folder: str | Path, title: str) -> Faces:
    """Judge every photo and five frames of every clip below a folder of people, one folder for each of them."""
    files = recordings(folder)
    if guard.profile is not None and guard.profile.correction is not None:
        raise ConfigError(f"profile {guard.profile.name!r} corrects liveness already. Adapt without a profile.")
    liveness, embedding, people, names, unanswered = [], [], [], [], {}
    unnamed = 0
    for path in track(files, title, len(files)):
        inside = path.relative_to(folder)
        named = len(inside.parts) > 1
        unnamed += not named
        verdicts = _verdicts(guard, path)
        answered = [each for each in verdicts if each.liveness is not None]
        if not answered:
            reasons = {reason.name for each in verdicts for reason in each.reasons}
            unanswered[inside.as_posix()] = ", ".join(sorted(reasons))
        for each in answered:
            if each.embedding is None:
                raise ConfigError(
                    f"engine {guard.engine_name!r} gives no embedding. Export the weights again: despoof export"
                )
            liveness.append(each.liveness)
            embedding.append(each.embedding)
            people.append(f"person {inside.parts[0]}" if named else f"file {path}")
            names.append(inside.as_posix())
    points = np.array(embedding) if embedding else np.empty((0, 1))
    return Faces(np.array(liveness, np.float64), points, people, names, unanswered, unnamed)


def adapt(
    guard: Guard, live: Faces, attacks: dict[str, Faces], *, bpcer: float = 0.05, name: str = "camera"
) -> Adapted:
    """Return a profile with a correction learned from all faces, and thresholds from those of people left out.

    Thresholds follow the rule of `calibrate`; a clip counts by its frames. Fewer than `FEWEST` faces of either class,
    or of two people, are an InputError.
    """
    groups = {"": live, **attacks}
    is_live = np.concatenate([np.full(len(each.liveness), kind == "") for kind, each in groups.items()])
    people = np.array([person for each in groups.values() for person in each.person])
    _must_suffice(is_live, people)
    liveness = np.concatenate([each.liveness for each in groups.values()])
    embedding = np.concatenate([each.embedding for each in groups.values() if len(each.liveness)])
    width = 1.0 if guard.engine.config.kernel else None  # components are scaled to it; of others the faces say it

    def fit(allowed: np.ndarray) -> Correction:
        support = _spaced(is_live, allowed, embedding.shape[1])
        return fit_correction(embedding[support], liveness[support], is_live[support], width)

    corrected = left_out(fit, liveness, embedding, people)
    errors = np.stack([(each >= EVEN) != is_live for each in (liveness, corrected)])
    plain, after = (half_total(each, is_live) for each in errors)
    interval = paired_interval(errors, is_live, people)
    found = Adapted(plain, after, interval, None, _told(groups, plain, after, interval))
    if interval.high >= 0:
        why = (
            f"Nothing is adopted: the interval of the difference reaches {100 * interval.high:+.1f} points, not below "
            "0. Record more people, live and attack, or set thresholds alone: despoof calibrate"
        )
        return replace(found, lines=[*found.lines, why])
    ends = np.cumsum([len(each.liveness) for each in groups.values()])[:-1]
    parts = zip(groups.items(), np.split(corrected, ends), strict=True)
    shown = {kind: _presented(each, values) for (kind, each), values in parts}
    profile, warnings = calibrate(guard, shown.pop(""), shown, bpcer=bpcer, name=name)
    profile = replace(profile, correction=fit(np.ones(len(is_live), bool)))
    return replace(found, profile=profile, lines=[*found.lines, *warnings])


def adapt_level(guard: Guard, live: Faces, *, name: str = "camera") -> tuple[Profile, list[str]]:
    """Return a profile that shifts the logit as live faces alone ask for, at the weights' own thresholds; what to know.

    Each person is judged by the shift of the others. Another detector than a kernel is a ConfigError, since the study
    that justifies the shift is of that one. Fewer than `FEWEST` faces, or of two people, are an InputError.
    """
    if not guard.engine.config.kernel:
        raise ConfigError(
            "live recordings alone shift the level of preset kernel, and these weights are of another, on which "
            "nothing was measured. Give --attacks too, or set thresholds: despoof calibrate"
        )
    people = np.array(live.person)
    _must_have(len(people), people, "live")
    shifted = np.empty_like(live.liveness)
    for person in np.unique(people):
        own = people == person
        shifted[own] = level(live.liveness[~own]).corrected(live.liveness[own], None)
    correction, own = level(live.liveness), thresholds_of(guard.engine.facts)
    before, after = _presented(live, live.liveness), _presented(live, shifted)
    points, lines = {}, [_moved(correction.constant)]
    for kind in ("photos", "clips"):
        shown = getattr(after, kind)
        rate = bpcer_at(own[1], shown) if len(shown.liveness) else None
        points[kind] = Point(*own, rate, len(shown.unanswered))
        if rate is not None:
            plain = bpcer_at(own[1], getattr(before, kind))
            lines.append(
                f"{kind}: {plain.value:.0%} of {plain.presented} live were refused as it is, {rate.value:.0%} shifted "
                f"({rate.low:.0%} to {rate.high:.0%}); thresholds stay the weights' own."
            )
    return replace(profile_of(guard, points, name), correction=correction), lines + _unnamed([live])


def level(liveness: np.ndarray, others: float = OTHERS_LIVE) -> Correction:
    """Return the shift that live faces (n,) ask for, where the median logit of those of other cameras is `others`."""
    return Correction((), (), float(min(MOST_ALIKE, SHARE_OF_WAY * (others - np.median(logit_of(liveness))))), 1.0)


def fit_correction(
    embedding: np.ndarray, liveness: np.ndarray, live: np.ndarray, width: float | None = None
) -> Correction:
    """Return the correction that faces with embeddings (n, E), liveness (n,) and labels `live` (n,) ask for.

    Without a width it is the median squared distance of two of them. Faces of one class are an InputError: alone they
    would move all others with them.
    """
    if not 0 < live.sum() < len(live):
        raise InputError(
            f"{live.sum()} live and {(~live).sum()} attack faces; expected both, or a correction makes more errors "
            "than it mends. For live recordings alone set thresholds: despoof calibrate"
        )
    points = _rounded(embedding)
    apart = squares(points, points)
    if width is None:
        between = apart[np.triu_indices(len(apart), 1)]
        width = float(np.median(between)) or 1.0
    kernel = CONSTANT + NEAR * np.exp(-apart / width)
    share = len(live) / 2 / np.where(live, live.sum(), (~live).sum())
    residual = np.where(live, TARGET, -TARGET) - logit_of(liveness)
    solved = np.linalg.solve(kernel + NOISE * np.diag(1 / share), residual)
    return Correction(
        tuple(map(tuple, points.tolist())), tuple((NEAR * solved).tolist()), float(CONSTANT * solved.sum()), width
    )  # fmt: skip


def left_out(
    fit: Callable[[np.ndarray], Correction], liveness: np.ndarray, embedding: np.ndarray, people: np.ndarray
) -> np.ndarray:
    """Return liveness (N,), each person's corrected by what was fitted to the others (a mask of faces)."""
    found = np.empty_like(liveness)
    for person in np.unique(people):
        own = people == person
        found[own] = fit(~own).corrected(liveness[own], embedding[own])
    return found


def half_total(wrong: np.ndarray, live: np.ndarray) -> float:
    """Return HTER, the mean of the shares of wrong (N,) among live and among attacks."""
    return float(wrong[live].mean() + wrong[~live].mean()) / 2


def paired_interval(errors: np.ndarray, live: np.ndarray, people: Sequence[str]) -> Interval:
    """Return the 95 % interval of the second's HTER less the first's, of errors (2, N).

    People are drawn with all their faces, those of live and of attacks apart, and the same for both.
    """
    rng, drawn = item_rng("adapt"), np.zeros(ROUNDS)
    worse = errors[1].astype(float) - errors[0]
    for mask in (live, ~live):
        _, which = np.unique(np.asarray(people)[mask], return_inverse=True)
        sums, counts = np.bincount(which, worse[mask]), np.bincount(which)
        times = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), ROUNDS)
        drawn += times @ sums / (times @ counts) / 2
    return Interval(*map(float, np.quantile(drawn, (0.025, 0.975))))


def _must_suffice(live: np.ndarray, people: np.ndarray) -> None:
    for name, mask in (("live", live), ("attack", ~live)):
        _must_have(int(mask.sum()), people[mask], name)


def _must_have(count: int, people: np.ndarray, name: str) -> None:
    if count < FEWEST or len(np.unique(people)) < 2:
        raise InputError(
            f"{count} {name} faces of {len(np.unique(people))} people were judged; expected at least {FEWEST} of 2, "
            "better 20 of 10. Record more, each person in a folder of their own, or set thresholds from live "
            "recordings alone: despoof calibrate"
        )


def _spaced(live: np.ndarray, allowed: np.ndarray, numbers: int) -> np.ndarray:
    """Return places of the faces that a correction is made of: of each class evenly spaced ones, if they are many."""
    most = max(1, min(MOST, MOST_NUMBERS // numbers) // 2)
    picked = []
    for mask in (live & allowed, ~live & allowed):
        places = np.flatnonzero(mask)
        count = min(most, len(places))
        picked.append(places[((np.arange(count) + 0.5) * len(places) / max(count, 1)).astype(int)])
    return np.sort(np.concatenate(picked))


def _presented(faces: Faces, liveness: np.ndarray) -> Presented:
    """Return corrected liveness (N,) of faces by file: photos, and clips fused as a clip's frames are."""
    by_file: dict[str, list[float]] = {}
    for file, value in zip(faces.file, liveness, strict=True):
        by_file.setdefault(file, []).append(float(value))
    kinds = []
    for clips in (False, True):
        values = [min(part_medians(each, RULE)) for file, each in by_file.items() if is_video(file) is clips]
        missing = {file: why for file, why in faces.unanswered.items() if is_video(file) is clips}
        kinds.append(Shown(np.array(values), missing))
    return Presented(*kinds)


def _verdicts(guard: Guard, path: Path) -> list[Verdict]:
    if not is_video(path):
        return [guard.check(path)]
    try:
        return [guard.check(image) for _, image in read_frames(path, FRAMES)]
    except InputError:
        return [guard.check(path)]  # is no photo either: NO_DECISION, and says that it cannot be read


def _told(groups: dict[str, Faces], plain: float, after: float, interval: Interval) -> list[str]:
    found = [
        f"HTER of people left out, at liveness {EVEN}: {plain:.1%} as it is, {after:.1%} corrected; difference "
        f"{100 * (after - plain):+.1f} points ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})."
    ]
    return found + _unnamed(groups.values())


def _unnamed(groups: Iterable[Faces]) -> list[str]:
    unnamed = sum(each.unnamed for each in groups)
    return [
        f"{unnamed} files lie in no folder of a person, so each counts as a person of its own. If some are of one "
        "person, these figures are better than what strangers will meet."
    ] * bool(unnamed)


def _moved(shift: float) -> str:
    way = (
        "so more people are let in, and more attacks pass: how many is not known without --attacks"
        if shift > 0
        else "so fewer attacks pass, and more people are refused"
    )
    at_most = ", the most that live recordings alone may" if shift == MOST_ALIKE else ""
    return f"All logits are shifted by {shift:+.2f}{at_most}, {way}. Why: docs/studies/adaptation.md"


def _rounded(embedding: np.ndarray) -> np.ndarray:
    largest = float(np.abs(embedding).max())
    places = DIGITS - 1 - math.floor(math.log10(largest)) if largest > 0 else DIGITS
    return np.round(embedding.astype(np.float64), places)
