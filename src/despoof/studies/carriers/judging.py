"""One judge for all numbers: kernel ridge regression, each camera judged by what learned from other cameras.

With D the mean squared distance of two captures' standardised, clamped numbers, k = exp(-width D), it is what
detector/frozen/kernel.py fits, with all numbers in place of principal components. Blocks of numbers stand
beside one another by a weighted mean of their distances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve

from despoof.detector.config import KernelTraining
from despoof.errors import InputError
from despoof.evaluation.crossfit import CrossFitted, cross_fitted
from despoof.evaluation.protocols import CROSS_FITTED, is_live, read_protocol
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.faces.store import StoredSample
from despoof.runs.progress import track
from despoof.runs.seed import item_rng

PROTOCOL = "leave-cameras-out"
CLAMP = 6.0  # deviations, as what ships
LEARNED = 0.75  # of the captures of each camera, class and species, drawn by each seed
JUDGE = KernelTraining()
GIVEN = {  # what is given in the place of the cue's numbers
    "same": "those of another capture, same label",
    "opposite": "those of another capture, opposite label",
    "noise": "noise of the same mean and deviation",
    "zeros": "zeros: a face equal to its counterpart",
}


@dataclass(frozen=True)
class Block:
    """Numbers (N, K) and the weight of each part of them in a distance; a part's numbers share its weight."""

    numbers: np.ndarray
    parts: Sequence[tuple[slice, float]] = ()  # none: one part of weight 1

    @property
    def weight(self) -> float:
        """The weight of all parts."""
        return sum(weight for _, weight in self.parts) if self.parts else 1.0

    @property
    def scale(self) -> np.ndarray:
        """A factor (K,) such that squared distances are means over a part's numbers, times its weight."""
        count = self.numbers.shape[1]
        scale = np.full(count, count**-0.5)
        for part, weight in self.parts:
            scale[part] = (weight / (part.stop - part.start)) ** 0.5
        return scale


@dataclass(frozen=True)
class Model:
    """Names of the blocks that are judged beside one another; of these, the cue's."""

    name: str
    blocks: tuple[str, ...]
    cue: str | None = None


@dataclass(frozen=True)
class Lesson:
    """One fold of one seed: places of the captures learned from and tested, in the order of rows."""

    seed: int
    fold: str
    sources: tuple[str, ...]
    learned: np.ndarray
    tested: np.ndarray
    share: np.ndarray  # of each capture learned from: every camera and class the same, together 1


def lessons(rows: Sequence[StoredSample], seeds: int) -> list[Lesson]:
    """Return seven folds over the cameras of rows for each seed, which draws what is learned from."""
    samples, found = [row.sample for row in rows], []
    for cell in read_protocol(PROTOCOL, samples).cells:
        tested = np.flatnonzero([cell.test.holds(sample) for sample in samples])
        for seed in range(seeds):
            groups: dict[tuple, list[int]] = {}
            for i, sample in enumerate(samples):
                if cell.train.holds(sample):
                    groups.setdefault((sample.domain, sample.label.value, sample.attack_type), []).append(i)
            drawn = [
                item_rng(seed, "learned", *key).permutation(group)[: max(1, round(LEARNED * len(group)))]
                for key, group in groups.items()
            ]
            learned = np.sort(np.concatenate(drawn))
            names = [f"{samples[i].domain}|{samples[i].label.value}" for i in learned]
            _, which, counts = np.unique(names, return_inverse=True, return_counts=True)
            share = 1 / counts[which] / len(counts)
            found.append(Lesson(seed, cell.name, cell.train.domains, learned, tested, share))
    return found


def judge(
    rows: Sequence[StoredSample], blocks: Mapping[str, Block], models: Sequence[Model], *, seeds: int = 3
) -> tuple[dict[str, CrossFitted], dict[str, dict[str, np.ndarray]]]:
    """Return models by name, cross-fitted, and what the first seed answers to other numbers for the cue's.

    That is, by the model's name and by a key of `GIVEN`, liveness (N,) in the order of the model's rows.
    """
    files: dict[str, list[ScoreFile]] = {model.name: [] for model in models}
    exchanged: dict[str, dict[str, dict[str, float]]] = {model.name: {} for model in models if model.cue}
    every = lessons(rows, seeds)
    for lesson in track(every, "fits", len(every)):
        found = _fitted(rows, lesson, blocks, models)
        keys = [rows[i].key for i in lesson.tested]
        for model in models:
            files[model.name].append(_scores(rows, lesson, model.name, found[model.name]))
            for given in GIVEN if model.cue and lesson.seed == 0 else ():
                of = exchanged[model.name].setdefault(given, {})
                of |= dict(zip(keys, found[f"{model.name}|{given}"], strict=True))
    judged = {name: cross_fitted(each)[0] for name, each in files.items()}
    return judged, {
        name: {given: np.array([of[row.key] for row in judged[name].rows]) for given, of in each.items()}
        for name, each in exchanged.items()
    }


