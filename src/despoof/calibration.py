"""One's own camera -> a threshold profile: what was shown to it, live and attack, judged by the guard that will serve.

A presentation is a photo, or a clip, whose liveness is the mean over frames spread evenly. Thresholds come from live
presentations alone; attacks, where there are any, say what passes at them.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import despoof
from despoof.data.manifest import SUFFIXES
from despoof.data.video import FrameRule, is_video, read_frames
from despoof.errors import ConfigError, InputError
from despoof.metrics import proportion_interval
from despoof.pipeline import Guard
from despoof.profile import Profile, Rate
from despoof.runs.progress import track

FRAMES = FrameRule("spaced", 8)  # of a clip
FEWEST = 5  # answered live presentations, below which no quantile means anything


@dataclass(frozen=True)
class Presented:
    """What a folder gave: liveness (N,) of the answered ones, how many of them were clips, and why others were not."""

    liveness: np.ndarray
    clips: int
    unanswered: dict[str, str] = field(default_factory=dict)  # file -> reason


def present(guard: Guard, folder: str | Path, title: str) -> Presented:
    """Judge every photo and clip below a folder. What cannot be judged is counted, never an error."""
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise InputError(f"{folder} holds no photo and no clip; expected some. Give a folder of one's own recordings.")
    found, clips, unanswered = [], 0, {}
    for path in track(files, title, len(files)):
        liveness, reason = _judge(guard, path)
        if liveness is None:
            unanswered[path.relative_to(folder).as_posix()] = reason
        else:
            found.append(liveness)
            clips += is_video(path)
    return Presented(np.array(found), clips, unanswered)


def calibrate(
    guard: Guard, live: Presented, attacks: dict[str, Presented] | None = None, *, bpcer: float = 0.05,
    name: str = "camera",
) -> tuple[Profile, list[str]]:  # fmt: skip
    """Return a profile whose BPCER on the live presentations is at most `bpcer`, and what its user must know.

    LIVE begins at the highest threshold of that kind; ATTACK ends at the weights' own, or there if that is lower.
    Fewer than `FEWEST` answered live presentations are an InputError.
    """
    if not 0 < bpcer < 1:
        raise ConfigError(f"wanted BPCER {bpcer}; expected a share between 0 and 1. Write 5 % as 0.05.")
    count = len(live.liveness)
    if count < FEWEST:
        raise InputError(
            f"{count} live presentations could be judged ({len(live.unanswered)} could not); expected at least "
            f"{FEWEST}, better {needed(bpcer)}. Record more."
        )
    live_from = float(np.sort(live.liveness)[math.floor(bpcer * count)])  # so many are refused at most
    below = guard.detector.thresholds
    rates = {kind: _rate(each.liveness >= live_from) for kind, each in (attacks or {}).items() if len(each.liveness)}
    profile = Profile(
        name=name,
        attack_below=min(below[0], live_from),
        live_from=live_from,
        weights=dict(guard.weights),
        preprocessing=guard.preprocessing,
        wanted_bpcer=bpcer,
        bpcer=_rate(live.liveness < live_from),
        unanswered=len(live.unanswered),
        photos=count - live.clips,
        clips=live.clips,
        clip_rule={"frames": str(FRAMES), "liveness": "mean"} if live.clips else {},
        apcer={kind: _plain(rate) for kind, rate in rates.items()},
        package=despoof.__version__,
    )
    return profile, _warnings(profile, below, rates)


def needed(bpcer: float) -> int:
    """Return how many live presentations without an error would show this BPCER: 3 / n, the rule of three."""
    return math.ceil(3 / bpcer)


def _judge(guard: Guard, path: Path) -> tuple[float | None, str]:
    try:
        images = (image for _, image in read_frames(path, FRAMES)) if is_video(path) else [path]
        verdicts = [guard.check(image) for image in images]
    except InputError as error:
        return None, str(error)
    answers = [verdict.liveness for verdict in verdicts if verdict.liveness is not None]
    reasons = [reason.name for verdict in verdicts for reason in verdict.reasons]
    return (float(np.mean(answers)), "") if answers else (None, ", ".join(sorted(set(reasons))))


def _rate(errors: np.ndarray) -> Rate:
    wrong, count = int(errors.sum()), len(errors)
    interval = proportion_interval(wrong, count)
    return Rate(wrong, count, count, interval.low, interval.high)


def _plain(rate: Rate) -> dict:
    return {"errors": rate.errors, "presented": rate.presented, "trials": rate.trials} | {
        "low": rate.low,
        "high": rate.high,
    }


def _warnings(profile: Profile, own: tuple[float, float], apcer: dict[str, Rate]) -> list[str]:
    found = []
    count, wanted = profile.bpcer.presented, profile.wanted_bpcer
    if count < needed(wanted):
        found.append(
            f"{count} live presentations are few: to show a BPCER of {wanted:.1%}, even without an error, takes "
            f"{needed(wanted)} (3 / n). The interval reaches {profile.bpcer.high:.1%}."
        )
    if profile.live_from < own[1]:
        found.append(
            f"LIVE now begins at {profile.live_from:.3f}, below the weights' own {own[1]:.3f}: more attacks will pass."
        )
    if not apcer:
        found.append("No attacks were given, so nothing is known of what passes. Give --attacks.")
    found += [
        f"{rate.value:.0%} of {rate.presented} attacks of type {kind} pass ({rate.low:.0%} to {rate.high:.0%})."
        for kind, rate in apcer.items()
        if rate.errors
    ]
    return found
