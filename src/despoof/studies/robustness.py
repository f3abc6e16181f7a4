"""How steady the cue is: the same captures disturbed before the generator, and other draws of its noise."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch

from despoof.cue import cue
from despoof.faces.align import as_image
from despoof.faces.store import StoredSample
from despoof.generator.generator import Generator
from despoof.studies.readings import aucs, correlation, cue_statistics, pairs, scores_across, signed_cues
from despoof.studies.stability.disturbances import blurred, compressed


@dataclass(frozen=True)
class Steadiness:
    """`correlation` of the disturbed cue with the plain one, mean and 5th percentile; AUC per domain.

    AUC is that of statistics of the cue, fitted on plain captures of the other domains.
    """

    disturbance: str
    correlation: float
    percentile_5: float
    auc: dict[str, float]


def brightened(face: np.ndarray, factor: float) -> np.ndarray:
    """Return every value times a factor, clipped."""
    return np.clip(face * factor, 0, 255).round().astype(np.uint8)


def shrunk(face: np.ndarray, share: float) -> np.ndarray:
    """Return the face averaged to a share of its side, and enlarged again."""
    small = cv2.resize(face, (round(len(face) * share),) * 2, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, face.shape[:2], interpolation=cv2.INTER_LINEAR)


DISTURBANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # (S, S, 3) uint8 -> same
    "blur 0.7": partial(blurred, deviation=0.7),
    "blur 1.5": partial(blurred, deviation=1.5),
    "jpeg 70": partial(compressed, quality=70),
    "jpeg 40": partial(compressed, quality=40),
    "brightness 0.7": partial(brightened, factor=0.7),
    "brightness 1.3": partial(brightened, factor=1.3),
    "size 0.75": partial(shrunk, share=0.75),
    "size 0.5": partial(shrunk, share=0.5),
}


def robustness(generator: Generator, rows: list[StoredSample], faces: np.ndarray, salts: int = 3) -> list[Steadiness]:
    """Measure captures (N, S, S, 3) uint8 under each of `DISTURBANCES` and each other salt of the noise."""
    jobs = [("plain", None, 0), *((name, disturb, 0) for name, disturb in DISTURBANCES.items())]
    jobs += [(f"noise {salt}", None, salt) for salt in range(1, salts + 1)]
    plain, found = None, []
    for name, disturb, salt in jobs:
        other = _read(generator, faces if disturb is None else np.stack([disturb(face) for face in faces]), salt, name)
        plain = plain or other  # the first
        parts = zip(plain.cues.split(64), other.cues.split(64), strict=True)
        alike = np.concatenate([correlation(first.float(), second.float()) for first, second in parts])
        auc = aucs(rows, scores_across(rows, plain.statistics, judged=other.statistics))
        found.append(Steadiness(name, float(alike.mean()), float(np.quantile(alike, 0.05)), auc))
    return found


class _Read(NamedTuple):
    """Standardised cues (N, 3, S, S), 16-bit, and the statistics of the signed difference (N, D)."""

    cues: torch.Tensor
    statistics: np.ndarray


def _read(generator: Generator, faces: np.ndarray, salt: int, title: str) -> _Read:
    cues, made = [], []
    batches = pairs(faces, generator.config.face_size, lambda face: generator.counterpart(face, salt=salt), title)
    for face, counterpart in batches:
        cues.append(cue(face, counterpart).half())
        made += [as_image(one) for one in counterpart]
    return _Read(torch.cat(cues), cue_statistics(signed_cues(faces, np.stack(made))))
