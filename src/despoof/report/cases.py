"""Score file -> the presentations judged best and worst, and their picture *face | counterpart | departure*.

Pictures show people. Nothing here decides whether they may be shown: the caller must know the licence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from despoof.data.sample import Label
from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.evaluation.tables import SOURCE
from despoof.explanation import heat
from despoof.faces.store import Store, StoredSample
from despoof.report.page import Picture

Sheet = Callable[[ScoreRow], bytes]  # a row of a score file -> PNG
Departs = Callable[[np.ndarray, np.ndarray], np.ndarray]  # face, counterpart (S, S, 3) uint8 -> map (S, S) in 0..1
GAP = 4  # white pixels between the three


@dataclass(frozen=True)
class Case:
    """A presentation and how it was judged: `word` is "best" or "worst"; `accepted` at the source threshold."""

    row: ScoreRow
    word: str
    accepted: bool

    @property
    def kind(self) -> str:
        """What it was, in words."""
        return "live" if self.row.label is Label.LIVE else f"attack, {self.row.attack_type}"


def best_and_worst(file: ScoreFile, *, count: int = 2) -> list[Case]:
    """Return at most `count` each of the live and of the attacks judged best and judged worst.

    Best is the live of highest liveness and the attack of lowest, worst the other way; equal ones go by path.
    Where a class has too few, the best come first and none is shown twice.
    """
    threshold, cases = file.threshold(SOURCE), []
    for label, sign in ((Label.LIVE, -1), (Label.ATTACK, 1)):
        rows = [row for row in file.labelled(label) if row.liveness is not None]
        rows.sort(key=lambda row: (sign * (row.liveness or 0.0), row.path))
        best, rest = rows[:count], rows[count:]
        for word, chosen in (("best", best), ("worst", rest[::-1][:count])):
            cases += [Case(row, word, (row.liveness or 0.0) >= threshold) for row in chosen]
    return cases


def case_row(file: ScoreFile, case: Case) -> tuple[str, ...]:
    """Return cell, case, domain, liveness, judgement and key of a case, as text."""
    judged, row = "accepted" if case.accepted else "rejected", case.row
    return file.facts["cell"], f"{case.word} {case.kind}", row.domain, f"{row.liveness:.4f}", judged, row.key


def case_picture(file: ScoreFile, case: Case, sheet: Sheet) -> Picture:
    """Return *face | counterpart | departure* of a case; it has no name, so its file is the page alone."""
    cell, kind, _, liveness, judged, key = case_row(file, case)
    return Picture(
        sheet(case.row),
        f"{cell}: {kind}, liveness {liveness}, {judged} ({key})",
        f"Face, counterpart and their difference, of a sample: {kind}, liveness {liveness}, {judged}.",
    )


def case_sheet(store: Store, counterparts: str | Path, departs: Departs | None = None) -> Sheet:
    """Return the function that draws a sample of the store; a video is shown by its first frame with a face.

    The difference is the map that `departs` makes, or the cue without it.
    """
    first: dict[str, StoredSample] = {}
    for row in store.with_face():
        first.setdefault(row.sample.presentation.key, row)
        first.setdefault(row.key, row)

    def sheet(row: ScoreRow) -> bytes:
        if row.key not in first:
            raise InputError(f"{row.path} has no face in store {store.root}; expected the store that was scored.")
        return _png(_side_by_side(store, first[row.key], Path(counterparts), departs))

    return sheet


def _side_by_side(store: Store, row: StoredSample, counterparts: Path, departs: Departs | None) -> np.ndarray:
    """Return (S, 3 S + 2 gaps, 3) uint8 RGB at the size of the counterpart."""
    from despoof.cue import cue, cue_picture
    from despoof.faces.align import as_tensor
    from despoof.faces.counterparts import counterpart_size, read_counterparts

    size = counterpart_size(counterparts)
    face, counterpart = store.faces([row], size)[0], read_counterparts(counterparts, [row], size)[0]
    if departs is None:
        difference = cue_picture(cue(as_tensor(face, size), as_tensor(counterpart, size)))
    else:
        difference = heat(departs(face, counterpart))
    gap = np.full((size, GAP, 3), 255, np.uint8)
    return np.hstack([face, gap, counterpart, gap, difference])


def _png(image: np.ndarray) -> bytes:
    _, data = cv2.imencode(".png", image[..., ::-1])
    return data.tobytes()
