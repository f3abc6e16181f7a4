"""May a faster student replace its teacher? Four figures, a limit for each.

Measured on held-out real faces (does the counterpart stay the person, is the cue the same picture) and on captures
(does the cue separate as well, does a detector that learned with the teacher judge as well).
"""

from collections.abc import Sequence
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
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import read_tests
from despoof.faces.counterparts import read_counterparts
from despoof.faces.store import Store, StoredSample
from despoof.generator.generator import Generator
from despoof.generator.reconstruct import reconstruct
from despoof.metrics import auc
from despoof.runs.checkpoint import file_hash
from despoof.studies import readings

# What a student may lose.
COSINE_LOSS = 0.03  # of the mean identity cosine of face and counterpart
CUE_CORRELATION = 0.8  # least mean correlation of the two cues of a face
CUE_AUC_KEPT = 0.95  # least share of the teacher's mean AUC above chance, of the cue's statistics
DETECTOR_AUC_LOSS = 0.01  # mean over the detectors, each on the captures it was tested on


@dataclass(frozen=True)
class Check:
    """One figure: the teacher's, the student's, what is compared with its limit, and whether that holds."""

    check: str
    teacher: float
    student: float
    value: float
    limit: float
    passed: bool


@dataclass(frozen=True)
class ScoredDetector:
    """A detector's file and what it was tested on: places in the captures."""

    file: Path
    places: np.ndarray


def check_student(
    teacher: Generator, student: Generator, faces: np.ndarray, captures: Store, detectors: Sequence[ScoredDetector]
) -> list[Check]:
    """Return the four checks; counterparts of the captures that are missing are made and kept.

    `faces` (N, S, S, 3) uint8 are real and held out; `detectors` learned with the teacher's counterparts and have
    their places in `real_captures` of the captures.
    """
    size, rows = teacher.config.face_size, readings.real_captures(captures)
    if size != student.config.face_size:
        raise InputError(
            f"teacher works at {size} px, student at {student.config.face_size}; expected the same. Give two "
            "generators of one preset."
        )
    shown = captures.faces(rows, size)
    made = [read_counterparts(reconstruct(captures, each), rows, size, faces=shown) for each in (teacher, student)]
    return check_faces(teacher, student, faces) + check_captures(rows, shown, made, detectors)


def scored_detectors(evaluation: Path, model: str, teacher: str, rows: Sequence[StoredSample]) -> list[ScoredDetector]:
    """Return the detectors of a model and what each was tested on, as its score files say.

    They must have learned with counterparts of the generator named `teacher`.
    """
    files = [file for file in read_tests(evaluation / "scores") if file.facts["model"] == model]
    if not files:
        raise InputError(f"{evaluation} has no score file of model {model!r}; expected one. Name another model.")
    for file in files:
        if file.facts.get("counterparts") != teacher:
            raise InputError(
                f"model {model!r} of {evaluation} learned with counterparts of {file.facts.get('counterparts')}; "
                f"expected {teacher}, the teacher. Name another model, or evaluate one."
            )
    return [ScoredDetector(_detector(evaluation, file), readings.scored_places(file, rows)) for file in files]


def _detector(evaluation: Path, file: ScoreFile) -> Path:
    facts = file.facts
    folder = evaluation / "fits" / facts["protocol"] / facts["model"] / f"{facts['cell']}-seed{facts['seed']}"
    path = folder / "detector.safetensors"
    if not path.is_file() or file_hash(path) != facts.get("weights_hash", {}).get(path.name):
        raise InputError(f"{path} is missing or not the detector that was scored. Run `despoof evaluate` again.")
    return path


def check_faces(teacher: Generator, student: Generator, faces: np.ndarray) -> list[Check]:
    """Compare on real faces (N, S, S, 3) uint8 that no part was trained on."""
    cosines, correlations = [], []

    def both(face: torch.Tensor) -> torch.Tensor:
        return torch.stack([teacher.counterpart(face), student.counterpart(face)])

    for face, made in readings.pairs(faces, teacher.config.face_size, both, "student and teacher"):
        with torch.inference_mode():
            own, *others = (teacher.identity(each).embedding for each in (face, *made))
        cosines.append(torch.stack([(own * other).sum(1) for other in others]))
        correlations.append(readings.correlation(*(cue(face, counterpart) for counterpart in made)))
    mean = torch.cat(cosines, 1).mean(1).tolist()
    loss, alike = mean[0] - mean[1], float(np.concatenate(correlations).mean())
    return [
        Check("identity cosine, loss", *mean, loss, COSINE_LOSS, loss <= COSINE_LOSS),
        Check("cue correlation", 1.0, alike, alike, CUE_CORRELATION, alike >= CUE_CORRELATION),
    ]


def check_captures(
    rows: list[StoredSample], faces: np.ndarray, made: Sequence[np.ndarray], detectors: Sequence[ScoredDetector]
) -> list[Check]:
    """Compare on captures: rows, faces, and the counterparts of teacher and student, (N, S, S, 3) uint8 each."""
    alone = [_cue_auc(rows, faces, each) for each in made]
    kept = (alone[1] - 0.5) / (alone[0] - 0.5) if alone[0] > 0.5 else float("nan")
    judged = [_detector_auc(rows, faces, each, detectors) for each in made]
    loss = judged[0] - judged[1]
    return [
        Check("cue statistics, AUC above chance kept", *alone, kept, CUE_AUC_KEPT, kept >= CUE_AUC_KEPT),
        Check("detector AUC on unseen domains, loss", *judged, loss, DETECTOR_AUC_LOSS, loss <= DETECTOR_AUC_LOSS),
    ]


def _cue_auc(rows: list[StoredSample], faces: np.ndarray, made: np.ndarray) -> float:
    found = readings.aucs(
        rows, readings.scores_across(rows, readings.cue_statistics(readings.signed_cues(faces, made)))
    )
    return float(np.mean(list(found.values())))


def _detector_auc(
    rows: list[StoredSample], faces: np.ndarray, made: np.ndarray, detectors: Sequence[ScoredDetector]
) -> float:
    live, found = is_live(rows), []
    for each in detectors:
        picks, own = each.places, live[each.places]
        keys, domain = [rows[i].key for i in picks], np.zeros(len(picks), int)
        liveness = scores(load_detector(each.file), Gathered(faces[picks], made[picks], own, domain, keys))
        found.append(auc(liveness[own], liveness[~own]))
    return float(np.mean(found))
