"""A threshold profile: the operating point of one camera, perhaps a correction, bound to the weights it was made with.

A profile is one JSON file. Reading is strict, since a threshold is what opens the door: whatever is unknown, missing,
no number, out of range, out of order or measured with other weights is an ArtefactError and never a default.
"""

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from despoof.errors import ArtefactError, ConfigError
from despoof.runs.config import config_hash, from_dict, to_dict
from despoof.runs.folder import write_json

FORMAT = "despoof-profile/2"
MAX_BYTES = 2**20
LIMIT = 16.0  # logits are clipped to it before a correction; beyond, liveness in float32 says no more
BOUND = 1e6  # of any number in a correction
MOST_ALIKE = 1.0  # upwards, of all logits alike: so far the mean APCER of cameras left out fell, further it may not


@dataclass(frozen=True)
class Rate:
    """An error rate: `errors` of `presented`, with the exact 95 % interval `low`..`high`."""

    errors: int
    presented: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.errors / self.presented

    def fault(self) -> str | None:
        """Return what is wrong with this rate; None for a possible one."""
        if not 0 <= self.errors <= self.presented or not self.presented:
            return f"{self.errors} errors of {self.presented}"
        ordered = 0 <= self.low <= self.high <= 1
        return None if ordered else f"an interval {self.low}..{self.high}"


@dataclass(frozen=True)
class Point:
    """Thresholds for photos, or for clips. Liveness below `attack_below` is an attack, from `live_from` live."""

    attack_below: float
    live_from: float
    bpcer: Rate | None = None  # of the live presentations that set it; None: too few, it is the stricter of others
    unanswered: int = 0  # live presentations that could not be judged; in no rate
    apcer: dict[str, Rate] = field(default_factory=dict)  # of each attack type that was given

    @property
    def thresholds(self) -> tuple[float, float]:
        """Return (attack below, live from)."""
        return self.attack_below, self.live_from

    def fault(self) -> str | None:
        """Return what is wrong with this point; None for a possible one."""
        for name, value in (("attack_below", self.attack_below), ("live_from", self.live_from)):
            if not (math.isfinite(value) and 0 <= value <= 1):
                return f"{name} {value}; expected 0..1"
        if self.attack_below > self.live_from:
            return f"attack_below {self.attack_below} above live_from {self.live_from}"
        if self.live_from <= 0:
            return "live_from 0, which would call every face live"
        if self.unanswered < 0:
            return f"{self.unanswered} unanswered"
        rates = ({"bpcer": self.bpcer} if self.bpcer else {}) | {f"apcer of {k}": v for k, v in self.apcer.items()}
        return next((f"{name}: {fault}" for name, rate in rates.items() if (fault := rate.fault())), None)


@dataclass(frozen=True)
class Correction:
    """A shift of the calibrated logit: `constant` + sum_i `weights`_i exp(-|x - `points`_i|^2 / `width`)."""

    points: tuple[tuple[float, ...], ...]  # (n, E), embeddings of the faces shown; none where all are shifted alike
    weights: tuple[float, ...]  # (n,)
    constant: float
    width: float

    def fault(self) -> str | None:
        """Return what is wrong with this correction; None for a possible one."""
        sizes = {len(point) for point in self.points}
        if len(sizes) > 1 or 0 in sizes or len(self.weights) != len(self.points):
            return f"{len(self.points)} points of {sorted(sizes)} numbers and {len(self.weights)} weights"
        numbers = (self.constant, self.width, *self.weights, *(number for point in self.points for number in point))
        if wrong := [each for each in numbers if not (math.isfinite(each) and abs(each) <= BOUND)]:
            return f"the number {wrong[0]}; expected finite ones of at most {BOUND:g}"
        if not self.points and self.constant > MOST_ALIKE:
            return f"a shift of all logits alike by {self.constant}; expected at most {MOST_ALIKE:g}"
        return None if self.width > 0 else f"width {self.width}; expected above 0"

    def corrected(self, liveness: np.ndarray, embedding: np.ndarray | None) -> np.ndarray:
        """Return liveness (N,) of faces with embeddings (N, E), corrected; what is NaN in either stays NaN.

        Embeddings that are missing or of another width are an ArtefactError, unless there are no points.
        """
        if not self.points:
            return _liveness(logit_of(liveness) + self.constant)
        points, weights = self._arrays
        if embedding is None or embedding.shape[1:] != points.shape[1:]:
            found = "none" if embedding is None else f"of {embedding.shape[1:]} numbers"
            raise ArtefactError(
                f"a correction by embeddings of {points.shape[1]} numbers, and the engine gives {found}. Export the "
                "weights again (despoof export), or adapt again with them."
            )
        near = np.exp(-squares(embedding, points) / self.width)
        return _liveness(logit_of(liveness) + self.constant + near @ weights)

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.points), np.array(self.weights)


