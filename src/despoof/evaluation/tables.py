"""Score files -> tables: one line per model and cell over its seeds, and the mean over cells.

Two threshold sources for the same files: `sources` (fixed on the source domains; every species, non-response,
intervals) and `target` (chosen on the target's own scores, as most papers do). Wherever a threshold comes from the
target, the column says so: `oracle_target_eer`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from despoof import metrics
from despoof.data.sample import Label, Split
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.intervals import Statistic, bootstrap_interval
from despoof.evaluation.scores import ScoreFile, read_scores
from despoof.metrics import Interval

SOURCE = "source_eer"  # recorded by the runner
ORACLE = "oracle_target_eer"  # computed here, from the very scores it is then applied to
FIXED = 0.5  # what a deployment takes that calibrates nothing


@dataclass(frozen=True)
class Column:
    """How one column comes from a score file, and how its interval does.

    Either `presented` counts what the rate is a share of (Clopper-Pearson), or `statistic` is redrawn by
    subject. A rate that a file cannot give is NaN.
    """

    value: Callable[[ScoreFile], float]
    presented: Callable[[ScoreFile], int] | None = None
    statistic: Callable[[ScoreFile], Statistic] | None = None


@dataclass(frozen=True)
class Figure:
    """Mean over seeds, standard deviation (None of one seed), 95 % interval of the mean or None."""

    value: float
    sd: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Line:
    """One line of a table. `live`, `attack`: presentations; `species`: APCER at the source threshold."""

    protocol: str
    model: str
    cell: str
    seeds: int
    live: int
    attack: int
    figures: dict[str, Figure]
    species: dict[str, Figure]


def read_tests(folder: str | Path) -> list[ScoreFile]:
    """Return every test score file below a folder, in the order of their paths."""
    found = [read_scores(path) for path in sorted(Path(folder).rglob("*-test.csv"))]
    if not found:
        raise ArtefactError(f"no *-test.csv below {folder}; expected what `despoof evaluate` wrote. Run it first.")
    return found


def table_lines(
    files: Sequence[ScoreFile], threshold_source: str = "sources", *, rounds: int = 1000, mean: bool = True
) -> list[Line]:
    """Return the lines of all models and cells in `files`, and for each model the mean over its cells.

    Cells weigh alike in the mean, whatever their size. `rounds` are of the bootstrap; 0 leaves its
    intervals out.
    """
    if threshold_source not in COLUMNS:
        raise InputError(f"threshold source {threshold_source!r}; expected one of {', '.join(COLUMNS)}. Correct it.")
    columns = COLUMNS[threshold_source]
    groups: dict[tuple[str, str], dict[str, list[ScoreFile]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        groups[file.facts["protocol"], file.facts["model"]][file.facts["cell"]].append(file)
    lines = []
    for key in sorted(groups):
        cells = [_one_cell(groups[key][cell]) for cell in sorted(groups[key])]
        lines += [_line(cell, columns, rounds) for cell in cells]
        if mean and len(cells) > 1:
            lines.append(_mean_line(cells, columns))
    return lines


def table_markdown(lines: Sequence[Line]) -> str:
    """Return the figures as a Markdown table, rates in percent: mean ± sd over seeds (95 % interval)."""
    if not lines:
        raise InputError("no score files; expected at least one test file. Run a protocol first.")
    names = list(lines[0].figures)
    rows = [[*_head(line), line.live, line.attack, *(shown(line.figures[name]) for name in names)] for line in lines]
    return markdown(["protocol", "model", "cell", "seeds", "live", "attack", *names], rows)


def species_markdown(lines: Sequence[Line]) -> str:
    """Return APCER at the source threshold for each attack species, one line each, as a Markdown table."""
    rows = [[*_head(line), name, shown(figure)] for line in lines for name, figure in line.species.items()]
    return markdown(["protocol", "model", "cell", "seeds", "species", f"APCER @ {SOURCE}"], rows)


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table of a head and rows; cells are shown as `str` gives them, bars in them escaped."""
    from tabulate import tabulate

    table = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    return tabulate(table[1:], table[0], tablefmt="github", disable_numparse=True) + "\n"


def shown(figure: Figure) -> str:
    """Return a figure in percent as text: mean ± sd over seeds (95 % interval); a dash for none."""
    if np.isnan(figure.value):
        return "–"
    text = f"{100 * figure.value:.2f}"
    if figure.sd is not None:
        text += f" ± {100 * figure.sd:.2f}"
    if figure.interval is not None:
        text += f" ({100 * figure.interval.low:.1f}–{100 * figure.interval.high:.1f})"
    return text


