"""What comes out of a check: `Decision`, `Verdict`, and the picture of what was judged. Read without torch."""

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from despoof.errors import InputError
from despoof.explanation import DEPARTURE, caption, heat, sheet
from despoof.faces.quality import Reason, appearance
from despoof.runs.folder import atomic_path

LITTLE_ROOM = 1.5  # face widths; where less is seen, hands, edges and bezels around a face are not


class Decision(StrEnum):
    """What follows from a liveness. Only `LIVE` may ever open a door."""

    LIVE = "LIVE"
    ATTACK = "ATTACK"
    UNCERTAIN = "UNCERTAIN"  # between the two thresholds: ask for another picture or another check
    NO_DECISION = "NO_DECISION"  # not judged at all: see the reasons


def decide(liveness: float, thresholds: tuple[float, float]) -> Decision:
    """Return what follows from a liveness at (attack below, live from); what is no number in 0..1 is NO_DECISION."""
    low, high = thresholds
    if not 0 <= liveness <= 1:  # NaN included: weights that broke on the way must not open a door
        return Decision.NO_DECISION
    return Decision.LIVE if liveness >= high else Decision.UNCERTAIN if liveness >= low else Decision.ATTACK


class Outcome:
    """What verdicts share: a decision, and no truth value, since an attack would be as true as a live face."""

    decision: Decision

    @property
    def is_live(self) -> bool:
        """True only for the decision LIVE."""
        return self.decision is Decision.LIVE

    def __bool__(self) -> bool:
        raise TypeError(f"a {type(self).__name__} is neither true nor false. Ask for .is_live or compare .decision.")


@dataclass(frozen=True)
class Verdict(Outcome):
    """The outcome for one image.

    `liveness` is in 0..1, higher is more live; None where there is no decision. `thresholds` are the liveness
    below which a face is an attack, and from which it is live. `face`, `counterpart` (in [-1, 1]) and `cue` are
    (3, S, S) float32, `map` is (S, S) in 0..1, where the face departs from its counterpart; each may be None.
    `surroundings`, near and far, are (2, R, R, 3) uint8 where the detector looks at them. `embedding` (E,) float32 is
    the detector's, of which a correction is made (`despoof.adaptation`); like pixels it tells of a person.
    `milliseconds` holds the time of each stage. Pictures and times take no part in ``==``.
    """

    decision: Decision
    liveness: float | None = None
    reasons: tuple[Reason, ...] = ()
    thresholds: tuple[float, float] | None = None
    face: np.ndarray | None = field(default=None, repr=False, compare=False)
    counterpart: np.ndarray | None = field(default=None, repr=False, compare=False)
    cue: np.ndarray | None = field(default=None, repr=False, compare=False)
    milliseconds: dict[str, float] = field(default_factory=dict, repr=False, compare=False)
    weights: dict[str, str] = field(default_factory=dict, repr=False, hash=False)
    engine: str = "onnx"  # what computes the liveness
    profile: str | None = None  # the threshold profile that decided; None: an operating point of the weights
    point: str | None = None  # the name of that point; None with a profile
    faces: int = 0  # how many were seen
    box: tuple[float, float, float, float] | None = None  # left, top, width, height of the judged one, as it was read
    surroundings: np.ndarray | None = field(default=None, repr=False, compare=False)
    room: float | None = None  # face widths around it, at most 2.7: what is seen of the surroundings
    map: np.ndarray | None = field(default=None, repr=False, compare=False)
    embedding: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def quality(self) -> dict[str, float]:
        """Size (width of its box, px), room (face widths), and sharpness, luma and clipped, see
        `despoof.faces.quality.appearance`, of the judged face at the size that is judged; {} where there is none.
        """
        from despoof.faces.align import as_image

        if self.face is None or self.box is None or self.room is None:
            return {}
        values = {"size": self.box[2], "room": self.room} | appearance(as_image(self.face))
        return {name: round(value, 4) for name, value in values.items()}

    def as_row(self) -> dict:
        """Return what a log or a service may keep: no pixels, no embedding."""
        return {
            "decision": self.decision.value,
            "liveness": None if self.liveness is None else round(self.liveness, 4),
            "reasons": [dataclasses.asdict(reason) for reason in self.reasons],
            "thresholds": self.thresholds,
            "milliseconds": {name: round(value, 1) for name, value in self.milliseconds.items()},
            "weights": self.weights,
            "engine": self.engine,
            "profile": self.profile,
            "point": self.point,
            "faces": self.faces,
            "box": None if self.box is None else [round(value, 1) for value in self.box],
            "room": None if self.room is None else round(self.room, 2),
        }

    def save_explanation(self, path: str | Path, attention: np.ndarray | None = None) -> Path:
        """Write *face | counterpart | departure* and one sentence as a PNG; a verdict without a face is an InputError.

        The panels are what the generator makes of the face and where the face departs from it, or the cue where no map
        was made, and what is around it where the detector looks there. They do not say why the decision fell: see
        docs/explanations.md. The last panel shows `attention` (h, w), see `Guard.attention`: bright is looked at,
        whatever follows from it.
        """
        drawn = sheet(caption(self.decision.value, self.liveness, self.map), self._panels(attention))
        with atomic_path(path) as temporary:
            drawn.save(temporary, "PNG")
        return Path(path)

    def _panels(self, attention: np.ndarray | None) -> dict[str, np.ndarray]:
        from despoof.cue import cue_picture
        from despoof.faces.align import as_image

        if self.face is None:
            raise InputError(f"no picture to show: {'; '.join(reason.sentence for reason in self.reasons)}")
        panels = {"face": as_image(self.face)}
        if self.counterpart is not None:
            panels["counterpart"] = as_image(self.counterpart)
        if self.map is not None:
            panels[DEPARTURE] = heat(self.map)
        elif self.cue is not None:
            panels["cue"] = cue_picture(self.cue)
        if self.surroundings is not None:
            panels |= dict(zip(("near", "far"), self.surroundings, strict=True))
        if attention is not None:
            share = (attention / attention.max())[..., None]
            panels["attention"] = (share * (255, 220, 150)).astype(np.uint8)
        return panels
