"""Cross-fitted scores and a store -> BPCER of groups of people and pictures, each against all others.

Groups are thirds of a measured value (luma of the face, sharpness, distance of the eyes) and what a table says of its
samples in further columns, such as age or glasses. Cameras weigh the same; groups are not alike in all else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from despoof.evaluation.cameras import BPCER, Cameras, Rows
from despoof.evaluation.crossfit import EQUAL
from despoof.evaluation.intervals import difference
from despoof.evaluation.tables import Figure, shown
from despoof.faces.store import StoredSample

VALUES = {  # measured value -> words of its thirds
    "luma": ("darkest", "middle", "brightest"),
    "sharpness": ("softest", "middle", "sharpest"),
    "eye_distance": ("smallest", "middle", "largest"),
}
MOST_WORDS = 6  # of a column that makes groups; one of more is a name or a number
FAR = 0.05  # BPCER further than this from the others', beyond chance, is said plainly
NOTES = f"""BPCER of live presentations at the {EQUAL} point, cameras weighing the same, percent (95 % interval,
redrawn as elsewhere). `minus others`: in percentage points, against all other live presentations whose group is known.
`far`: more than {100 * FAR:.0f} points and beyond chance. Groups differ in camera, light and distance too, and many
comparisons find a difference by chance."""


@dataclass(frozen=True)
class _Group:
    """A group by its kind and name, which of the N presentations are in it, and which have a group of the kind."""

    kind: str
    name: str
    inside: np.ndarray
    known: np.ndarray


def group_table(models: Sequence[Cameras], rows: Sequence[StoredSample]) -> Rows:
    """Return one row for each model and group; `rows` are of the store that was scored."""
    table: Rows = [("protocol", "model", "group", "live", "cameras", BPCER, "minus others", "far")]
    for each in models:
        for group in _groups(each, rows):
            table.append(_row(each, group))
    return table


def far_groups(table: Rows, model: str) -> list[str]:
    """Return a sentence for each group whose BPCER by a model of the table is far from the others', beyond chance."""
    far = [row for row in table[1:] if row[1] == model and row[-1] == "yes"]
    return [f"{model}, {row[2]}: BPCER {row[5]}, {row[6]} from the others." for row in far]


def _groups(each: Cameras, rows: Sequence[StoredSample]) -> list[_Group]:
    stored: dict[str, StoredSample] = {}
    for row in rows:
        stored.setdefault(row.sample.presentation.key, row)
        stored.setdefault(row.key, row)
    shown_rows, live, found = [stored.get(row.key) for row in each.judged.rows], each.judged.live, []
    for name, words in VALUES.items():
        values = np.array([np.nan if row is None else row.quality.get(name, np.nan) for row in shown_rows])
        known = live & ~np.isnan(values)
        if known.any():
            low, high = np.quantile(values[known], [1 / 3, 2 / 3])
            places = np.digitize(values, [low, high], right=True)  # NaN goes to the last and is not known
            told = (f"to {low:.0f}", f"to {high:.0f}", f"above {high:.0f}")
            found += [
                _Group(name, f"{name}, {word} third ({until})", known & (places == i), known)
                for i, (word, until) in enumerate(zip(words, told, strict=True))
            ]
    texts = [{} if row is None else dict(row.sample.labels) for row in shown_rows]
    for column in sorted({name for text in texts for name in text}):
        said = np.array([text.get(column, "") for text in texts])
        known = live & (said != "")
        names = np.unique(said[known])
        if 2 <= len(names) <= MOST_WORDS:
            found += [_Group(column, f"{column}: {name}", known & (said == name), known) for name in names]
    return [group for group in found if group.inside.any() and (group.known & ~group.inside).any()]


def _row(each: Cameras, group: _Group) -> tuple[str, ...]:
    errors = each.judged.errors(each.judged.thresholds[EQUAL])
    rest = group.known & ~group.inside
    (own, own_drawn), (others, others_drawn) = (_rate(each, errors, mask) for mask in (group.inside, rest))
    domains = {row.domain for row, inside in zip(each.judged.rows, group.inside, strict=True) if inside}
    counts = str(int(group.inside.sum())), str(len(domains))
    against, far, apart = f"{100 * (own - others):+.2f}", "–", own_drawn - others_drawn
    if each.draws.rounds:
        found = difference(own - others, apart[~np.isnan(apart)])
        ends = found.interval
        against += f" ({100 * ends.low:+.1f} to {100 * ends.high:+.1f})"
        far = "yes" if abs(found.value) > FAR and not ends.low <= 0 <= ends.high else "no"
    names = each.judged.protocol, each.judged.model, group.name
    return (*names, *counts, shown(Figure(own, None, each.draws.interval(own_drawn))), against, far)


def _rate(each: Cameras, errors: np.ndarray, mask: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the share of errors (S, N) in a mask (N,), and of each draw, (R,).

    A live presentation weighs as one over those of its camera, so a camera counts by the share of it that is inside.
    """
    error, live, wrong, inside = errors.mean(0), each.judged.live, [], []
    for place, times in zip(each.draws.places, each.draws.times, strict=True):
        whole = np.stack([np.ones(len(place)), *times]) / max(live[place].sum(), 1)  # all, then each draw
        wrong.append(whole @ (error * mask)[place])
        inside.append(whole @ mask[place].astype(float))
    value = float(sum(part[0] for part in wrong) / sum(part[0] for part in inside))
    total = each.draws.mean(np.array(inside)[:, 1:])
    return value, each.draws.mean(np.array(wrong)[:, 1:]) / np.where(total > 0, total, np.nan)
