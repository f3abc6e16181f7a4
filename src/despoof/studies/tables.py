"""Results of a study -> a Markdown table; means and shares carry their 95 % interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from despoof.evaluation.tables import markdown
from despoof.metrics import proportion_interval


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of_mean(cls, values: np.ndarray) -> "Estimate":
        """Return the mean of values (N,) with its normal interval; NaN of nothing, the interval of one value too."""
        mean = float(values.mean()) if len(values) else np.nan
        half = float(1.96 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
        return cls(mean, mean - half, mean + half)

    def tenths(self, sign: str = "") -> str:
        """Return the figure with its interval to one decimal; "+" shows signs."""
        return f"{self.value:{sign}.1f} ({self.low:{sign}.1f} to {self.high:{sign}.1f})"

    def __str__(self) -> str:
        return "–" if np.isnan(self.value) else f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Share:
    """A count of n, shown with its exact 95 % interval in percent."""

    count: int
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "0 of 0"
        interval = proportion_interval(self.count, self.n)
        return f"{self.count} of {self.n} ({100 * interval.low:.1f}–{100 * interval.high:.1f} %)"


def table(results: Sequence[Any]) -> str:
    """Return dataclasses of one kind as a Markdown table: a column for each field, and for each key of a dict."""
    rows = [dict(_cells(result)) for result in results]
    return markdown(list(rows[0]), [list(row.values()) for row in rows])


def _cells(result: Any) -> Iterator[tuple[str, str]]:
    for field in fields(result):
        value, name = getattr(result, field.name), field.name.replace("_", " ")
        for key, each in value.items() if isinstance(value, dict) else [("", value)]:
            yield f"{name} {key}".strip(), f"{each:.3f}" if isinstance(each, float) else str(each)
