"""What every engine is: something that computes liveness and pictures of faces, given and returned as numpy arrays."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from despoof.detector.config import DetectorConfig

Lap = Callable[[str], None]


class Pictures(NamedTuple):
    """What explains faces: `counterpart` in [-1, 1] and `cue`, (N, 3, S, S); `map` (N, S, S) in 0..1 or None."""

    counterpart: np.ndarray
    cue: np.ndarray
    map: np.ndarray | None


class Judged(NamedTuple):
    """`liveness` (N,), NaN where something broke; the pictures that a detector with cue judges by, else None.

    `embedding` (N, E) float32 is the detector's; None of an export that was made without it.
    """

    liveness: np.ndarray
    pictures: Pictures | None
    embedding: np.ndarray | None = None


class Engine(Protocol):
    """A detector, and the generator of its pictures if there is one, in one runtime.

    `weights` are the hashes of the files that decide, `facts` the detector's, see `despoof.points`; `name` stands in
    every verdict, and thresholds hold for one `precision`. It judges for one caller at a time.
    """

    name: str
    precision: str
    weights: dict[str, str]
    config: DetectorConfig
    facts: dict

    def judge(self, faces: np.ndarray, surroundings: np.ndarray | None, lap: Lap) -> Judged:
        """Judge faces (N, S, S, 3) uint8 by themselves and, where `config.uses_surroundings`, (N, 2, R, R, 3) uint8."""

    def explain(self, faces: np.ndarray) -> Pictures | None:
        """Return what explains faces (N, S, S, 3) uint8; None without a generator. A broken one is an ArtefactError."""

    def configs(self) -> dict:
        """Return the configs of "detector" and "generator" (or None) as plain values, for people to read."""

    def attention(self, face: np.ndarray, cue: np.ndarray) -> np.ndarray | None:
        """Return where the detector looks on the cues (N, 3, S, S) of such faces, (N, h, w); None where it does not."""


def sound(pictures: np.ndarray) -> np.ndarray:
    """Return which of pictures (N, ...) hold no NaN and no infinity, (N,)."""
    return np.isfinite(pictures).reshape(len(pictures), -1).all(1)
