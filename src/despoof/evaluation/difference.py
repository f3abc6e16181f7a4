"""Two models on the same presentations -> the difference of their error rates and its interval.

Both see the same subjects in every bootstrap round, so what is hard for both does not widen the interval.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from despoof import metrics
from despoof.errors import InputError
from despoof.evaluation.intervals import Difference, bootstrap_rounds, difference
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import SOURCE, hter_at_source

MEAN = "mean"  # over the cells; never the name of a cell in a protocol of the package
COMPARED = (f"HTER @ {SOURCE}", "AUC")
Cells = dict[str, list[ScoreFile]]  # cell -> files, one per seed


@dataclass(frozen=True)
class Comparison:
    """First model minus second, as means over their seeds: one difference per name in `COMPARED`."""

    protocol: str
    cell: str
    first: str
    second: str
    differences: dict[str, Difference]


def compare(files: Sequence[ScoreFile], first: str, *, rounds: int = 1000) -> list[Comparison]:
    """Return `first` against every other model that was tested on the same presentations.

    Compared are the cells both have, and their mean where there are several. A model tested on other
    presentations is left out. `rounds` 0 gives nothing.
    """
    models = {file.facts["model"] for file in files}
    if first not in models:
        raise InputError(f"model {first!r} is not among the score files; expected one of {', '.join(sorted(models))}.")
    protocols: dict[str, dict[str, Cells]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for file in files:
        protocols[file.facts["protocol"]][file.facts["model"]][file.facts["cell"]].append(file)
    found = []
    for protocol, cells in sorted(protocols.items()):
        for second in sorted(set(cells) - {first}) if first in cells and rounds else []:
            found += _compared((protocol, first, second), cells[first], cells[second], rounds)
    return found


def _compared(names: tuple[str, str, str], first: Cells, second: Cells, rounds: int) -> list[Comparison]:
    protocol, *models = names
    cells = sorted(cell for cell in set(first) & set(second) if _presented(first[cell]) == _presented(second[cell]))
    if not cells:
        return []
    values, drawn = _differences([(first[cell], second[cell]) for cell in cells], rounds)
    if len(cells) > 1:
        cells = [*cells, MEAN]
        values = np.concatenate([values, values.mean(0, keepdims=True)])
        drawn = np.concatenate([drawn, drawn.mean(1, keepdims=True)], axis=1)
    return [
        Comparison(
            protocol, cell, *models, {name: difference(values[i, j], drawn[:, i, j]) for j, name in enumerate(COMPARED)}
        )
        for i, cell in enumerate(cells)
    ]


def _differences(cells: list[tuple[list[ScoreFile], list[ScoreFile]]], rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first minus second: (cells, names) on all presentations and (rounds, cells, names) as drawn.

    A subject that is tested in several cells comes into all of them alike; cells that share none are drawn apart.
    """
    pairs, weights = [], []
    for place, sides in enumerate(cells):
        for sign, files in zip((1, -1), sides, strict=True):
            for file in files:
                for column, statistic in enumerate((hter_at_source(file), metrics.auc)):  # as in COMPARED
                    pairs.append((statistic, file.scores()))
                    weights.append((place, column, sign / len(files)))
    table = bootstrap_rounds(pairs, rounds=rounds)
    whole = np.array([[statistic(scores.live, scores.attack) for statistic, scores in pairs]])
    found = []
    for each in (whole, table):
        sums = np.zeros((len(each), len(cells), len(COMPARED)))
        for values, (place, column, weight) in zip(each.T, weights, strict=True):
            sums[:, place, column] += weight * values
        found.append(sums)
    return found[0][0], found[1]


def _presented(files: list[ScoreFile]) -> set[frozenset]:
    return {file.presented for file in files}
