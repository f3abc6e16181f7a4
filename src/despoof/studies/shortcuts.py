"""What a detector's answers hang on: AUC among faces that are alike in something that tells nothing of an attack.

On sets made by different cameras, attacks may be paler, darker, softer or smaller than live faces. A detector that only
saw that keeps nothing of its AUC among faces of equal saturation, darkness, sharpness or size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from despoof.errors import InputError
from despoof.evaluation.baselines import NUMBERS
from despoof.evaluation.scores import ScoreFile
from despoof.faces.store import Store, StoredSample
from despoof.metrics import auc

BINS = 10
MEASURES = (*NUMBERS, "size")


@dataclass(frozen=True)
class Dependence:
    """One model in one cell: AUC of all, and AUC among faces alike in each measure; means over seeds."""

    protocol: str
    cell: str
    model: str
    plain: float
    alike: dict[str, float]


def dependences(files: Sequence[ScoreFile], store: Store, size: int = 128) -> list[Dependence]:
    """Return the dependence of each (protocol, cell, model) of test score files, by the faces of a store."""
    rows = {row.key: row for row in store.with_face()}
    said = {_row_of(file) for file in files}
    scored = {row.key: row.path for file in files for row in file.rows if row.liveness is not None}
    keys = sorted(scored)
    missing = [scored[key] for key in keys if key not in rows]
    if missing:
        raise InputError(f"store {store.root} lacks {len(missing)} scored samples, such as {missing[0]}. Give theirs.")
    values = _measured([rows[key] for key in keys], store, size)
    place = {key: i for i, key in enumerate(keys)}
    found = []
    for row in sorted(said):
        own = [file for file in files if _row_of(file) == row]
        plain, alike = zip(*(_one(file, values, place) for file in own), strict=True)
        means = {name: float(np.mean([each[name] for each in alike])) for name in MEASURES}
        found.append(Dependence(*row, float(np.mean(plain)), means))
    return found


def auc_among_alike(scores: np.ndarray, live: np.ndarray, values: np.ndarray, bins: int = BINS) -> float:
    """Return the AUC over pairs (live, attack) whose `values` fall into one of `bins` equally full parts.

    Scores, live (bool) and values are (N,). The mean of the parts' AUC, weighted by their pairs; NaN without any pair.
    """
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    part = np.searchsorted(edges, values, side="right")
    total = pairs = 0.0
    for number in range(bins):
        inside = part == number
        count = float((live & inside).sum() * (~live & inside).sum())
        if count:
            total += count * auc(scores[live & inside], scores[~live & inside])
            pairs += count
    return total / pairs if pairs else float("nan")


def markdown(found: Sequence[Dependence]) -> str:
    """Return a table: AUC, and AUC among faces alike in each measure."""
    heads = ("protocol", "cell", "model", "AUC", *(f"alike in {name}" for name in MEASURES))
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for each in found:
        cells = (
            each.protocol,
            each.cell,
            each.model,
            *(f"{value:.3f}" for value in (each.plain, *each.alike.values())),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _row_of(file: ScoreFile) -> tuple[str, str, str]:
    return file.facts["protocol"], file.facts["cell"], file.facts["model"]


def _measured(rows: list[StoredSample], store: Store, size: int) -> dict[str, np.ndarray]:
    faces = store.faces(rows, size)
    found = {name: np.array([measure(face) for face in faces]) for name, measure in NUMBERS.items()}
    return found | {"size": np.array([row.quality["eye_distance"] for row in rows])}


def _one(file: ScoreFile, values: dict[str, np.ndarray], place: dict[str, int]) -> tuple[float, dict[str, float]]:
    answered = [row for row in file.rows if row.liveness is not None]
    scores = np.array([row.liveness for row in answered])
    live = np.array([row.label == "live" for row in answered])
    picks = [place[row.key] for row in answered]
    alike = {name: auc_among_alike(scores, live, each[picks]) for name, each in values.items()}
    return auc(scores[live], scores[~live]), alike
