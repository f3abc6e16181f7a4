"""Published figures of face liveness as data.

The data lie in ``published.toml``. Percent throughout. A mean is always computed from its cells; where its
source states another, both are shown. What was not found is None and is never guessed.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from despoof.errors import ArtefactError, InputError
from despoof.runs.config import from_dict, to_dict

FORMAT = "despoof-published/1"
REGISTRY = Path(__file__).parent / "published.toml"
UNKNOWN = "not found"
ROUNDING = 0.51  # of the last decimal printed: half a unit either way, and floating point


@dataclass(frozen=True)
class Metric:
    """What a column is called and which way is better."""

    title: str
    higher_is_better: bool = False


METRICS = {
    "hter": Metric("HTER"),
    "auc": Metric("AUC", higher_is_better=True),
    "tpr_at_fpr1": Metric("TPR @ FPR 1 % (live positive)", higher_is_better=True),
    "eer": Metric("EER"),
    "ece": Metric("ECE"),
    "apcer": Metric("APCER"),
    "bpcer": Metric("BPCER"),
    "acer": Metric("ACER"),
    "bpcer100": Metric("BPCER @ APCER 1 %"),
    "tdr_at_fdr1": Metric("TDR @ FDR 1 %", higher_is_better=True),
    "attack_tpr_at_fpr10": Metric("TPR @ FPR 10 % (attack positive)", higher_is_better=True),
    "attack_tpr_at_fpr1": Metric("TPR @ FPR 1 % (attack positive)", higher_is_better=True),
    "attack_tpr_at_fpr01": Metric("TPR @ FPR 0.1 % (attack positive)", higher_is_better=True),
}


@dataclass(frozen=True)
class PublishedFigure:
    """One figure in percent, with the standard deviation if one was printed, and the decimals printed."""

    value: float
    sd: float | None = None
    decimals: int = 2

    def __str__(self) -> str:
        return f"{self.value:.{self.decimals}f}" + ("" if self.sd is None else f" ± {self.sd:.{self.decimals}f}")


@dataclass(frozen=True)
class Convention:
    """What must be equal before two rows may be ranked. `training` is sorted; ``not found`` equals nothing."""

    training: tuple[str, ...]
    threshold: str
    selection: str
    unit: str

    @property
    def unknown(self) -> list[str]:
        """Return the names of what was not found."""
        return [name for name in CONVENTION if UNKNOWN in getattr(self, name)]

    @property
    def texts(self) -> tuple[str, ...]:
        """Return training, threshold, selection and unit as they are shown."""
        return " + ".join(self.training), self.threshold, self.selection, self.unit

    def __str__(self) -> str:
        names = ("training", "threshold", "selection", "score of")
        return "; ".join(f"{name}: {text}" for name, text in zip(names, self.texts, strict=True))


CONVENTION = tuple(each.name for each in fields(Convention))


@dataclass(frozen=True)
class ProtocolFacts:
    """A standard protocol: its cells, the metrics usually printed, and names by which its data sets are known."""

    name: str
    title: str
    cells: tuple[str, ...]
    metrics: tuple[str, ...]
    held_out: str
    datasets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class PublishedResult:
    """One row of a published table, or of one's own run (`own`). `cells`: cell -> metric -> figure or None."""

    protocol: ProtocolFacts
    method: str
    venue: str
    convention: Convention
    metrics: tuple[str, ...]
    cells: dict[str, dict[str, PublishedFigure | None]]
    stated_mean: dict[str, PublishedFigure | None]
    sources: tuple[str, ...]
    extras: str = ""
    note: str = ""
    own: bool = False

    def figure(self, cell: str, metric: str) -> PublishedFigure | None:
        """Return one figure, or None if it was not found."""
        return self.cells.get(cell, {}).get(metric)

    def mean(self, metric: str) -> float | None:
        """Return the mean over all cells of the protocol, computed here; None unless every cell is known."""
        found = [self.figure(cell, metric) for cell in self.protocol.cells]
        if any(figure is None for figure in found):
            return None
        return sum(figure.value for figure in found if figure) / len(found)

    def disagreements(self) -> dict[str, tuple[float, float]]:
        """Return metric -> (mean of the cells, mean as stated) where rounding does not explain the difference."""
        pairs = {name: (self.mean(name), stated) for name, stated in self.stated_mean.items()}
        return {
            name: (mean, stated.value)
            for name, (mean, stated) in pairs.items()
            if mean is not None and stated is not None
            if abs(mean - stated.value) > ROUNDING * 10**-stated.decimals
        }


