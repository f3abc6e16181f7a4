"""Which form of the cue tells most: the same counterparts, read as each of `CUE_FORMS`."""

from dataclasses import dataclass

import numpy as np

from despoof.cue import CUE_FORMS, cue
from despoof.data.store import StoredSample
from despoof.evaluation.cue_alone import cue_statistics, leave_one_out, per_face
from despoof.evaluation.detectors import is_live
from despoof.faces.align import as_tensor
from despoof.generator.kind import Kind
from despoof.metrics import auc
from despoof.runs.progress import track


@dataclass(frozen=True)
class FormReading:
    """One form: per domain, AUC (live above attack) of statistics of the cue, fitted on the other domains."""

    form: str
    aucs: dict[str, float]


def read_forms(generator: Kind, rows: list[StoredSample], faces: np.ndarray) -> list[FormReading]:
    """Return the reading of every form on captures `rows` with faces (N, S, S, 3) uint8."""
    made: dict[str, list[np.ndarray]] = {form: [] for form in CUE_FORMS}
    size = generator.config.face_size
    for start in track(range(0, len(faces), 32), "cue forms", -(-len(faces) // 32)):
        face = as_tensor(faces[start : start + 32], size)
        counterpart = generator.counterpart(face)
        for form, found in made.items():
            found += list(cue(face, counterpart, form).permute(0, 2, 3, 1).numpy())
    return [FormReading(form, _aucs(rows, np.stack(cues))) for form, cues in made.items()]


def markdown(readings: list[FormReading]) -> str:
    """Return the readings as a table."""
    domains = list(readings[0].aucs)
    lines = ["| cue form | " + " | ".join(f"AUC {name}" for name in domains) + " |", "|---" * (1 + len(domains)) + "|"]
    lines += [
        f"| {each.form} | " + " | ".join(f"{each.aucs[name]:.3f}" for name in domains) + " |" for each in readings
    ]
    return "\n".join(lines) + "\n"


def _aucs(rows: list[StoredSample], cues: np.ndarray) -> dict[str, float]:
    scores = leave_one_out(rows, per_face(cues, cue_statistics))
    domain, live = np.array([str(row.sample.domain) for row in rows]), is_live(rows)
    return {
        str(name): auc(scores[live & (domain == name)], scores[~live & (domain == name)]) for name in np.unique(domain)
    }
