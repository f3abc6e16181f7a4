"""What a detector's scores depend on: AUC among faces that are alike in something that tells nothing of an attack.

On sets made by different cameras, attacks may be paler, darker, softer or smaller than live faces. A detector that only
saw that keeps nothing of its AUC among faces of equal saturation, darkness, sharpness or size.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from despoof.data.sample import Label
from despoof.evaluation.baselines import NUMBERS
from despoof.evaluation.scores import ScoreFile
from despoof.faces.store import Store, StoredSample
from despoof.metrics import auc
from despoof.studies.readings import scored_places

BINS = 10
MEASURES = (*NUMBERS, "size")


@dataclass(frozen=True)
class Dependence:
    """One model in one cell: AUC of all, and AUC among faces alike in each measure; means over seeds."""

    protocol: str
    cell: str
    model: str
    auc: float
    alike_in: dict[str, float]


def dependences(files: Sequence[ScoreFile], store: Store, size: int = 128) -> list[Dependence]:
    """Return the dependence of each (protocol, cell, model) of test score files, by the faces of a store."""
    rows = store.with_face()
    places = [scored_places(file, rows) for file in files]
    values = _measured(rows, np.unique(np.concatenate(places)), store, size)
    groups: dict[tuple[str, str, str], list[tuple[float, dict[str, float]]]] = defaultdict(list)
    for file, own in zip(files, places, strict=True):
        key = file.facts["protocol"], file.facts["cell"], file.facts["model"]
        groups[key].append(_one(file, {name: each[own] for name, each in values.items()}))
    found = []
    for key in sorted(groups):
        plain, alike = zip(*groups[key], strict=True)
        means = {name: float(np.mean([each[name] for each in alike])) for name in MEASURES}
        found.append(Dependence(*key, float(np.mean(plain)), means))
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


def _measured(rows: list[StoredSample], places: np.ndarray, store: Store, size: int) -> dict[str, np.ndarray]:
    """Return each measure (N,) of the rows at `places`; NaN of all others."""
    found = {name: np.full(len(rows), np.nan) for name in MEASURES}
    for place in places:
        face = store.faces([rows[place]], size)[0]
        for name, measure in NUMBERS.items():
            found[name][place] = measure(face)
        found["size"][place] = rows[place].quality["eye_distance"]
    return found


def _one(file: ScoreFile, values: dict[str, np.ndarray]) -> tuple[float, dict[str, float]]:
    answered = [row for row in file.rows if row.liveness is not None]
    scores = np.array([row.liveness for row in answered])
    live = np.array([row.label is Label.LIVE for row in answered])
    alike = {name: auc_among_alike(scores, live, each) for name, each in values.items()}
    return auc(scores[live], scores[~live]), alike
