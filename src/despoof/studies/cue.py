"""What the cue knows by itself: AUC of live against attack per domain, with no detector in between.

Two readings of the cue, beside single numbers of the face and the residual of the plain autoencoder: one number (less
change = more live), which needs no attack to train on, and logistic regression on simple statistics of the signed cue,
trained on the other domains. `read_forms` reads the same counterparts as each of `CUE_FORMS`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from despoof.cue import CUE_FORMS, cue
from despoof.evaluation.baselines import number, statistics
from despoof.faces.counterparts import read_counterparts
from despoof.faces.store import Store, StoredSample
from despoof.generator.generator import Generator
from despoof.generator.registry import LatentDiffusion
from despoof.studies.readings import aucs, cue_statistics, images, pairs, residuals, scores_across, signed_cues


@dataclass(frozen=True)
class Reading:
    """AUC (live above attack) of one reading per domain; every score is higher for more live."""

    reading: str
    auc: dict[str, float]


def read_cue(store: Store, rows: list[StoredSample], generator: LatentDiffusion, counterparts: Path) -> list[Reading]:
    """Return the readings of captures `rows`, whose counterparts lie in a folder."""
    size, autoencoder = generator.config.face_size, generator.autoencoder
    faces = store.faces(rows, size)
    made = read_counterparts(counterparts, rows, size, faces=faces)
    plain = images(faces, size, lambda face: autoencoder.decode(autoencoder.encode(face)), "autoencoder")
    scores = {name: number(store, name)(rows) for name in ("saturation", "sharpness", "darkness")}
    scores |= {
        "autoencoder residual": -residuals(faces, plain),
        "cue magnitude": -residuals(faces, made),
        "cue magnitude, less the autoencoder's": -residuals(plain, made),
    }
    face, own = np.stack([statistics(one) for one in faces]), cue_statistics(signed_cues(faces, made))
    values = {
        "face statistics": face,
        "autoencoder cue statistics": cue_statistics(signed_cues(faces, plain)),
        "cue statistics": own,
        "face and cue statistics": np.hstack([face, own]),
    }
    scores |= {f"{name}, other domains": scores_across(rows, each) for name, each in values.items()}
    return [Reading(name, aucs(rows, each)) for name, each in scores.items()]


def read_forms(generator: Generator, rows: list[StoredSample], faces: np.ndarray) -> list[Reading]:
    """Return the reading of the statistics of every form of the cue of captures `rows`, faces (N, S, S, 3) uint8."""
    found: dict[str, list[np.ndarray]] = {form: [] for form in CUE_FORMS}
    for face, made in pairs(faces, generator.config.face_size, generator.counterpart, "cue forms"):
        for form, values in found.items():
            values.append(cue_statistics(cue(face, made, form).permute(0, 2, 3, 1).numpy()))
    return [Reading(form, aucs(rows, scores_across(rows, np.concatenate(each)))) for form, each in found.items()]
