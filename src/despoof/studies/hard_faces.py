"""False alarms on hard real faces: how large the cue is, and how live the detector finds them, group by group.

Groups are the tenth of the faces that is extreme in something measured on the picture; nothing is known of glasses,
beards or age.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from despoof.cue import cue
from despoof.evaluation.baselines import darkness, saturation, sharpness
from despoof.faces.align import as_image, scaled
from despoof.faces.quality import pose
from despoof.faces.store import Store, StoredSample
from despoof.pipeline import Guard
from despoof.studies.readings import Encode, identities, pairs, residuals
from despoof.studies.tables import Estimate, Share
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
    """Residual (of a range of 2) and identity cosine of the faces of one group, and how many are not LIVE."""

    group: str
    residual: Estimate
    identity_cosine: Estimate
    not_live: Share


def audit(guard: Guard, store: Store, rows: list[StoredSample], encode: Encode) -> list[Group]:
    """Return the groups of `hard_faces` by the counterparts and decisions of a guard; `encode` judges identity."""
    config = guard.engine.config
    faces, images, live = store.faces(rows, config.face_size), [], []
    around = store.surroundings(rows) if config.uses_surroundings else None
    for face, made in pairs(faces, config.face_size, guard.engine.generator.counterpart, "hard faces"):
        given = cue(face, made, config.cue_form) if config.uses_cue else None
        views = None if around is None else scaled(torch.from_numpy(around[len(live) : len(live) + len(face)]))
        liveness = guard.engine.detector.liveness(face, given, views)
        live += [decide(each, guard.thresholds) is Decision.LIVE for each in liveness.tolist()]
        images += [as_image(one) for one in made]
    drawn = np.stack(images)
    cosine = (identities(encode, faces) * identities(encode, drawn)).sum(1)
    return hard_faces(rows, faces, residuals(faces, drawn), cosine, np.array(live))


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
    return [
        Group(name, *map(Estimate.of_mean, (residual[own], cosine[own])), Share(int((~live[own]).sum()), len(own)))
        for name, own in picks.items()
    ]
