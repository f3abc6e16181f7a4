"""Published figures and a run of one's own -> sections to read: ranks only among rows that may be ranked.

Between groups of another convention there is no order, and none is shown unless asked for by `mixed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile
from despoof.published.own import own_results
from despoof.published.registry import CONVENTION, METRICS, Convention, PublishedResult, Registry
from despoof.report.page import Section, Table

RANKS = (
    "Ranks hold within one table only: its rows share training data, origin of the threshold, selection of the model "
    "and unit of the score. Between tables there is no order. Every mean is computed here from the cells."
)
NO_RANK = (
    "Of these rows something that a ranking needs was not found, or no other row shares their convention. They stand "
    "here without a rank, in the order of the registry."
)
NOTHING_OWN = (
    "No score file of this run is of this protocol, so none is shown: its target would have to be a data set of the "
    "protocol and its sources all the others."
)
DASH = "–"


@dataclass(frozen=True)
class Ranking:
    """Rows, best first, by the mean of a metric; `warning` says what differs between them, or is empty."""

    results: tuple[PublishedResult, ...]
    warning: str = ""


def rank(results: Sequence[PublishedResult], metric: str, *, mixed: bool = False) -> Ranking:
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


def by_convention(results: Sequence[PublishedResult]) -> dict[Convention, list[PublishedResult]]:
    """Return rows in groups that may be ranked, in the order in which conventions first stand."""
    conventions = dict.fromkeys(result.convention for result in results)
    return {each: [result for result in results if result.convention == each] for each in conventions}


def registry_sections(registry: Registry) -> list[Section]:
    """Return the list of protocols of which figures are known."""
    rows = [("protocol", "what it is", "held out", "rows")]
    for name, facts in registry.protocols.items():
        rows.append((name, facts.title, facts.held_out, str(len(registry.of(name)))))
    return [Section("Protocols", tables=(Table(tuple(rows), "Protocols with published figures"),))]


def protocol_sections(
    registry: Registry,
    protocol: str,
    files: Sequence[ScoreFile] = (),
    *,
    metric: str | None = None,
    mixed: bool = False,
) -> list[Section]:
    """Return what is published of a protocol, with own rows among it where `files` are a run of it.

    `metric` is what cells show and ranks go by, the protocol's first if left out. `mixed` puts all rows in one
    ranking, under a warning that says what differs between them.
    """
    published = registry.of(protocol)
    facts = registry.protocols[protocol]
    own = own_results(files, facts)
    metric = metric or facts.metrics[0]
    rows = [row for row in (*own, *published) if metric in row.metrics]
    if metric not in METRICS or not rows:
        known = ", ".join(sorted({name for row in published for name in row.metrics}))
        raise InputError(f"no row of {protocol} has metric {metric!r}; expected one of {known}. Choose one of them.")
    about = [f"Held out: {facts.held_out}.", facts.note, NOTHING_OWN if files and not own else ""]
    parts = [Section(f"{facts.title} ({protocol})", tuple(text for text in about if text))]
    parts += [_mixed(rows, metric)] if mixed else _grouped(rows, metric)
    return [*parts, *_remarks(registry, protocol, rows)]


def _mixed(rows: Sequence[PublishedResult], metric: str) -> Section:
    ranking = rank(rows, metric, mixed=True)
    paragraphs = (f"WARNING. {ranking.warning} Their order means nothing by itself.",) if ranking.warning else (RANKS,)
    table = _table(ranking.results, metric, ranked=True, mixed=True)
    return Section("All rows in one order, as asked for", paragraphs, tables=(table,))


def _grouped(rows: Sequence[PublishedResult], metric: str) -> list[Section]:
    """Return one section per convention that two rows share, and one for the rest."""
    parts, ranked = [], []
    for convention, group in by_convention(rows).items():
        if convention.unknown or sum(row.mean(metric) is not None for row in group) < 2:
            continue  # two unknown words are not equal words
        ranked += group
        best_first = rank(group, metric).results
        left = [row for row in group if row not in best_first]
        tables = [_table(best_first, metric, ranked=True)] + ([_table(left, metric, ranked=False)] if left else [])
        parts.append(Section(f"One convention. {convention}", (RANKS,) if not parts else (), tables=tuple(tables)))
    if rest := [row for row in rows if row not in ranked]:
        table = _table(rest, metric, ranked=False, mixed=True)
        parts.append(Section("Rows without a rank", (NO_RANK,), tables=(table,)))
    return parts


def _table(rows: Sequence[PublishedResult], metric: str, *, ranked: bool, mixed: bool = False) -> Table:
    """Return one line per row; of rows with `mixed` conventions, what they were trained on and decided by."""
    others = [name for name in dict.fromkeys(name for row in rows for name in row.metrics) if name != metric]
    means, cells = [metric, *others], rows[0].protocol.cells
    first = ["rank" if ranked else "not found", "method", "venue"] + (["training", "threshold"] if mixed else [])
    table = [(*first, *cells, *(f"mean {METRICS[name].title}" for name in means))]
    for i, row in enumerate(rows, 1):
        line = [str(i) if ranked else ", ".join(row.convention.unknown) or DASH, row.method, row.venue or DASH]
        line += row.convention.texts[:2] if mixed else []
        line += [str(row.figure(cell, metric) or DASH) for cell in cells]
        table.append((*line, *(_mean(row, name) for name in means)))
    return Table(tuple(table), f"{METRICS[metric].title}, percent; means are of the cells", heads=2)


def _mean(row: PublishedResult, metric: str) -> str:
    mean, stated = row.mean(metric), row.stated_mean.get(metric)
    if mean is None:
        return DASH if stated is None else f"{stated} (stated; cells not found)"
    return f"{mean + 1e-9:.2f}"  # a mean of 7.075 is printed as 7.08 everywhere, whatever its last bit


def _remarks(registry: Registry, protocol: str, rows: Sequence[PublishedResult]) -> list[Section]:
    wrong = [
        f"{row.method}: its source states a mean {METRICS[name].title} of {stated:.2f}; its cells give {mean:.2f}."
        for row in rows
        for name, (mean, stated) in row.disagreements().items()
    ]
    missing = [what for name, what in registry.missing if name in (protocol, "")]
    parts = [
        Section("Means that do not follow from their cells", ("The mean of the cells is used.",), tuple(wrong)),
        Section("Looked for and not found", points=tuple(missing)),
    ]
    return [*(part for part in parts if part.points), _conventions(rows), _words(registry, rows)]


def _conventions(rows: Sequence[PublishedResult]) -> Section:
    body = []
    for row in rows:
        body.append((row.method, row.extras or DASH, *row.convention.texts, "; ".join(row.sources), row.note or DASH))
    head = ("method", "extras", "training", "threshold", "selection", "score of", "sources", "note")
    table = Table((head, *body), "How each row was made, and who says so")
    return Section("Conventions and sources", tables=(table,))


def _words(registry: Registry, rows: Sequence[PublishedResult]) -> Section:
    used = {word for row in rows for word in (*row.convention.training, *row.convention.texts[1:])}
    points = [
        f"{kind}, {word}: {meaning}."
        for kind, words in registry.words.items()
        for word, meaning in words.items()
        if word in used and word != meaning
    ]
    return Section("Words", points=tuple(points))


def _difference(conventions: Sequence[Convention]) -> str:
    """Say in one sentence why rows have no common order, or nothing if they have one."""
    differ = [name for name in CONVENTION if len({getattr(each, name) for each in conventions}) > 1]
    unknown = sorted({name for each in conventions for name in each.unknown}, key=CONVENTION.index)
    if len(conventions) < 2 or not (differ or unknown):
        return ""
    parts = [f"they differ in {', '.join(differ)}"] if differ else []
    parts += [f"of some, {', '.join(unknown)} was not found"] if unknown else []
    return f"These rows are not comparable: {'; '.join(parts)}."