def _fitted(
    rows: Sequence[StoredSample], lesson: Lesson, blocks: Mapping[str, Block], models: Sequence[Model]
) -> dict[str, np.ndarray]:
    """Return the liveness (T,) of the captures tested by each model, and by "MODEL|GIVEN" for the first seed."""
    spaces = {name: _Space(block, lesson) for name, block in blocks.items()}
    target, found = np.where(is_live(rows)[lesson.learned], 1.0, -1.0), {}
    others = {given: _others(rows, lesson.tested, given == "same") for given in ("same", "opposite")}
    constant = float(lesson.share @ target)
    for model in models:
        weight = sum(blocks[name].weight for name in model.blocks)
        squares = sum(spaces[name].squares for name in model.blocks) / weight
        near = np.exp(-JUDGE.width * squares.astype(np.float64))
        system = near[lesson.learned] + np.diag(JUDGE.ridge / len(target) / lesson.share)
        coefficients = solve(system, target - constant, assume_a="pos")
        found[model.name] = near[lesson.tested] @ coefficients + constant
        for given in GIVEN if model.cue and lesson.seed == 0 else ():
            space = spaces[model.cue]
            change = space.given(given, others) - space.squares[lesson.tested]
            other = squares[lesson.tested] + change / weight
            found[f"{model.name}|{given}"] = np.exp(-JUDGE.width * other) @ coefficients + constant
    return found


class _Space:
    """A block's squared distances (N, L) of all captures to those learned from, times its weight."""

    def __init__(self, block: Block, lesson: Lesson) -> None:
        learned = block.numbers[lesson.learned].astype(np.float64)
        self.mean = lesson.share @ learned
        self.deviation = np.sqrt(lesson.share @ (learned - self.mean) ** 2 + 1e-5)
        self.scale, self.lesson = block.scale, lesson
        points = self._standard(block.numbers)
        self.learned = points[lesson.learned]
        self.squares = self._to(points)

    def given(self, given: str, others: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return squares (T or 1, L) of what stands in for the numbers of the captures tested, see `GIVEN`."""
        if given in others:
            return self.squares[others[given]]
        if given == "zeros":
            return self._to(self._standard(np.zeros((1, len(self.mean)))))
        noise = item_rng("noise", self.lesson.fold).standard_normal((len(self.lesson.tested), len(self.mean)))
        return self._to((noise.clip(-CLAMP, CLAMP) * self.scale).astype(np.float32))

    def _standard(self, numbers: np.ndarray) -> np.ndarray:
        return (((numbers - self.mean) / self.deviation).clip(-CLAMP, CLAMP) * self.scale).astype(np.float32)

    def _to(self, points: np.ndarray) -> np.ndarray:
        squares = (points**2).sum(1)[:, None] + (self.learned**2).sum(1) - 2 * points @ self.learned.T
        return squares.clip(min=0)


def _others(rows: Sequence[StoredSample], tested: np.ndarray, same: bool) -> np.ndarray:
    """Return, for each capture tested, the place of another of them, another person's, with its label or the other."""
    found = []
    for i in tested:
        own = rows[i].sample
        may = [
            j
            for j in tested
            if j != i
            and (rows[j].sample.label is own.label) is same
            and not (own.subject and (own.domain, own.subject) == (rows[j].sample.domain, rows[j].sample.subject))
        ]
        if not may:
            raise InputError(f"{own.path}: its fold holds no capture of another person to exchange with. Take more.")
        found.append(may[item_rng("other", same, own.path).integers(len(may))])
    return np.array(found)


def _scores(rows: Sequence[StoredSample], lesson: Lesson, model: str, liveness: np.ndarray) -> ScoreFile:
    facts = {
        "protocol": PROTOCOL, "cell": lesson.fold, "model": model, "seed": lesson.seed, "split": "test",
        "thresholds": {}, "threshold": CROSS_FITTED, "sources": list(lesson.sources),
    }  # fmt: skip
    pairs = zip(lesson.tested, liveness, strict=True)
    return ScoreFile(tuple(ScoreRow.from_sample(rows[i].sample, float(value)) for i, value in pairs), facts)