@dataclass(frozen=True)
class Registry:
    """All published rows, their protocols, the meaning of words, and what was looked for and not found."""

    protocols: dict[str, ProtocolFacts]
    results: tuple[PublishedResult, ...]
    missing: tuple[tuple[str, str], ...]  # (protocol, what)
    words: dict[str, dict[str, str]]

    def of(self, protocol: str) -> list[PublishedResult]:
        """Return the rows of one protocol, as they stand in the file."""
        if protocol not in self.protocols:
            raise InputError(
                f"protocol {protocol!r} is unknown; expected one of {', '.join(self.protocols)}. Correct the name."
            )
        return [result for result in self.results if result.protocol.name == protocol]


def read_registry(path: str | Path = REGISTRY) -> Registry:
    """Read and check published figures; words or metrics that are not declared are an ArtefactError."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}, not {FORMAT!r}")
        protocols = {
            name: from_dict(ProtocolFacts, row | {"name": name}, f"protocol {name}")
            for name, row in data["protocols"].items()
        }
        if unknown := {metric for facts in protocols.values() for metric in facts.metrics} - set(METRICS):
            raise ValueError(f"unknown metrics {sorted(unknown)}")
        results = tuple(_result(row, protocols, data) for row in data["results"])
        missing = tuple((row["protocol"], row["what"]) for row in data["missing"])
        return Registry(protocols, results, missing, data["words"])
    except (OSError, ValueError, KeyError, TypeError) as error:  # ConfigError is a ValueError
        raise ArtefactError(
            f"published figures {path} are not usable ({error!r}); expected the format of the file in the package. "
            "Correct the row."
        ) from None


def _result(row: dict, protocols: dict[str, ProtocolFacts], data: dict) -> PublishedResult:
    protocol, convention = protocols[row["protocol"]], {name: row[name] for name in CONVENTION}
    metrics = tuple(row.get("metrics", protocol.metrics))
    unknown = {*metrics} - {*METRICS} | {*row.get("cells", ())} - {*protocol.cells}
    unknown |= {*row["sources"]} - {*data["sources"]}
    for name, word in convention.items():
        unknown |= {*(word if name == "training" else [word])} - {*data["words"][name]}
    if unknown or not row["training"] or not row["sources"]:
        raise ValueError(f"row {row['method']!r}: not declared or not there: {sorted(unknown) or 'training, sources'}")
    parsed = {
        "protocol": to_dict(protocol),
        "convention": convention | {"training": sorted(row["training"])},
        "metrics": metrics,
        "cells": {cell: _figures(text, metrics) for cell, text in row.get("cells", {}).items()},
        "stated_mean": _figures(row["stated_mean"], metrics) if "stated_mean" in row else {},
        "sources": [data["sources"][name] for name in row["sources"]],
    }
    rest = {name: value for name, value in row.items() if name not in CONVENTION}
    return from_dict(PublishedResult, rest | parsed, f"row {row['method']!r}")


def _figures(text: str, metrics: Sequence[str]) -> dict[str, dict | None]:
    """Read ``7.71±0.2/98.0/–``: one figure per metric, later ones may be left out."""
    parts = text.split("/")
    if len(parts) > len(metrics):
        raise ValueError(f"{text!r} has more figures than metrics {list(metrics)}")
    return {metric: None if part == "–" else _figure(part) for metric, part in zip(metrics, parts, strict=False)}


def _figure(text: str) -> dict:
    value, _, sd = text.partition("±")
    if not 0 <= float(value) <= 100:
        raise ValueError(f"figure {text!r}; expected a percentage in 0..100")
    return {"value": float(value), "sd": float(sd) if sd else None, "decimals": len(value.partition(".")[2])}
