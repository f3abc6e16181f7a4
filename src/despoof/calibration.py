"""One's own camera -> a threshold profile: what was shown to it, live and attack, judged by the guard that will serve.

A presentation is a photo, judged by `check`, or a clip, judged by `judge_clip`, as both will be in use; each of the two
kinds gets thresholds of its own. They come from live presentations alone; attacks, if there are any, say what passes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import despoof
from despoof.clip.frame import read_clip
from despoof.clip.judge import judge_clip
from despoof.clip.rule import ClipRule
from despoof.data.image import IMAGE_SUFFIXES
from despoof.data.video import VIDEO_SUFFIXES, is_video
from despoof.errors import ConfigError, InputError
from despoof.metrics import proportion_interval
from despoof.pipeline import Guard
from despoof.points import thresholds_of
from despoof.profile import Point, Profile, Rate
from despoof.runs.progress import track

FEWEST = 5  # answered live presentations of a kind, below which no quantile means anything
RULE = ClipRule()


@dataclass(frozen=True)
class Shown:
    """Presentations of one kind: liveness (N,) of the answered ones, and why others were not."""

    liveness: np.ndarray = field(default_factory=lambda: np.empty(0))
    unanswered: dict[str, str] = field(default_factory=dict)  # file -> reason


@dataclass(frozen=True)
class Presented:
    """What a folder gave, photos and clips apart."""

    photos: Shown = field(default_factory=Shown)
    clips: Shown = field(default_factory=Shown)


def recordings(folder: str | Path) -> list[Path]:
    """Return every photo and clip below a folder, in order; none is an InputError."""
    suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not files:
        raise InputError(f"{folder} holds no photo and no clip; expected some. Give a folder of one's own recordings.")
    return files


def present(guard: Guard, folder: str | Path, title: str) -> Presented:
    """Judge every photo and clip below a folder. What cannot be judged is counted, never an error."""
    files = recordings(folder)
    found: dict[bool, list[float]] = {False: [], True: []}
    unanswered: dict[bool, dict[str, str]] = {False: {}, True: {}}
    for path in track(files, title, len(files)):
        liveness, reason = _clip(guard, path) if is_video(path) else _photo(guard, path)
        if liveness is None:
            unanswered[is_video(path)][path.relative_to(folder).as_posix()] = reason
        else:
            found[is_video(path)].append(liveness)
    return Presented(*(Shown(np.array(found[kind]), unanswered[kind]) for kind in (False, True)))


def calibrate(
    guard: Guard, live: Presented, attacks: dict[str, Presented] | None = None, *, bpcer: float = 0.05,
    name: str = "camera",
) -> tuple[Profile, list[str]]:  # fmt: skip
    """Return a profile whose BPCER on the live photos, and on the live clips, is at most `bpcer`, and what to know.

    LIVE begins at the highest threshold of that kind; ATTACK ends at the weights' own, or there if that is lower. A
    kind with fewer than `FEWEST` answered presentations gets the stricter of the other's point and the weights' own;
    both with fewer are an InputError.
    """
    if not 0 < bpcer < 1:
        raise ConfigError(f"wanted BPCER {bpcer}; expected a share between 0 and 1. Write 5 % as 0.05.")
    own, attacks = thresholds_of(guard.engine.facts), attacks or {}
    kinds = {"photos": live.photos, "clips": live.clips}
    against = {kind: {type_: getattr(each, kind) for type_, each in attacks.items()} for kind in kinds}
    points = {
        kind: _point(shown, against[kind], live_from_of(shown.liveness, bpcer), own)
        for kind, shown in kinds.items()
        if len(shown.liveness) >= FEWEST
    }
    if not points:
        raise InputError(
            f"{len(live.photos.liveness)} live photos and {len(live.clips.liveness)} live clips could be judged; "
            f"expected at least {FEWEST} of either, better {needed(bpcer)}. Record more."
        )
    for kind in set(kinds) - set(points):
        (other,) = points.values()
        stricter = (max(own[0], other.attack_below), max(own[1], other.live_from))
        points[kind] = Point(*stricter, unanswered=len(kinds[kind].unanswered))
    profile = profile_of(guard, points, name, bpcer)
    return profile, [line for kind in kinds for line in _warnings(kind, points[kind], own, bpcer)]


def profile_of(guard: Guard, points: dict[str, Point], name: str, bpcer: float | None = None) -> Profile:
    """Return the profile of points for photos and clips, bound to a guard; `bpcer` is what was wanted, if anything."""
    return Profile(
        name, **points, weights=dict(guard.weights), preprocessing=guard.preprocessing, clip_rule=RULE.deciding(),
        wanted_bpcer=bpcer, precision=guard.engine.precision,
        engine=guard.engine_name, package=despoof.__version__,
    )  # fmt: skip


def needed(bpcer: float) -> int:
    """Return how many live presentations without an error would show this BPCER: 3 / n, the rule of three."""
    return math.ceil(3 / bpcer)


def bpcer_at(live_from: float, shown: Shown) -> Rate:
    """Return how many of live presentations are refused at a threshold."""
    return _rate(shown.liveness < live_from)


def live_from_of(liveness: np.ndarray, bpcer: float) -> float:
    """Return the highest threshold at which at most a share of live presentations (N,) is refused."""
    return float(np.sort(liveness)[math.floor(bpcer * len(liveness))])  # so many lie below


def _point(shown: Shown, attacks: dict[str, Shown], live_from: float, own: tuple[float, float]) -> Point:
    apcer = {name: _rate(each.liveness >= live_from) for name, each in attacks.items() if len(each.liveness)}
    return Point(min(own[0], live_from), live_from, bpcer_at(live_from, shown), len(shown.unanswered), apcer)


def _photo(guard: Guard, path: Path) -> tuple[float | None, str]:
    verdict = guard.check(path)
    return verdict.liveness, _names(reason.name for reason in verdict.reasons)


def _clip(guard: Guard, path: Path) -> tuple[float | None, str]:
    """Return the fused liveness of a clip's only face, which is what its decision follows from."""
    verdict = judge_clip(guard, read_clip(path, RULE), RULE)
    liveness = verdict.faces[0].liveness if len(verdict.faces) == 1 else None
    return liveness, _names(reason.name for reason in verdict.reasons)


