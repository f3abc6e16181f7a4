"""A threshold profile: the operating point of one camera, bound to the weights that it was measured with.

A profile is one JSON file. Reading is strict, since a threshold is what opens the door: whatever is unknown, missing,
no number, out of range, out of order or measured with other weights is an ArtefactError and never a default.
"""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from despoof.errors import ArtefactError, ConfigError
from despoof.runs.config import config_hash, from_dict, to_dict
from despoof.runs.folder import write_json

FORMAT = "despoof-profile/1"
MAX_BYTES = 2**20


@dataclass(frozen=True)
class Rate:
    """An error rate: `errors` of `presented`, with the exact 95 % interval `low`..`high`.

    `trials` is what the interval counts as independent: subjects where they are known, else presentations.
    """

    errors: int
    presented: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.errors / self.presented

    def fault(self) -> str | None:
        """Return what is wrong with this rate; None for a possible one."""
        if not 0 <= self.errors <= self.presented or not 1 <= self.trials <= self.presented:
            return f"{self.errors} errors of {self.presented} in {self.trials} trials"
        ordered = 0 <= self.low <= self.high <= 1
        return None if ordered else f"an interval {self.low}..{self.high}"


@dataclass(frozen=True)
class Profile:
    """Thresholds and what they rest on. Liveness below `attack_below` is an attack, from `live_from` live."""

    name: str
    attack_below: float
    live_from: float
    weights: dict  # part -> hash of its weights file
    preprocessing: dict  # see `despoof.pipeline.preprocessing`
    wanted_bpcer: float
    bpcer: Rate  # of the presentations that it was made from
    unanswered: int = 0  # live presentations that could not be judged; in no rate
    photos: int = 0  # answered live presentations that were photos
    clips: int = 0  # and that were clips
    clip_rule: dict = field(default_factory=dict)  # how clips were read; empty without clips
    apcer: dict = field(default_factory=dict)  # attack type -> the fields of `Rate`, where attacks were given
    package: str = ""  # version of despoof

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise ConfigError(f"profile {self.name!r} has {fault}. Make it again with: despoof calibrate")

    @property
    def thresholds(self) -> tuple[float, float]:
        """Return (attack below, live from)."""
        return self.attack_below, self.live_from

    @property
    def label(self) -> str:
        """Name and hash of the content; stands beside every decision that follows this profile."""
        return f"{self.name}@{config_hash(self)}"

    def must_fit(self, weights: dict[str, str], preprocessing: dict[str, Any]) -> None:
        """Raise ArtefactError unless these are the weights and the preprocessing that the profile was measured with."""
        for part in sorted(set(self.weights) | set(weights)):
            if self.weights.get(part) != weights.get(part):
                raise ArtefactError(
                    f"profile {self.name!r} was measured with {part} {self.weights.get(part)}, now in use: "
                    f"{weights.get(part)}. Calibrate again with these weights, or load those."
                )
        here = json.loads(json.dumps(preprocessing))
        for key in sorted(set(self.preprocessing) | set(here)):
            if self.preprocessing.get(key) != here.get(key):
                raise ArtefactError(
                    f"profile {self.name!r} was measured with {key} {self.preprocessing.get(key)!r}, now in use: "
                    f"{here.get(key)!r}. Calibrate again with this preprocessing, or load with that."
                )

    def _fault(self) -> str | None:
        shares = {"attack_below": self.attack_below, "live_from": self.live_from, "wanted_bpcer": self.wanted_bpcer}
        for name, value in shares.items():
            if not (math.isfinite(value) and 0 <= value <= 1):
                return f"{name} {value}; expected 0..1"
        if self.attack_below > self.live_from:
            return f"attack_below {self.attack_below} above live_from {self.live_from}"
        if self.live_from <= 0:
            return "live_from 0, which would call every face live"
        if not self.name.isprintable() or not 0 < len(self.name) <= 80:
            return "no printable name of at most 80 characters"
        if not self.weights or not all(isinstance(value, str) and value for value in self.weights.values()):
            return f"weights {self.weights}; expected a hash of each file"
        if min(self.unanswered, self.photos, self.clips) < 0 or self.photos + self.clips != self.bpcer.presented:
            return f"{self.photos} photos and {self.clips} clips; expected {self.bpcer.presented} in all"
        rates = {"bpcer": self.bpcer} | {f"apcer of {name}": _rate(value) for name, value in self.apcer.items()}
        return next((f"{name}: {fault}" for name, rate in rates.items() if (fault := rate.fault())), None)


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
        required = {f.name for f in dataclasses.fields(Profile) if _is_required(f)}
        if missing := sorted(required - set(values)):
            raise ValueError(f"it lacks {missing[0]!r}")
        return from_dict(Profile, values, "profile")
    except FileNotFoundError:
        raise ArtefactError(
            f"profile {path} does not exist. Make it with: despoof calibrate FOLDER -o {path}"
        ) from None
    except (OSError, ValueError, TypeError, RecursionError) as error:  # ConfigError is a ValueError
        raise ArtefactError(
            f"profile {path} is not usable ({error}); expected a file that `despoof calibrate` wrote. Make it again."
        ) from None


def _is_required(given: dataclasses.Field) -> bool:
    return given.default is dataclasses.MISSING and given.default_factory is dataclasses.MISSING


def _rate(values: Any) -> Rate:
    if not isinstance(values, dict):
        raise ConfigError(f"an error rate is {values!r}; expected its counts. Make the profile again.")
    return from_dict(Rate, values, "apcer")


def _no_number(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict:
    """Refuse a key that stands twice: readers would differ on which of the two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found