def _hter_at(file: ScoreFile, name: str) -> Statistic:
    if name == SOURCE:
        return partial(metrics.hter, threshold=file.threshold(SOURCE))
    return lambda live, attack: metrics.hter(live, attack, metrics.eer(live, attack)[1])


def _of(statistic: Callable[[ScoreFile], Statistic]) -> Column:
    return Column(lambda file: statistic(file)(*_both(file)), statistic=statistic)


def _both(file: ScoreFile) -> tuple[np.ndarray, np.ndarray]:
    return file.liveness(Label.LIVE), file.liveness(Label.ATTACK)


def _answered(file: ScoreFile, label: Label) -> int:
    return len(file.liveness(label))


def _bpcer_at_apcer(target: float) -> Column:
    return Column(
        lambda file: metrics.bpcer_at_apcer(file.liveness(Label.LIVE), file.attacks(), target).bpcer,
        presented=lambda file: _answered(file, Label.LIVE),
    )


def _apcer_at_bpcer(target: float) -> Column:
    def point(file: ScoreFile) -> metrics.OperatingPoint:
        return metrics.apcer_at_bpcer(file.liveness(Label.LIVE), file.attacks(), target)

    return Column(
        lambda file: point(file).apcer,
        presented=lambda file: len(file.attacks()[_worst(file, point(file).threshold)]),
    )


def _non_response(label: Label) -> Column:
    return Column(
        lambda file: metrics.non_response_rate(file.unanswered(label), len(file.labelled(label))),
        presented=lambda file: len(file.labelled(label)),
    )


def _worst(file: ScoreFile, threshold: float) -> str:
    rates = metrics.apcer(file.attacks(), threshold)
    return max(rates, key=lambda name: rates[name])


def is_probability(file: ScoreFile) -> bool:
    """Say whether all liveness lies in 0..1, so that it can be read as P(live)."""
    both = np.concatenate(_both(file))
    return bool(len(both) and both.min() >= 0 and both.max() <= 1)


def _of_probability(statistic: Statistic) -> Callable[[ScoreFile], float]:
    return lambda file: statistic(*_both(file)) if is_probability(file) else float("nan")


SOURCE_COLUMNS: dict[str, Column] = {
    f"HTER @ {SOURCE}": _of(lambda file: _hter_at(file, SOURCE)),
    f"APCER max @ {SOURCE}": Column(
        lambda file: metrics.apcer_max(file.attacks(), file.threshold(SOURCE)),
        presented=lambda file: len(file.attacks()[_worst(file, file.threshold(SOURCE))]),
    ),
    f"BPCER @ {SOURCE}": Column(
        lambda file: metrics.bpcer(file.liveness(Label.LIVE), file.threshold(SOURCE)),
        presented=lambda file: _answered(file, Label.LIVE),
    ),
    f"HTER @ {FIXED}": Column(
        _of_probability(partial(metrics.hter, threshold=FIXED)),
        statistic=lambda file: partial(metrics.hter, threshold=FIXED),
    ),
    "EER": _of(lambda file: lambda live, attack: metrics.eer(live, attack)[0]),
    "D-EER": Column(lambda file: metrics.d_eer(file.liveness(Label.LIVE), file.attacks())[0]),
    "AUC": _of(lambda file: metrics.auc),
    "BPCER @ APCER 10 %": _bpcer_at_apcer(0.1),
    "BPCER @ APCER 5 %": _bpcer_at_apcer(0.05),
    "BPCER @ APCER 1 %": _bpcer_at_apcer(0.01),
    "APCER @ BPCER 10 %": _apcer_at_bpcer(0.1),
    "APCER @ BPCER 5 %": _apcer_at_bpcer(0.05),
    "APCER @ BPCER 1 %": _apcer_at_bpcer(0.01),
    "ECE": Column(_of_probability(metrics.ece)),
    "APNRR": _non_response(Label.ATTACK),
    "BPNRR": _non_response(Label.LIVE),
    f"HTER @ {ORACLE}": _of(lambda file: _hter_at(file, ORACLE)),
}
TARGET_COLUMNS: dict[str, Column] = {
    f"HTER @ {ORACLE}": SOURCE_COLUMNS[f"HTER @ {ORACLE}"],
    "AUC": SOURCE_COLUMNS["AUC"],
    "TPR @ FPR 1 %": _of(lambda file: partial(metrics.tpr_at_fpr, target=0.01)),
}
COLUMNS = {"sources": SOURCE_COLUMNS, "target": TARGET_COLUMNS}
NOTES = f"""Rates in percent: mean ± standard deviation over seeds (95 % interval). Live is accepted at
liveness >= threshold. `{SOURCE}`: threshold of equal error on held-out subjects of the source domains.
`{ORACLE}`: threshold chosen on the target's own scores, which no deployment can do. HTER @ {FIXED}: at that
fixed liveness, of scores in 0..1. BPCER @ APCER: every attack species at most at the stated APCER; APCER @
BPCER: the largest over species; both with a threshold from the target's scores. EER pools the attacks, D-EER
takes the largest APCER over species. TPR @ FPR: live is positive, attacks pooled. APNRR, BPNRR: attacks and
live without a score; all other rates are of those with one.

Intervals: Clopper-Pearson for APCER, BPCER and non-response (it takes images as independent, so it is too
narrow where one subject gave many); those of HTER, EER, AUC and TPR redraw subjects; D-EER, ECE and means over
cells have none. They hold for these cameras and people only, and leave the spread over seeds out.
"""


