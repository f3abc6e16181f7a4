"""Where a face is judged worse: cross-fitted errors by each value that the gate measures, to set its limits by.

A camera that errs much anyway, and holds most of the dark faces, would make darkness look bad. So beside the error in
a part of a value's range stands how much more that is than the same cameras err on their other captures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from despoof.data.sample import Label
from despoof.evaluation.crossfit import EQUAL, CrossFitted
from despoof.faces.quality import QualityLimits, beyond
from despoof.faces.store import Store, StoredSample

STEPS: dict[str, tuple[float, ...]] = {  # from the first to below the second, and so on; angles without their sign
    "eye_distance": (0, 20, 30, 40, 60, 80, np.inf),
    "sharpness": (0, 2, 4, 6, 10, 20, 60, 200, np.inf),
    "luma": (0, 35, 45, 60, 80, 120, 160, 180, 220, np.inf),
    "clipped": (0, 0.01, 0.03, 0.1, 0.2, 0.35, np.inf),
    "yaw": (0, 10, 20, 30, 35, 40, 50, 60, np.inf),
    "pitch": (0, 10, 20, 30, 45, np.inf),
    "roll": (0, 10, 20, 30, 45, np.inf),
    "margin": (-np.inf, -0.5, 0, 0.15, 0.3, 0.5, 1, 2, np.inf),
    "room": (0, 1, 1.1, 1.3, 1.8, 2.2, np.inf),
}
ANGLES = ("yaw", "pitch", "roll")


@dataclass(frozen=True)
class Part:
    """Captures of which a value lies in a part of its range; `more` is against other captures of the same cameras."""

    value: str
    part: str
    live: int
    live_cameras: int
    bpcer: float
    bpcer_more: float
    attacks: int
    attack_cameras: int
    apcer: float
    apcer_more: float


@dataclass(frozen=True)
class Refusals:
    """How many captures with a face a camera has, and how many of them the gate refuses by a measured value."""

    camera: str
    live: int
    live_refused: int
    attacks: int
    attacks_refused: int


def parts(judged: CrossFitted, store: Store) -> list[Part]:
    """Return the errors at equal error, averaged over seeds, by each of `STEPS`; captures without a face are left out.

    The store is that of the captures that were judged; every capture weighs the same.
    """
    errors, live, rows = _judged(judged, store)
    camera = np.array([row.sample.domain for row in rows])
    found = []
    for name, edges in STEPS.items():
        measured = np.array([row.quality[name] for row in rows])
        values = np.abs(measured) if name in ANGLES else measured
        for low, high in pairwise(edges):
            inside = (values >= low) & (values < high)
            if inside.any():
                sides = [_side(errors, inside, label, camera) for label in (live, ~live)]
                found.append(Part(name, f"{low:g} to {high:g}", *sides[0], *sides[1]))
    return found


def refusals(store: Store, limits: QualityLimits | None = None) -> list[Refusals]:
    """Return, camera by camera, how many of a store's faces are beyond a limit."""
    limits = limits or QualityLimits()
    cameras: dict[str, np.ndarray] = {}
    for row in store.with_face():
        counts = cameras.setdefault(row.sample.domain, np.zeros((2, 2), int))
        counts[int(row.sample.label is Label.ATTACK)] += 1, bool(beyond(row.quality, limits))
    return [Refusals(name, *map(int, counts.ravel())) for name, counts in sorted(cameras.items())]


def _judged(judged: CrossFitted, store: Store) -> tuple[np.ndarray, np.ndarray, list[StoredSample]]:
    by_key = {row.key: row for row in store.with_face()}
    places = [i for i, row in enumerate(judged.rows) if row.key in by_key]
    errors = judged.errors(judged.thresholds[EQUAL]).mean(0)
    return errors[places], judged.live[places], [by_key[judged.rows[i].key] for i in places]


def _side(
    errors: np.ndarray, inside: np.ndarray, label: np.ndarray, camera: np.ndarray
) -> tuple[int, int, float, float]:
    """Return captures, cameras, error, and how much more than their cameras' others; NaN where there are none."""
    own = inside & label
    more: list[float] = []
    for name in np.unique(camera[own]):
        here, others = own & (camera == name), ~inside & label & (camera == name)
        if others.any():
            more += [errors[here].mean() - errors[others].mean()] * int(here.sum())
    return int(own.sum()), len(set(camera[own])), _mean(errors[own]), _mean(more)


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