@dataclass(frozen=True)
class Profile:
    """A point for photos and one for clips, and what they hold for: these weights, this way to a face, this precision.

    Runtimes of one precision agree within the tolerance of export's parity, so `engine` is told and does not bind.
    """

    name: str
    photos: Point
    clips: Point
    weights: dict  # part -> hash of its weights file
    preprocessing: dict  # see `despoof.pipeline.Guard.preprocessing`
    clip_rule: dict  # see `despoof.clip.rule.ClipRule.deciding`
    wanted_bpcer: float | None  # None: thresholds are the weights' own
    precision: str = "float32"
    engine: str = "torch"
    package: str = ""  # version of despoof
    correction: Correction | None = None  # of liveness, before thresholds are asked; `despoof adapt` makes one

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise ConfigError(f"profile {self.name!r} has {fault}. Make it again with: despoof calibrate")

    @cached_property
    def label(self) -> str:
        """Name and hash of the content; stands beside every decision that follows this profile."""
        return f"{self.name}@{config_hash(self)}"

    def must_fit(self, **here: Any) -> None:
        """Raise ArtefactError unless the profile was measured with these values of its own fields."""
        held, used = {name: getattr(self, name) for name in here}, json.loads(json.dumps(here))
        for key, one, other in _differences(held, used):
            raise ArtefactError(
                f"profile {self.name!r} was measured with {key} {one!r}, now in use: {other!r}. Calibrate again "
                "with this, or load with that."
            )

    def _fault(self) -> str | None:
        if self.wanted_bpcer is not None and not (math.isfinite(self.wanted_bpcer) and 0 <= self.wanted_bpcer <= 1):
            return f"wanted_bpcer {self.wanted_bpcer}; expected 0..1"
        if not self.name.isprintable() or not 0 < len(self.name) <= 80:
            return "no printable name of at most 80 characters"
        if not self.weights or not all(isinstance(value, str) and value for value in self.weights.values()):
            return f"weights {self.weights}; expected a hash of each file"
        if self.photos.bpcer is None and self.clips.bpcer is None:
            return "no live presentation"
        if self.correction is not None and (fault := self.correction.fault()):
            return f"correction: {fault}"
        points = {"photos": self.photos, "clips": self.clips}
        return next((f"{name}: {fault}" for name, point in points.items() if (fault := point.fault())), None)


def _differences(measured: Any, used: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """Return (place, one, other) of each leaf in which two nested dicts differ."""
    if not (isinstance(measured, dict) and isinstance(used, dict)):
        return [] if measured == used else [(where, measured, used)]
    keys = sorted({*measured, *used})
    pairs = ((f"{where}.{key}".strip("."), measured.get(key), used.get(key)) for key in keys)
    return [each for key, one, other in pairs for each in _differences(one, other, key)]


def write_profile(path: str | Path, profile: Profile) -> None:
    """Write a profile atomically."""
    write_json(path, {"format": FORMAT} | to_dict(profile))


def read_profile(path: str | Path) -> Profile:
    """Read what `write_profile` wrote; anything else is an ArtefactError."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number, object_pairs_hook=_once)
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        return from_dict(Profile, values, "profile")
    except FileNotFoundError:
        raise ArtefactError(
            f"profile {path} does not exist. Make it with: despoof calibrate FOLDER -o {path}"
        ) from None
    except (OSError, ValueError, TypeError, RecursionError) as error:  # ConfigError is a ValueError
        raise ArtefactError(
            f"profile {path} is not usable ({error}); expected a file that `despoof calibrate` wrote. Make it again."
        ) from None


def _no_number(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict:
    """Refuse a key that stands twice: readers would differ on which of the two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def squares(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return squared distances (N, M) of points (N, E) and (M, E), in double precision."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    found = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return found.clip(min=0)


def logit_of(liveness: np.ndarray) -> np.ndarray:
    """Return the logit of liveness in 0..1, within +-`LIMIT`; NaN stays NaN."""
    least = 1 / (1 + math.exp(LIMIT))
    bounded = np.clip(np.asarray(liveness, np.float64), least, 1 - least)
    return np.log(bounded) - np.log1p(-bounded)


def _liveness(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logit, -700, 700)))
