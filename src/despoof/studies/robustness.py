"""How steady the cue is: the same captures disturbed before the generator, and other draws of its noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch

from despoof.cue import cue
from despoof.evaluation.tables import markdown
from despoof.faces.align import as_image
from despoof.faces.store import StoredSample
from despoof.generator.generator import Generator
from despoof.studies.readings import aucs, correlation, cue_statistics, pairs, scores_across, signed_cues

Disturbance = Callable[[np.ndarray], np.ndarray]  # (S, S, 3) uint8 -> same


@dataclass(frozen=True)
class Steadiness:
    """`correlation` of the disturbed cue with the plain one, mean and 5th percentile; AUC per domain.

    AUC is that of statistics of the cue, fitted on plain captures of the other domains.
    """

    name: str
    correlation: float
    lowest: float
    aucs: dict[str, float]


def blurred(deviation: float) -> Disturbance:
    """Gaussian blur; deviation in pixels."""
    return lambda face: cv2.GaussianBlur(face, (0, 0), deviation)


def compressed(quality: int) -> Disturbance:
    """JPEG and back."""
    return lambda face: cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


def brightened(factor: float) -> Disturbance:
    """Every value times a factor, clipped."""
    return lambda face: np.clip(face * factor, 0, 255).round().astype(np.uint8)


def shrunk(share: float) -> Disturbance:
    """Averaged to a share of the side, and enlarged again."""

    def apply(face: np.ndarray) -> np.ndarray:
        side = len(face)
        small = cv2.resize(face, (round(side * share),) * 2, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)

    return apply


DISTURBANCES: dict[str, Disturbance] = {
    "blur 0.7": blurred(0.7),
    "blur 1.5": blurred(1.5),
    "jpeg 70": compressed(70),
    "jpeg 40": compressed(40),
    "brightness 0.7": brightened(0.7),
    "brightness 1.3": brightened(1.3),
    "size 0.75": shrunk(0.75),
    "size 0.5": shrunk(0.5),
}


def robustness(generator: Generator, rows: list[StoredSample], faces: np.ndarray, salts: int = 3) -> list[Steadiness]:
    """Measure captures (N, S, S, 3) uint8 under each of `DISTURBANCES` and each other salt of the noise."""
    plain = _read(generator, faces, 0, "plain")
    found = [_steadiness("plain", plain, plain, rows)]
    for name, disturb in DISTURBANCES.items():
        other = _read(generator, np.stack([disturb(face) for face in faces]), 0, name)
        found.append(_steadiness(name, plain, other, rows))
    for salt in range(1, salts + 1):
        other = _read(generator, faces, salt, f"noise {salt}")
        found.append(_steadiness(f"noise {salt}", plain, other, rows))
    return found


def table(found: Sequence[Steadiness], captures: int) -> str:
    """Return the study of so many captures as a Markdown table."""
    domains = (f"AUC {name}" for name in found[0].aucs)
    head = (f"{captures} captures", "cue correlation, mean", "5th percentile", *domains)
    figures = ((each.correlation, each.lowest, *each.aucs.values()) for each in found)
    return markdown(head, [(each.name, *map("{:.3f}".format, row)) for each, row in zip(found, figures, strict=True)])


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


def _steadiness(name: str, plain: _Read, other: _Read, rows: list[StoredSample]) -> Steadiness:
    parts = zip(plain.cues.split(64), other.cues.split(64), strict=True)
    alike = np.concatenate([correlation(first.float(), second.float()) for first, second in parts])
    scores = scores_across(rows, plain.statistics, judged=other.statistics)
    return Steadiness(name, float(alike.mean()), float(np.quantile(alike, 0.05)), aucs(rows, scores))
