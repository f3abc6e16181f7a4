"""The gate between a teacher and a faster student: four figures, a limit for each, pass or fail.

Measured on held-out real faces (does the counterpart stay the person, is the cue the same picture) and on
captures (does the cue separate as well, does a detector that learned with the teacher judge as well).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from despoof.cue import cue
from despoof.detector.batches import Gathered
from despoof.detector.network import load_detector
from despoof.detector.scoring import scores
from despoof.errors import InputError
from despoof.evaluation.protocols import is_live
from despoof.faces.align import as_tensor
from despoof.faces.counterparts import read_counterparts
from despoof.faces.store import Store, StoredSample
from despoof.generator.generator import Generator
from despoof.generator.reconstruct import reconstruct
from despoof.metrics import auc
from despoof.studies.cue import by_domain, cue_statistics, leave_one_out, per_face


@dataclass(frozen=True)
class Limits:
    """What a student may lose."""

    cosine_loss: float = 0.03  # of the mean identity cosine of face and counterpart
    cue_correlation: float = 0.8  # least mean correlation of the two cues of a face
    cue_auc_kept: float = 0.95  # least share of the teacher's mean AUC above chance, of the cue's statistics
    detector_auc_loss: float = 0.01  # mean over the detectors, each on the domain it never saw


@dataclass(frozen=True)
class Check:
    """One figure: the teacher's, the student's, what is compared with its limit, and whether that holds."""

    name: str
    teacher: float
    student: float
    value: float
    limit: float
    passed: bool


def faces_checks(teacher: Generator, student: Generator, faces: np.ndarray, limits: Limits) -> list[Check]:
    """Compare on real faces (N, S, S, 3) uint8 that no part was trained on."""
    cosines: dict[str, list[np.ndarray]] = {"teacher": [], "student": []}
    correlations = []
    for start in range(0, len(faces), 32):
        face = as_tensor(faces[start : start + 32], teacher.config.face_size)
        made = {"teacher": teacher.counterpart(face), "student": student.counterpart(face)}
        with torch.inference_mode():
            own = teacher.identity(face).embedding
            for name, counterpart in made.items():
                cosines[name].append((own * teacher.identity(counterpart).embedding).sum(1).numpy())
        correlations.append(correlation(cue(face, made["teacher"]), cue(face, made["student"])))
    mean = {name: float(np.concatenate(values).mean()) for name, values in cosines.items()}
    loss, alike = mean["teacher"] - mean["student"], float(np.concatenate(correlations).mean())
    return [
        Check("identity cosine, loss", *mean.values(), loss, limits.cosine_loss, loss <= limits.cosine_loss),
        Check("cue correlation", 1.0, alike, alike, limits.cue_correlation, alike >= limits.cue_correlation),
    ]


def correlation(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """Return Pearson's correlation (N,) of two batches of cues."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (first, second))
    return torch.nn.functional.cosine_similarity(a, b).numpy()


def captures_checks(
    rows: list[StoredSample],
    faces: np.ndarray,
    counterparts: Mapping[str, np.ndarray],
    fits: Path,
    limits: Limits,
) -> list[Check]:
    """Compare on captures: rows, faces and the counterparts of "teacher" and "student" (N, S, S, 3) uint8.

    `fits` is what `despoof evaluate` left of a detector that takes the cue: folders ``to-DOMAIN-seedK``.
    """
    alone = {name: _cue_auc(rows, faces, made) for name, made in counterparts.items()}
    kept = (alone["student"] - 0.5) / (alone["teacher"] - 0.5) if alone["teacher"] > 0.5 else float("nan")
    judged = {name: _detector_auc(rows, faces, made, fits) for name, made in counterparts.items()}
    loss = judged["teacher"] - judged["student"]
    return [
        Check(
            "cue statistics, AUC above chance kept",
            alone["teacher"],
            alone["student"],
            kept,
            limits.cue_auc_kept,
            kept >= limits.cue_auc_kept,
        ),
        Check(
            "detector AUC on unseen domains, loss",
            judged["teacher"],
            judged["student"],
            loss,
            limits.detector_auc_loss,
            loss <= limits.detector_auc_loss,
        ),
    ]


def run_gate(
    teacher: Generator,
    student: Generator,
    faces: np.ndarray,
    captures: Store,
    fits: Path,
    *,
    limits: Limits | None = None,
) -> list[Check]:
    """Return the four checks; counterparts of the captures that are missing are made and kept."""
    if teacher.config.face_size != student.config.face_size:
        raise InputError(
            f"teacher works at {teacher.config.face_size} px, student at {student.config.face_size}; expected the "
            "same. Give two generators of one preset."
        )
    limits, size, rows = limits or Limits(), teacher.config.face_size, captures.with_face()
    shown = captures.faces(rows, size)
    made = {
        name: read_counterparts(reconstruct(captures, generator), rows, size, faces=shown)
        for name, generator in (("teacher", teacher), ("student", student))
    }
    return faces_checks(teacher, student, faces, limits) + captures_checks(rows, shown, made, fits, limits)


def _cue_auc(rows: list[StoredSample], faces: np.ndarray, made: np.ndarray) -> float:
    signed = (faces.astype(np.float32) - made) / 127.5
    found = by_domain(rows, leave_one_out(rows, per_face(signed, cue_statistics)))
    return float(np.mean(list(found.values())))


def _detector_auc(rows: list[StoredSample], faces: np.ndarray, made: np.ndarray, fits: Path) -> float:
    domain, live = np.array([row.sample.domain for row in rows]), is_live(rows)
    found = []
    for path in sorted(fits.glob("to-*-seed*/detector.safetensors")):
        target = path.parent.name.removeprefix("to-").rpartition("-seed")[0]
        picks = np.flatnonzero(domain == target)
        keys = [rows[i].key for i in picks]
        liveness = scores(
            load_detector(path), Gathered(faces[picks], made[picks], live[picks], np.zeros(len(picks), int), keys)
        )
        found.append(auc(liveness[live[picks]], liveness[~live[picks]]))
    if not found:
        raise InputError(
            f"{fits} holds no to-DOMAIN-seedK/detector.safetensors; expected the fits of `despoof evaluate`. Run it."
        )
    return float(np.mean(found))
