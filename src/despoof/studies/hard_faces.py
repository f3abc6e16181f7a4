"""False alarms on hard real faces: how large the cue is, and how live the detector finds them, group by group.

Groups are the tenth of the faces that is extreme in something measured on the picture; nothing is known of glasses,
beards or age.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from despoof.cue import cue
from despoof.evaluation.baselines import darkness, saturation, sharpness
from despoof.evaluation.tables import markdown
from despoof.faces.align import as_image
from despoof.faces.quality import pose
from despoof.faces.store import Store, StoredSample
from despoof.metrics import Interval, proportion_interval
from despoof.pipeline import Guard
from despoof.studies.readings import Encode, half_width, identities, pairs, residuals
from despoof.verdict import Decision, decide

SHARE = 0.1
MEASURES: dict[str, Callable[[StoredSample, np.ndarray], float]] = {
    "dark": lambda row, face: darkness(face),
    "bright": lambda row, face: -darkness(face),
    "blurred": lambda row, face: -sharpness(face),
    "sharp": lambda row, face: sharpness(face),
    "pale": lambda row, face: -saturation(face),
    "colourful": lambda row, face: saturation(face),
    "turned": lambda row, face: abs(pose(np.array(row.landmarks))[0]),
    "looking up or down": lambda row, face: abs(pose(np.array(row.landmarks))[1]),
}


@dataclass(frozen=True)
class Group:
    """One group: `n` faces; means of residual (of a range of 2) and identity cosine with the half width of their
    95 % interval; `refused` of n are not LIVE, with its exact interval."""

    name: str
    n: int
    residual: tuple[float, float]
    cosine: tuple[float, float]
    refused: int
    interval: Interval


def audit(guard: Guard, store: Store, rows: list[StoredSample], encode: Encode) -> list[Group]:
    """Return the groups of `hard_faces` by the counterparts and decisions of a guard; `encode` judges identity."""
    size, form = guard.detector.config.face_size, guard.detector.config.cue_form
    faces, images, live = store.faces(rows, size), [], []
    for face, made in pairs(faces, size, guard.generator.counterpart, "hard faces"):
        liveness = guard.detector.liveness(face, cue(face, made, form))
        live += [decide(each, guard.thresholds) is Decision.LIVE for each in liveness.tolist()]
        images += [as_image(one) for one in made]
    made = np.stack(images)
    cosine = (identities(encode, faces) * identities(encode, made)).sum(1)
    return hard_faces(rows, faces, residuals(faces, made), cosine, np.array(live))


def hard_faces(
    rows: list[StoredSample], faces: np.ndarray, residual: np.ndarray, cosine: np.ndarray, live: np.ndarray
) -> list[Group]:
    """Return all faces as one group, then each extreme tenth: faces (N, S, S, 3) uint8; residual, cosine (N,);
    `live` (N,) bool, judged LIVE."""
    count = max(1, round(SHARE * len(rows)))
    picks = {"all": np.arange(len(rows))}
    for name, measure in MEASURES.items():
        values = np.array([measure(row, face) for row, face in zip(rows, faces, strict=True)])
        picks[name] = np.argsort(-values, kind="stable")[:count]
    return [_group(name, residual[own], cosine[own], live[own]) for name, own in picks.items()]


def table(groups: Sequence[Group]) -> str:
    """Return the groups as a Markdown table."""
    rows = []
    for group in groups:
        (size, half), (cosine, beside) = group.residual, group.cosine
        low, high = 100 * group.interval.low, 100 * group.interval.high
        means = (f"{size:.4f} ± {half:.4f}", f"{cosine:.3f} ± {beside:.3f}")
        share = f"{100 * group.refused / group.n:.1f} % ({low:.1f}–{high:.1f})"
        rows.append((group.name, group.n, *means, group.refused, share))
    return markdown(("group", "n", "residual", "identity cosine", "not LIVE", "of n (95 %)"), rows)


def _group(name: str, residual: np.ndarray, cosine: np.ndarray, live: np.ndarray) -> Group:
    refused = int((~live).sum())
    means = ((float(values.mean()), half_width(values)) for values in (residual, cosine))
    return Group(name, len(live), *means, refused, proportion_interval(refused, len(live)))
