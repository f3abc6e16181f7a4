"""Named operating points of a detector: its facts -> thresholds, and what to expect of them on a camera never seen.

Which cameras set them, and by what rule, is in docs/detector.md. Reading is strict: a threshold opens the door.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from despoof.errors import ArtefactError, ConfigError

NAMES = ("strict", "balanced", "lenient")  # from the fewest attacks that pass to the fewest people refused
DEFAULT = "balanced"


@dataclass(frozen=True)
class OperatingPoint:
    """Liveness below `attack_below` is an attack, from `live_from` live.

    `expected` holds `cameras`, how many these rates are means over, each judged by members that never saw it; `bpcer`,
    `uncertain_live` and, in `apcer`, one for each species: dicts of value, low and high, shares of 0..1.
    """

    name: str
    attack_below: float
    live_from: float
    expected: dict[str, Any] = field(default_factory=dict)

    @property
    def thresholds(self) -> tuple[float, float]:
        """Return (attack below, live from)."""
        return self.attack_below, self.live_from


def thresholds_of(facts: dict[str, Any]) -> tuple[float, float]:
    """Return (attack below, live from) of a detector's facts, the two limits between which nothing is decided."""
    found = facts.get("thresholds", {})
    if not {"attack_below", "live_from"} <= set(found):
        raise ArtefactError(
            f"detector has thresholds {sorted(found)}; expected attack_below and live_from. Set them on source "
            "validation and write them with save_detector(path, detector, facts=...)."
        )
    return float(found["attack_below"]), float(found["live_from"])


def points_of(facts: dict[str, Any]) -> dict[str, OperatingPoint]:
    """Return the points by name of a detector's facts. Without any its thresholds are the only one, `DEFAULT`.

    Points that cannot be, or a default that differs from the thresholds, are an ArtefactError.
    """
    own, told = thresholds_of(facts), facts.get("points")
    if told is None:
        return {DEFAULT: OperatingPoint(DEFAULT, *own)}
    if unknown := set(told) - set(NAMES):
        raise ArtefactError(
            f"detector has points {sorted(unknown)}; expected some of {', '.join(NAMES)}. Train it again."
        )
    found = {name: _read(name, told[name]) for name in NAMES if name in told}
    if DEFAULT not in found or found[DEFAULT].thresholds != own:
        raise ArtefactError(
            f"detector has thresholds {own} and points {found}; expected the same of {DEFAULT}. Train it again."
        )
    return found


def point_of(facts: dict[str, Any], name: str | None = None) -> OperatingPoint:
    """Return the point of that name, `DEFAULT` for None; one that the detector has not is a ConfigError."""
    found = points_of(facts)
    if (name or DEFAULT) not in found:
        raise ConfigError(
            f"point {name!r}; these weights have {', '.join(found)}. Name one of these, or set thresholds for your own "
            "camera with: despoof calibrate"
        )
    return found[name or DEFAULT]


def expected_rows(points: dict[str, OperatingPoint]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a table of the points, rates in percent with their intervals over cameras."""
    told = {kind for each in points.values() for kind in each.expected.get("apcer", {})}
    species = sorted(told, key=lambda kind: (kind == "mean", kind))
    head = ["point", "attack below", "live from", "BPCER", "live UNCERTAIN", *(f"APCER {kind}" for kind in species)]
    rows = []
    for each in points.values():
        apcer = each.expected.get("apcer", {})
        rates = [each.expected.get("bpcer"), each.expected.get("uncertain_live"), *map(apcer.get, species)]
        rows.append([each.name, f"{each.attack_below:.3f}", f"{each.live_from:.3f}", *map(_percent, rates)])
    return head, rows


def _read(name: str, told: Any) -> OperatingPoint:
    try:
        point = OperatingPoint(name, float(told["attack_below"]), float(told["live_from"]), dict(told["expected"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"detector's point {name} is {told!r} ({error!r}); expected attack_below, live_from and expected. Train "
            "it again."
        ) from None
    low, high = point.thresholds
    if not (math.isfinite(high) and 0 <= low <= high <= 1 and high > 0):
        raise ArtefactError(
            f"detector's point {name} has attack_below {low} and live_from {high}; expected 0 <= attack_below <= "
            "live_from <= 1 and live_from above 0. Train it again."
        )
    return point


def _percent(rate: dict[str, float] | None) -> str:
    """Return a rate as text; a dash for none, as where no camera shows such."""
    if not rate or not math.isfinite(rate["value"]):
        return "–"
    return f"{100 * rate['value']:.1f} ({100 * rate['low']:.1f}–{100 * rate['high']:.1f})"