def _names(reasons: Iterable[str]) -> str:
    return ", ".join(sorted(set(reasons)))


def _rate(errors: np.ndarray) -> Rate:
    wrong, count = int(errors.sum()), len(errors)
    interval = proportion_interval(wrong, count)
    return Rate(wrong, count, interval.low, interval.high)


def _warnings(kind: str, point: Point, own: tuple[float, float], wanted: float) -> list[str]:
    if point.bpcer is None:
        return [
            f"Fewer than {FEWEST} live {kind} were judged, so {kind} get the stricter of the other point and the "
            f"weights' own: live from {point.live_from:.3f}. Record {kind} if they will be judged."
        ]
    found = []
    if point.bpcer.presented < needed(wanted):
        found.append(
            f"{point.bpcer.presented} live {kind} are few: to show a BPCER of {wanted:.1%}, even without an error, "
            f"takes {needed(wanted)} (3 / n). The interval reaches {point.bpcer.high:.1%}."
        )
    if point.live_from < own[1]:
        found.append(
            f"LIVE now begins at {point.live_from:.3f} for {kind}, below the weights' own {own[1]:.3f}: more attacks "
            "will pass."
        )
    if not point.apcer:
        found.append(f"No attacks were given as {kind}, so nothing is known of what passes. Give --attacks.")
    return found + [
        f"{rate.value:.0%} of {rate.presented} {kind} of attack {type_} pass ({rate.low:.0%} to {rate.high:.0%})."
        for type_, rate in point.apcer.items()
        if rate.errors
    ]
