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
POINTS = (10, 5, 1)  # percent, of the operating points


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


def hter_at_source(file: ScoreFile) -> Statistic:
    """Return the HTER at the file's source threshold, as a function of live and attack scores."""
    return partial(metrics.hter, threshold=file.threshold(SOURCE))


def is_probability(file: ScoreFile) -> bool:
    """Say whether all liveness lies in 0..1, so that it can be read as P(live)."""
    both = np.concatenate(_both(file))
    return bool(len(both) and both.min() >= 0 and both.max() <= 1)


def _both(file: ScoreFile) -> tuple[np.ndarray, np.ndarray]:
    return file.liveness(Label.LIVE), file.liveness(Label.ATTACK)


def _drawn(statistic: Callable[[ScoreFile], Statistic], *, of_probability: bool = False) -> Column:
    """Return a column whose interval redraws subjects; NaN where liveness is no probability but must be."""

    def value(file: ScoreFile) -> float:
        return float("nan") if of_probability and not is_probability(file) else statistic(file)(*_both(file))

    return Column(value, statistic=statistic)


def _of_live(value: Callable[[ScoreFile], float]) -> Column:
    return Column(value, presented=lambda file: len(file.liveness(Label.LIVE)))


def _of_worst(threshold: Callable[[ScoreFile], float]) -> Column:
    """Return the APCER of the species that passes most at a threshold."""

    def worst(file: ScoreFile) -> tuple[str, float]:
        return max(metrics.apcer(file.attacks(), threshold(file)).items(), key=lambda item: item[1])

    return Column(lambda file: worst(file)[1], presented=lambda file: len(file.attacks()[worst(file)[0]]))


def _bpcer_at_apcer(target: float) -> Column:
    return _of_live(lambda file: metrics.bpcer_at_apcer(file.liveness(Label.LIVE), file.attacks(), target).bpcer)


def _apcer_at_bpcer(target: float) -> Column:
    return _of_worst(lambda f: metrics.apcer_at_bpcer(f.liveness(Label.LIVE), f.attacks(), target).threshold)


def _non_response(label: Label) -> Column:
    return Column(
        lambda file: metrics.non_response_rate(file.unanswered(label), len(file.labelled(label))),
        presented=lambda file: len(file.labelled(label)),
    )


def _hter_at_oracle(live: np.ndarray, attack: np.ndarray) -> float:
    return metrics.hter(live, attack, metrics.eer(live, attack)[1])


SOURCE_COLUMNS: dict[str, Column] = {
    f"HTER @ {SOURCE}": _drawn(hter_at_source),
    f"APCER max @ {SOURCE}": _of_worst(lambda file: file.threshold(SOURCE)),
    f"BPCER @ {SOURCE}": _of_live(lambda file: metrics.bpcer(file.liveness(Label.LIVE), file.threshold(SOURCE))),
    f"HTER @ {FIXED}": _drawn(lambda file: partial(metrics.hter, threshold=FIXED), of_probability=True),
    "EER": _drawn(lambda file: lambda live, attack: metrics.eer(live, attack)[0]),
    "D-EER": Column(lambda file: metrics.d_eer(file.liveness(Label.LIVE), file.attacks())[0]),
    "AUC": _drawn(lambda file: metrics.auc),
    **{f"BPCER @ APCER {percent} %": _bpcer_at_apcer(percent / 100) for percent in POINTS},
    **{f"APCER @ BPCER {percent} %": _apcer_at_bpcer(percent / 100) for percent in POINTS},
    "ECE": Column(lambda file: metrics.ece(*_both(file)) if is_probability(file) else float("nan")),
    "APNRR": _non_response(Label.ATTACK),
    "BPNRR": _non_response(Label.LIVE),
    f"HTER @ {ORACLE}": _drawn(lambda file: _hter_at_oracle),
}
TARGET_COLUMNS: dict[str, Column] = {
    f"HTER @ {ORACLE}": SOURCE_COLUMNS[f"HTER @ {ORACLE}"],
    "AUC": SOURCE_COLUMNS["AUC"],
    "TPR @ FPR 1 %": _drawn(lambda file: partial(metrics.tpr_at_fpr, target=0.01)),
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


def _line(files: list[ScoreFile], columns: dict[str, Column], rounds: int) -> Line:
    species = {}
    for name in files[0].attacks():
        passed = Column(
            lambda file, name=name: metrics.apcer_pooled(file.attacks()[name], file.threshold(SOURCE)),
            presented=lambda file, name=name: len(file.attacks()[name]),
        )
        species[name] = _figure([file for file in files if name in file.attacks()], passed, 0)
    figures = {name: _figure(files, column, rounds) for name, column in columns.items()}
    return _make_line([files], files[0].facts["cell"], figures, species)


def _mean_line(cells: list[list[ScoreFile]], columns: dict[str, Column]) -> Line:
    seeds = {tuple(file.facts["seed"] for file in files) for files in cells}
    figures = {}
    for name, column in columns.items():
        values = [[column.value(file) for file in files] for files in cells]
        if len(seeds) == 1:
            figures[name] = _over_seeds(np.mean(values, axis=0), None)  # sd of the mean over cells
        else:
            figures[name] = Figure(float(np.mean([np.mean(each) for each in values])))
    return _make_line(cells, "mean", figures, {})


def _make_line(cells: list[list[ScoreFile]], cell: str, figures: dict[str, Figure], species: dict[str, Figure]) -> Line:
    live, attack = (sum(len(files[0].labelled(label)) for files in cells) for label in Label)
    facts, seeds = cells[0][0].facts, min(len(files) for files in cells)
    return Line(facts["protocol"], facts["model"], cell, seeds, live, attack, figures, species)


def _figure(files: list[ScoreFile], column: Column, rounds: int) -> Figure:
    values = [column.value(file) for file in files]
    return _over_seeds(values, _interval(files, column, float(np.mean(values)), rounds))


def _interval(files: list[ScoreFile], column: Column, value: float, rounds: int) -> Interval | None:
    if np.isnan(value):
        return None
    if column.presented is not None:
        # Seeds share their images, so they sharpen the mean but add no presentations.
        presented = min(column.presented(file) for file in files)
        return metrics.proportion_interval(value * presented, presented)
    if column.statistic is None or not rounds:
        return None
    return bootstrap_interval([(column.statistic(file), file.scores()) for file in files], rounds=rounds)


def _over_seeds(values: Sequence[float] | np.ndarray, interval: Interval | None) -> Figure:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Figure(float(np.mean(values)), sd, interval)


def _head(line: Line) -> list[object]:
    return [line.protocol, line.model, line.cell, line.seeds]
