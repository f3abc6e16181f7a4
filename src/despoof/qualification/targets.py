"""Targets that a camera is held against, as data, and how many presentations show that one is met.

Bounds are the ends of the exact two-sided 95 % interval (Clopper-Pearson) of `metrics.proportion_interval`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from despoof.errors import ConfigError
from despoof.metrics import proportion_interval


@dataclass(frozen=True)
class Target:
    """Limits in 0..1 that APCER of each species, and BPCER, must stay below; None where it sets none."""

    name: str
    apcer: float | None
    bpcer: float | None
    source: str

    def __post_init__(self) -> None:
        for kind, limit in (("APCER", self.apcer), ("BPCER", self.bpcer)):
            if limit is not None and not 0 < limit < 1:
                raise ConfigError(f"{kind} limit {limit} of {self.name}; expected a share of 0..1. Write 7 % as 0.07.")
        if self.apcer is self.bpcer is None:
            raise ConfigError(f"target {self.name} has no limit; expected one of APCER, of BPCER or both. Give one.")

    def limit(self, rate: str) -> float | None:
        """Return the limit of APCER or of BPCER; None for other rates."""
        return {"APCER": self.apcer, "BPCER": self.bpcer}.get(rate)


_FIDO = (
    "FIDO Biometric Requirements: IAPAR below 15 % for each species, FRR at most {} %. Both are of a whole system, "
    "FRR of transactions with several tries. These limits were not compared with the text, whose latest version found "
    "is 4.0 of 22 May 2024, and they differ between versions and levels: look yours up"
)
NAMED = {
    each.name: each
    for each in (
        Target(
            "nist-800-63", 0.07, None,
            "NIST SP 800-63A-4 (July 2025), 3.11: IAPAR below 0.07 where faces are collected remotely, in tests by "
            "ISO/IEC 30107-3:2023; the draft of August 2024 asked for 0.15. It sets no limit on BPCER",
        ),
        Target("fido", 0.15, 0.03, _FIDO.format(3)),
        Target("fido-frr-5", 0.15, 0.05, _FIDO.format(5)),
    )
}  # fmt: skip


DEFAULT = ("nist-800-63", "fido")


def chosen(
    names: Sequence[str] | None = None, *, apcer: float | None = None, bpcer: float | None = None
) -> list[Target]:
    """Return the named targets, and one called `own` of limits that are given; `DEFAULT` for nothing given."""
    if unknown := sorted(set(names or ()) - set(NAMED)):
        raise ConfigError(f"target {unknown[0]!r}; expected of {', '.join(NAMED)}, or limits of your own.")
    given = apcer is not None or bpcer is not None
    own = [Target("own", apcer, bpcer, "limits given by whoever asked")] if given else []
    return [NAMED[name] for name in dict.fromkeys(names or (() if own else DEFAULT))] + own


def more_needed(errors: int, presented: int, limit: float) -> int:
    """Return how many more presentations, all without an error, bring the upper bound below a limit; 0: it is there."""

    def shown(more: int) -> bool:
        total = presented + more
        return total > 0 and proportion_interval(errors, total).high < limit

    if shown(0):
        return 0
    high = 1
    while not shown(high):
        high *= 2
    low = high // 2  # not enough, or 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high
