"""Faces of cameras that a detector never saw -> errors of the rest where the least sure are not answered.

Cameras weigh the same.
"""

import numpy as np

from despoof.adaptation import EVEN
from despoof.detector.points import UnseenLogits, named_points
from despoof.evaluation.tables import markdown
from despoof.profile import logit_of
from despoof.studies.adaptation.study import Unseen, mean_over

SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)  # of presentations answered
HEAD = (
    "unanswered", "of live", "of attacks", "BPCER of the answered", "APCER of the answered", "HTER of the answered",
)  # fmt: skip


def coverage_table(found: Unseen, seed: int = 0) -> str:
    """Return errors by what is left unanswered: the band around logit 0 of each share, and the points' UNCERTAIN."""
    logit, names, which = logit_of(found.liveness), *np.unique(found.camera, return_inverse=True)
    order = np.argsort(-np.abs(logit))
    reached = np.cumsum(1 / np.bincount(which)[which[order]]) / len(names)
    lines = []
    for share in SHARES:
        least = np.abs(logit)[order][min(np.searchsorted(reached, share - 1e-9), len(order) - 1)]
        answered = np.abs(logit) >= (0 if share == 1 else least)
        title = "none" if share == 1 else f"the nearest {1 - share:.0%}, logit within {least:.2f}"
        lines.append((title, *_answered(found, answered, found.liveness >= EVEN, which, seed)))
    blank = np.full(len(logit), "", dtype="<U1")
    judged = UnseenLogits(logit, found.live, found.camera, found.person, blank, np.zeros(len(logit), int))
    for name, point in named_points(found.liveness, judged, rounds=1).items():
        low, high = point["attack_below"], point["live_from"]
        answered = (found.liveness < low) | (found.liveness >= high)
        title = f"UNCERTAIN of point {name}, {low:.2f} to {high:.2f}"
        lines.append((title, *_answered(found, answered, found.liveness >= high, which, seed)))
    return markdown(HEAD, lines)


def _answered(
    found: Unseen, answered: np.ndarray, accepted: np.ndarray, which: np.ndarray, seed: int
) -> tuple[str, ...]:
    shares, errors, cameras = [], [], which.max() + 1
    for live in (True, False):
        own = found.live == live
        counts = np.bincount(which[own], minlength=cameras)
        left = np.bincount(which[own & answered], minlength=cameras)
        wrong = np.bincount(which[own & answered & (accepted != live)], minlength=cameras)
        with np.errstate(invalid="ignore"):
            shares.append(100 * float(np.nanmean(1 - left / counts)))
            errors.append(100 * wrong / left)  # NaN where a camera has no answer
    half = np.mean(errors, 0)
    return (*(f"{each:.1f}" for each in shares), *(f"{np.nanmean(each):.1f}" for each in errors),
            _shown(half[np.isfinite(half)], seed))  # fmt: skip


def _shown(values: np.ndarray, seed: int) -> str:
    return mean_over(values, seed).tenths() if len(values) else "–"