def _one_cell(files: list[ScoreFile]) -> list[ScoreFile]:
    """Return the files of a cell by seed, after checking that they differ in the seed alone."""
    files = sorted(files, key=lambda file: file.facts["seed"])
    name = f"{files[0].facts['model']} / {files[0].facts['cell']}"
    if any(file.facts["split"] != Split.TEST for file in files):
        raise InputError(f"{name}: a validation file among the scores; expected test files. Leave it out.")
    if len({file.facts["seed"] for file in files}) != len(files):
        raise InputError(f"{name}: one seed stands in two files; expected each seed once. Leave one out.")
    if len({file.presented for file in files}) > 1:
        raise InputError(f"{name}: seeds were tested on other samples; expected the same. Run them again.")
    return files


def _line(files: list[ScoreFile], rates: dict[str, Column], rounds: int) -> Line:
    first = files[0]
    return Line(
        *(first.facts[name] for name in ("protocol", "model", "cell")),
        seeds=len(files),
        live=len(first.labelled(Label.LIVE)),
        attack=len(first.labelled(Label.ATTACK)),
        figures={name: _figure(files, rate, rounds) for name, rate in rates.items()},
        species={name: _species_figure(files, name) for name in first.attacks()},
    )


def _figure(files: list[ScoreFile], rate: Column, rounds: int) -> Figure:
    values = [rate.value(file) for file in files]
    return _over_seeds(values, _interval(files, rate, float(np.mean(values)), rounds))


def _interval(files: list[ScoreFile], rate: Column, value: float, rounds: int) -> Interval | None:
    if np.isnan(value):
        return None
    if rate.presented is not None:
        # Seeds share their images, so they sharpen the mean but add no presentations.
        presented = min(rate.presented(file) for file in files)
        return metrics.proportion_interval(value * presented, presented)
    if rate.statistic is None or not rounds:
        return None
    return bootstrap_interval([(rate.statistic(file), file.scores()) for file in files], rounds=rounds)


def _species_figure(files: list[ScoreFile], name: str) -> Figure:
    answered = [file for file in files if name in file.attacks()]
    rate = Column(
        lambda file: metrics.apcer_pooled(file.attacks()[name], file.threshold(SOURCE)),
        presented=lambda file: len(file.attacks()[name]),
    )
    return _figure(answered, rate, 0)


def _mean_line(cells: list[list[ScoreFile]], rates: dict[str, Column]) -> Line:
    seeds = {tuple(file.facts["seed"] for file in files) for files in cells}
    first = cells[0][0]
    figures = {}
    for name, rate in rates.items():
        values = [[rate.value(file) for file in files] for files in cells]
        if len(seeds) == 1:
            figures[name] = _over_seeds(np.mean(values, axis=0), None)  # sd of the mean over cells
        else:
            figures[name] = Figure(float(np.mean([np.mean(each) for each in values])))
    return Line(
        first.facts["protocol"],
        first.facts["model"],
        "mean",
        seeds=min(len(files) for files in cells),
        live=sum(len(files[0].labelled(Label.LIVE)) for files in cells),
        attack=sum(len(files[0].labelled(Label.ATTACK)) for files in cells),
        figures=figures,
        species={},
    )


def _over_seeds(values: Sequence[float] | np.ndarray, interval: Interval | None) -> Figure:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Figure(float(np.mean(values)), sd, interval)


def _head(line: Line) -> list[object]:
    return [line.protocol, line.model, line.cell, line.seeds]
