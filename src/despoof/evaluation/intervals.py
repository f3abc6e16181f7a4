"""Intervals by resampling subjects: error rate of live and attack scores -> interval.

Images of one subject resemble each other, so subjects are drawn, with all their images, and not images. Where many
cameras were tested, cameras are drawn too, and within each that was drawn its people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from despoof.errors import InputError
from despoof.metrics import Interval

Statistic = Callable[[np.ndarray, np.ndarray], float]  # (live scores, attack scores) -> rate
MAX_DRAWS = 100  # tries for one round that holds both classes


@dataclass(frozen=True)
class Scores:
    """Liveness of live and attack presentations, (N,) and (M,), and the subject of each."""

    live: np.ndarray
    attack: np.ndarray
    live_subjects: Sequence[str]
    attack_subjects: Sequence[str]

    def __post_init__(self) -> None:
        pairs = ((self.live, self.live_subjects), (self.attack, self.attack_subjects))
        for scores, subjects in pairs:
            if len(scores) != len(subjects) or not len(scores):
                raise InputError(
                    f"{len(scores)} scores of {len(subjects)} subjects; expected one subject per score and "
                    "at least one score of each class. Choose samples that hold both classes."
                )


@dataclass(frozen=True)
class Difference:
    """First minus second: value on all samples, its interval, and the share of rounds on the other side of 0.

    `reversed_share` counts a round with no difference as half.
    """

    value: float
    interval: Interval
    reversed_share: float


def bootstrap_interval(
    pairs: Sequence[tuple[Statistic, Scores]], *, rounds: int = 1000, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Return the percentile interval of the mean of statistics, such as of several training seeds.

    Subjects are redrawn with replacement in every round. With few of them (under about ten) it is too narrow, as any
    bootstrap is.
    """
    return _percentiles(bootstrap_rounds(pairs, rounds=rounds, seed=seed).mean(axis=1), confidence)


def difference(value: float, drawn: np.ndarray) -> Difference:
    """Return a difference with what the rounds (N,) gave for it."""
    side = 1.0 if value >= 0 else -1.0
    reversed_share = float(((drawn * side < 0) + 0.5 * (drawn == 0)).mean())
    return Difference(float(value), _percentiles(drawn, 0.95), reversed_share)


def bootstrap_rounds(pairs: Sequence[tuple[Statistic, Scores]], *, rounds: int = 1000, seed: int = 0) -> np.ndarray:
    """Return (rounds, len(pairs)): each statistic on each scores, one draw of subjects per round for all.

    Scores that share subjects see the same draw. Scores that share none, such as of two test domains, are drawn apart,
    so that each keeps its number of subjects in every round.
    """
    if not pairs or rounds < 1:
        raise InputError(f"{len(pairs)} runs and {rounds} rounds; expected at least one of each. Give more.")
    strata = _strata([_subjects(scores) for _, scores in pairs])
    place = {name: i for i, name in enumerate(name for names in strata for name in names)}
    where = [
        [np.array([place[name] for name in names]) for names in (scores.live_subjects, scores.attack_subjects)]
        for _, scores in pairs
    ]
    rng, drawn, first = np.random.default_rng(seed), [], 0
    for names in strata:  # all of one scores are in one stratum
        inside = [(live - first, attack - first) for live, attack in where if 0 <= live[0] - first < len(names)]
        drawn.append([_draw(rng, len(names), inside) for _ in range(rounds)])
        first += len(names)
    table = np.empty((rounds, len(pairs)))
    for row, times in zip(table, np.concatenate(drawn, axis=1), strict=True):
        for i, (statistic, scores) in enumerate(pairs):
            live, attack = where[i]
            row[i] = statistic(np.repeat(scores.live, times[live]), np.repeat(scores.attack, times[attack]))
    return table


def _strata(sets: list[set[str]]) -> list[list[str]]:
    """Return the subjects in groups: two are in one group if a chain of sets joins them."""
    groups: list[set[str]] = []
    for names in sets:
        apart = [group for group in groups if not group & names]
        groups = [*apart, names.union(*(group for group in groups if group & names))]
    return sorted(sorted(group) for group in groups)


def _draw(rng: np.random.Generator, count: int, inside: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return how often each of `count` subjects is drawn, (count,); draws that lose a whole class are drawn again."""
    for _ in range(MAX_DRAWS):
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        if all(times[live].any() and times[attack].any() for live, attack in inside):
            return times
    raise InputError(
        f"{MAX_DRAWS} draws of {count} subjects held no live or no attack; expected both classes in many "
        "subjects. Collect more subjects before asking for an interval."
    )


def _subjects(scores: Scores) -> set[str]:
    return set(scores.live_subjects) | set(scores.attack_subjects)


def _percentiles(values: np.ndarray, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))
