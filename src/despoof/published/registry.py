"""Published figures as data, and beside them a run of one's own; rows of other conventions are not ranked together.

The data lie in ``published.toml``. Percent throughout. A mean is always computed from its cells; where its
source states another, both are shown. What was not found is None and is never guessed.
"""

import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from despoof.errors import ArtefactError, InputError
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import ORACLE, SOURCE, table_lines

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
class Published:
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
        return [name for name in ("training", "threshold", "selection", "unit") if UNKNOWN in getattr(self, name)]

    def __str__(self) -> str:
        return (
            f"training: {' + '.join(self.training)}; threshold: {self.threshold}; "
            f"selection: {self.selection}; score of: {self.unit}"
        )


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
class Result:
    """One row of a published table, or of one's own run (`own`). `cells`: cell -> metric -> figure or None."""

    protocol: ProtocolFacts
    method: str
    venue: str
    extras: str
    convention: Convention
    metrics: tuple[str, ...]
    cells: dict[str, dict[str, Published | None]]
    stated_mean: dict[str, Published | None]
    sources: tuple[str, ...]
    note: str = ""
    own: bool = False

    def figure(self, cell: str, metric: str) -> Published | None:
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
        found = {}
        for metric, stated in self.stated_mean.items():
            mean = self.mean(metric)
            if mean is None or stated is None:
                continue
            if abs(mean - stated.value) > ROUNDING * 10**-stated.decimals:
                found[metric] = (mean, stated.value)
        return found


@dataclass(frozen=True)
class Registry:
    """All published rows, their protocols, the meaning of words, and what was looked for and not found."""

    protocols: dict[str, ProtocolFacts]
    results: tuple[Result, ...]
    missing: tuple[tuple[str, str], ...]  # (protocol, what)
    words: dict[str, dict[str, str]]

    def of(self, protocol: str) -> list[Result]:
        """Return the rows of one protocol, as they stand in the file."""
        if protocol not in self.protocols:
            raise InputError(
                f"protocol {protocol!r} is unknown; expected one of {', '.join(self.protocols)}. Correct the name."
            )
        return [result for result in self.results if result.protocol.name == protocol]


@dataclass(frozen=True)
class Ranking:
    """Rows, best first, by the mean of a metric; `warning` says what differs between them, or is empty."""

    results: tuple[Result, ...]
    warning: str = ""


def read_registry(path: str | Path = REGISTRY) -> Registry:
    """Read and check published figures; words or metrics that are not declared are an ArtefactError."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}, not {FORMAT!r}")
        protocols = {name: _protocol(name, row) for name, row in data["protocols"].items()}
        results = tuple(_result(row, protocols, data) for row in data["results"])
        missing = tuple((row["protocol"], row["what"]) for row in data["missing"])
        return Registry(protocols, results, missing, data["words"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"published figures {path} are not usable ({error!r}); expected the format of the file in the package. "
            "Correct the row."
        ) from None


def rank(results: Sequence[Result], metric: str, *, mixed: bool = False) -> Ranking:
    """Return rows that have a mean of the metric, best first.

    Rows of different training data or convention, or of one that was not found, are an InputError unless
    `mixed`; then the ranking carries a warning that says what differs.
    """
    if metric not in METRICS:
        raise InputError(f"metric {metric!r}; expected one of {', '.join(METRICS)}. Correct the name.")
    known = [result for result in results if result.mean(metric) is not None]
    if len({result.protocol.name for result in known}) > 1:
        raise InputError("rows of several protocols; expected one. Figures of different tests have no order.")
    warning = _difference([result.convention for result in known])
    if warning and not mixed:
        raise InputError(f"{warning} Rank rows of one convention, or ask for a mixed ranking, which says so.")
    sign = -1 if METRICS[metric].higher_is_better else 1
    return Ranking(tuple(sorted(known, key=lambda result: sign * (result.mean(metric) or 0))), warning)


def by_convention(results: Sequence[Result]) -> dict[Convention, list[Result]]:
    """Return rows in groups that may be ranked, in the order in which conventions first stand."""
    groups: dict[Convention, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.convention].append(result)
    return dict(groups)


def own_results(files: Sequence[ScoreFile], protocol: ProtocolFacts) -> list[Result]:
    """Return two rows for each model of a run, one per profile, where it was a run of the protocol.

    A file counts where its target is a data set of the protocol and its sources are all the others; any other
    run is on no cell and gives no row.
    """
    names = {name.lower(): cell for cell, known in protocol.datasets.items() for name in (*known, cell)}
    groups: dict[tuple[str, Convention], list[ScoreFile]] = defaultdict(list)
    for file in files:
        if _is_of(file, names):
            groups[file.facts["model"], _own_convention(file)].append(file)
    found = []
    for (model, convention), group in groups.items():
        for threshold, source, column in (("target-eer", "target", ORACLE), ("source-validation", "sources", SOURCE)):
            head = (model, "this run", f"threshold from the {source}", replace(convention, threshold=threshold))
            cells = _own_figures(group, names, source, f"HTER @ {column}")
            found.append(Result(protocol, *head, tuple(OWN_METRICS), cells, {}, (OWN_SOURCE,), own=True))
    return found


OWN_SOURCE = "score files of this run"
OWN_METRICS = {"hter": "", "auc": "AUC", "tpr_at_fpr1": "TPR @ FPR 1 %"}  # metric -> column of the tables
SELECTION_WORDS = {"last step": "source-validation"}  # of protocols -> of the registry, which does not part the two


def _is_of(file: ScoreFile, names: dict[str, str]) -> bool:
    """Say whether a file was trained on all cells of the registry's protocol but one, and tested on that one."""
    target = names.get(str(file.facts.get("target", "")).lower())
    sources = {names.get(str(name).lower()) for name in file.facts.get("sources", ())}
    return target is not None and sources == set(names.values()) - {target}


