"""What the cue knows by itself: AUC of live against attack per domain, with no detector in between.

Two readings of the cue, beside single numbers of the face and the residual of the plain autoencoder:
one number (less change = more live), which needs no attack to train on, and logistic regression on simple
statistics of the signed cue, trained on the other domains.

Which form of the cue tells most: the same counterparts, read as each of `CUE_FORMS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from despoof.cue import CUE_FORMS, cue
from despoof.evaluation.baselines import logistic_regression, number, residual, statistics
from despoof.evaluation.protocols import is_live
from despoof.faces.align import as_tensor
from despoof.faces.counterparts import read_counterparts
from despoof.faces.store import Store, StoredSample
from despoof.generator.generator import Generator
from despoof.generator.registry import LatentDiffusion
from despoof.metrics import auc
from despoof.runs.progress import track


def cue_table(store: Store, generator: LatentDiffusion, counterparts: Path) -> dict[str, dict[str, float]]:
    """Return AUC by reading and domain; every score is higher for more live."""
    rows, size = store.with_face(), generator.config.face_size
    faces = store.faces(rows, size)
    made = read_counterparts(counterparts, rows, size)
    plain = autoencoded(generator, faces)
    readings: dict[str, np.ndarray] = {
        name: number(store, name)(rows) for name in ("saturation", "sharpness", "darkness")
    }
    readings["autoencoder residual"] = residual(faces / 127.5, plain / 127.5)
    readings["cue magnitude"] = residual(faces / 127.5, made / 127.5)
    readings["cue magnitude, less the autoencoder's"] = residual(plain / 127.5, made / 127.5)
    features = {
        "face statistics, other domains": per_face(faces, statistics),
        "autoencoder cue statistics, other domains": per_face(_signed(faces, plain), cue_statistics),
        "cue statistics, other domains": per_face(_signed(faces, made), cue_statistics),
    }
    features["face and cue statistics, other domains"] = np.hstack(
        [features["face statistics, other domains"], features["cue statistics, other domains"]]
    )
    table = {name: by_domain(rows, scores) for name, scores in readings.items()}
    return table | {name: by_domain(rows, leave_one_out(rows, values)) for name, values in features.items()}


@torch.inference_mode()
def autoencoded(generator: LatentDiffusion, faces: np.ndarray) -> np.ndarray:
    """Return faces (N, S, S, 3) uint8 through encoder and decoder alone, no noise."""
    out = np.empty_like(faces)
    for start in track(range(0, len(faces), 64), "autoencode", -(-len(faces) // 64)):
        face = as_tensor(faces[start : start + 64], generator.config.face_size)
        back = generator.autoencoder.decode(generator.autoencoder.encode(face)).clamp(-1, 1)
        out[start : start + 64] = ((back + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return out


def cue_statistics(cue: np.ndarray) -> np.ndarray:
    """Return about 70 statistics of a signed cue (S, S, 3) in -2..2: those of a face, and of its magnitude."""
    shifted = np.clip((cue + 1) * 127.5, 0, 255).astype(np.uint8)
    size = np.abs(cue)
    inner = size[len(size) // 4 : -len(size) // 4, len(size) // 4 : -len(size) // 4]
    extra = [np.log(size.mean() + 1e-6), np.log(inner.mean() + 1e-6), *np.quantile(size, (0.5, 0.9, 0.99))]
    return np.concatenate([statistics(shifted), extra])


def per_face(images: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return (N, D): the function of each image."""
    return np.stack([function(image) for image in images])


def leave_one_out(rows: list[StoredSample], values: np.ndarray, *, judged: np.ndarray | None = None) -> np.ndarray:
    """Return liveness (N,) of each domain by logistic regression on all others.

    `judged` (N, D) is scored in place of the values themselves, for example those of disturbed captures.
    """
    domain, live = np.array([row.sample.domain for row in rows]), is_live(rows)
    scores = np.empty(len(rows))
    for target in np.unique(domain):
        train = domain != target
        shift, scale = values[train].mean(0), values[train].std(0) + 1e-6
        weights = logistic_regression((values[train] - shift) / scale, live[train], ridge=10.0)
        tested = ((values if judged is None else judged)[~train] - shift) / scale
        scores[~train] = tested @ weights[:-1] + weights[-1]
    return scores


def by_domain(rows: list[StoredSample], scores: np.ndarray) -> dict[str, float]:
    """Return AUC (live above attack) per domain."""
    domain, live = np.array([row.sample.domain for row in rows]), is_live(rows)
    return {
        str(name): auc(scores[live & (domain == name)], scores[~live & (domain == name)]) for name in np.unique(domain)
    }


def _signed(faces: np.ndarray, counterparts: np.ndarray) -> np.ndarray:
    return (faces.astype(np.float32) - counterparts) / 127.5


@dataclass(frozen=True)
class FormReading:
    """One form: per domain, AUC (live above attack) of statistics of the cue, fitted on the other domains."""

    form: str
    aucs: dict[str, float]


def read_forms(generator: Generator, rows: list[StoredSample], faces: np.ndarray) -> list[FormReading]:
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
