"""False alarms on hard real faces: how large the cue is, and how live the detector finds them, group by group.

Groups are the tenth of the faces that is extreme in something measured on the picture; nothing is known of glasses,
beards or age.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from despoof.cue import cue
from despoof.evaluation.baselines import darkness, saturation, sharpness
from despoof.faces.align import as_image, as_tensor
from despoof.faces.quality import pose
from despoof.faces.store import Store, StoredSample
from despoof.generator.training.identity import teacher_encoder
from despoof.metrics import Interval, proportion_interval
from despoof.pipeline import Guard
from despoof.runs.progress import track
from despoof.studies.fidelity import arcface_crops

SHARE = 0.1


@dataclass(frozen=True)
class Group:
    """One group: `n` faces; means of residual (of a range of 2) and identity cosine with the half width of their
    95 % interval; `refused` of n are not LIVE, with its exact interval."""

    name: str
    n: int
    residual: tuple[float, float]
    cosine: tuple[float, float]
    refused: int
    interval: Interval


MEASURES: dict[str, Callable[[StoredSample, np.ndarray], float]] = {
    "dark": lambda row, face: darkness(face),
    "bright": lambda row, face: -darkness(face),
    "blurred": lambda row, face: -sharpness(face),
    "sharp": lambda row, face: sharpness(face),
    "pale": lambda row, face: -saturation(face),
    "colourful": lambda row, face: saturation(face),
    "turned": lambda row, face: abs(pose(np.array(row.landmarks))[0]),
    "looking up or down": lambda row, face: abs(pose(np.array(row.landmarks))[1]),
}


def audit(guard: Guard, store: Store, rows: list[StoredSample], teacher: Path) -> list[Group]:
    """Return the groups of `hard_faces` by the counterparts and decisions of a guard; `teacher` judges identity."""
    size, encode = guard.detector.config.face_size, teacher_encoder(str(teacher))
    faces = store.faces(rows, size)
    made, live = [], []
    for start in track(range(0, len(rows), 32), "hard faces", -(-len(rows) // 32)):
        face = as_tensor(faces[start : start + 32], size)
        counterpart = guard.generator.counterpart(face)
        liveness = guard.detector.liveness(face, cue(face, counterpart, guard.detector.config.cue_form))
        live += (liveness >= guard.thresholds[1]).tolist()
        made += [as_image(one) for one in counterpart]
    drawn = np.stack(made)
    cosine = (encode(arcface_crops(faces)) * encode(arcface_crops(drawn))).sum(1)
    residual = np.abs(faces.astype(np.float32) - drawn).reshape(len(faces), -1).mean(1) / 127.5
    return hard_faces(rows, faces, residual, cosine, np.array(live))


def hard_faces(
    rows: list[StoredSample], faces: np.ndarray, residual: np.ndarray, cosine: np.ndarray, live: np.ndarray
) -> list[Group]:
    """Return all faces as one group, then each extreme tenth: faces (N, S, S, 3) uint8; residual, cosine (N,);
    `live` (N,) bool, judged LIVE."""
    count = max(1, round(SHARE * len(rows)))
    groups = [_group("all", np.arange(len(rows)), residual, cosine, live)]
    for name, measure in MEASURES.items():
        values = np.array([measure(row, face) for row, face in zip(rows, faces, strict=True)])
        groups.append(_group(name, np.argsort(-values, kind="stable")[:count], residual, cosine, live))
    return groups


def _group(name: str, picks: np.ndarray, residual: np.ndarray, cosine: np.ndarray, live: np.ndarray) -> Group:
    refused = int((~live[picks]).sum())
    interval = proportion_interval(refused, len(picks))
    return Group(name, len(picks), _mean(residual[picks]), _mean(cosine[picks]), refused, interval)


def _mean(values: np.ndarray) -> tuple[float, float]:
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return float(values.mean()), float(half)