def _own_figures(files: list[ScoreFile], names: dict[str, str], source: str, hter: str) -> dict:
    target = {file.facts["cell"]: names[str(file.facts["target"]).lower()] for file in files}
    if len(set(target.values())) < len(target):
        raise InputError(
            f"cells {', '.join(target)} of {files[0].facts['model']} are tested on one data set; expected one cell for "
            "each. Give the folder of one protocol."
        )
    columns = OWN_METRICS | {"hter": hter}
    return {
        target[line.cell]: {
            metric: Published(100 * figure.value, None if figure.sd is None else 100 * figure.sd)
            for metric, column in columns.items()
            if (figure := line.figures.get(column)) is not None
        }
        for line in table_lines(files, source, rounds=0, mean=False)
    }


def _own_convention(file: ScoreFile) -> Convention:
    """Return what a score file says of its making; what it does not say is ``not found`` like any other."""
    selection = file.facts.get("selection", UNKNOWN)
    training = ["part held out", "sources"] + (["real-faces"] if file.facts.get("counterparts") else [])
    return Convention(
        tuple(sorted(training)), "", SELECTION_WORDS.get(selection, selection), file.facts.get("unit", UNKNOWN)
    )


def _difference(conventions: Sequence[Convention]) -> str:
    """Say in one sentence why rows have no common order, or nothing if they have one."""
    names = ("training", "threshold", "selection", "unit")
    differ = [name for name in names if len({getattr(each, name) for each in conventions}) > 1]
    unknown = sorted({name for each in conventions for name in each.unknown}, key=names.index)
    if len(conventions) < 2 or not (differ or unknown):
        return ""
    parts = [f"they differ in {', '.join(differ)}"] if differ else []
    parts += [f"of some, {', '.join(unknown)} was not found"] if unknown else []
    return f"These rows are not comparable: {'; '.join(parts)}."


def _protocol(name: str, row: dict) -> ProtocolFacts:
    unknown = set(row["metrics"]) - set(METRICS)
    if unknown:
        raise ValueError(f"protocol {name} has unknown metrics {sorted(unknown)}")
    datasets = {cell: tuple(names) for cell, names in row.get("datasets", {}).items()}
    cells, metrics = tuple(row["cells"]), tuple(row["metrics"])
    return ProtocolFacts(name, row["title"], cells, metrics, row["held_out"], datasets, row.get("note", ""))


RESULT_KEYS = {
    "protocol", "method", "venue", "extras", "training", "threshold", "selection", "unit", "metrics", "cells",
    "stated_mean", "sources", "note",
}  # fmt: skip


def _result(row: dict, protocols: dict[str, ProtocolFacts], data: dict) -> Result:
    unknown = set(row) - RESULT_KEYS
    protocol = protocols[row["protocol"]]
    metrics = tuple(row.get("metrics", protocol.metrics))
    cells = {cell: _figures(text, metrics) for cell, text in row.get("cells", {}).items()}
    unknown |= set(metrics) - set(METRICS) | set(cells) - set(protocol.cells)
    for name in ("threshold", "selection", "unit"):
        unknown |= {row[name]} - set(data["words"][name])
    unknown |= set(row["training"]) - set(data["words"]["training"]) | set(row["sources"]) - set(data["sources"])
    if unknown or not row["training"] or not row["sources"]:
        raise ValueError(f"row {row['method']!r}: not declared or not there: {sorted(unknown) or 'training, sources'}")
    convention = Convention(tuple(sorted(row["training"])), row["threshold"], row["selection"], row["unit"])
    stated = _figures(row["stated_mean"], metrics) if "stated_mean" in row else {}
    sources = tuple(data["sources"][name] for name in row["sources"])
    head = (protocol, row["method"], row["venue"], row.get("extras", ""), convention)
    return Result(*head, metrics, cells, stated, sources, row.get("note", ""))


def _figures(text: str, metrics: Sequence[str]) -> dict[str, Published | None]:
    """Read ``7.71±0.2/98.0/–``: one figure per metric, later ones may be left out."""
    parts = text.split("/")
    if len(parts) > len(metrics):
        raise ValueError(f"{text!r} has more figures than metrics {list(metrics)}")
    return {metric: _figure(part) for metric, part in zip(metrics, parts, strict=False)}


def _figure(text: str) -> Published | None:
    if text == "–":
        return None
    value, _, sd = text.partition("±")
    if not 0 <= float(value) <= 100:
        raise ValueError(f"figure {text!r}; expected a percentage in 0..100")
    return Published(float(value), float(sd) if sd else None, len(value.partition(".")[2]))
