"""Cameras and people drawn with replacement, for intervals that hold for cameras and people never seen."""

from collections.abc import Sequence

import numpy as np

from despoof.errors import InputError
from despoof.metrics import Interval
from despoof.runs.seed import item_rng


class CameraDraws:
    """Cameras drawn with replacement, and within each drawn one its people: the same for all that is judged on them.

    `cameras` and `people` (N,) are of the presentations. Where a camera's people are not told apart, which is one name
    for all, its presentations are drawn in their place. A camera that is drawn twice gets two draws of its people.
    """

    def __init__(self, cameras: Sequence[str], people: Sequence[str], *, rounds: int = 1000, seed: int = 0) -> None:
        if rounds < 0:
            raise InputError(f"{rounds} rounds; expected 0 for no intervals, or more. Give more.")
        self.rounds = rounds
        self.names, place = np.unique(np.asarray(cameras), return_inverse=True)
        self.places = [np.flatnonzero(place == i) for i in range(len(self.names))]  # of each camera's presentations
        self.times = []  # of each camera, how often a draw holds its presentations: (rounds, n)
        for name, inside in zip(self.names, self.places, strict=True):
            _, who = np.unique(np.asarray(people)[inside], return_inverse=True)
            if not who.any():
                who = np.arange(len(inside))
            count = int(who.max()) + 1
            drawn = item_rng("people of a camera", seed, name).integers(count, size=(rounds, count))
            flat = (drawn + count * np.arange(rounds)[:, None]).ravel()
            counts = np.bincount(flat, minlength=rounds * count).reshape(rounds, count)
            self.times.append(counts[:, who].astype(np.float32))
        rng, size = item_rng("cameras", seed, *self.names), (rounds, len(self.names))
        self._slots = rng.integers(len(self.names), size=size), rng.integers(max(rounds, 1), size=size)

    def shares(self, errors: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of errors (..., N) within a mask (N,), of each camera and in each of its draws.

        These are (..., cameras), and (cameras, rounds) of the mean over the leading axes, such as seeds. NaN is of a
        camera, or of a draw, that has nothing in the mask.
        """
        mean, values, drawn = errors.reshape(-1, errors.shape[-1]).mean(0), [], []
        for place, times in zip(self.places, self.times, strict=True):
            own, counted = place[inside[place]], times[:, inside[place]]
            values.append(errors[..., own].mean(-1) if len(own) else np.full(errors.shape[:-1], np.nan))
            total = counted.sum(1)
            drawn.append(counted @ mean[own] / np.where(total > 0, total, np.nan))
        return np.stack(values, -1), np.stack(drawn)

    def mean(self, by_camera: np.ndarray) -> np.ndarray:
        """Return (rounds,): the mean over the cameras drawn, of what each gave in its draws (cameras, rounds).

        NaN is of a camera, or of a draw, that has no such presentation, and is left out; a round of nothing else is
        NaN.
        """
        values = by_camera[self._slots]
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            return np.where(known, values, 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)

    def interval(self, drawn: np.ndarray) -> Interval | None:
        """Return the 95 % interval of what rounds (N,) gave; None of no rounds, or of nothing in any."""
        if np.isnan(drawn).all():
            return None
        return Interval(*map(float, np.quantile(drawn[~np.isnan(drawn)], (0.025, 0.975))))
