"""Score files -> what a report says: rates at both kinds of threshold, breakdowns, curves, cases, and what is missing.

Terms are those of ISO/IEC 30107-3; a report of this kind certifies nothing and says so first. Sentences that depend on
no figure lie in ``words.toml``.
"""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from despoof import metrics
from despoof.data.sample import Label
from despoof.errors import InputError
from despoof.evaluation.crossfit import is_cross_fitted
from despoof.evaluation.difference import COMPARED, Comparison, compare
from despoof.evaluation.protocols import CROSS_FITTED
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import FIXED, NOTES, ORACLE, SOURCE, Line, is_probability, shown, table_lines
from despoof.faces.store import StoredSample
from despoof.report.cameras import camera_sections
from despoof.report.cases import Sheet, best_and_worst, case_picture, case_row
from despoof.report.figures import curve_pictures, first_seeds, place_of, reliability_pictures, score_pictures
from despoof.report.page import Section, Table

SOURCE_TABLES = {
    "At thresholds fixed before the test": (
        f"HTER @ {SOURCE}", f"APCER max @ {SOURCE}", f"BPCER @ {SOURCE}", f"HTER @ {FIXED}", "APNRR", "BPNRR",
    ),
    "BPCER at a fixed APCER, and the mirror": (
        "BPCER @ APCER 10 %", "BPCER @ APCER 5 %", "BPCER @ APCER 1 %",
        "APCER @ BPCER 10 %", "APCER @ BPCER 5 %", "APCER @ BPCER 1 %",
    ),
    "Over all thresholds, and calibration": ("EER", "D-EER", "AUC", "ECE", f"HTER @ {ORACLE}"),
}  # fmt: skip
DOMAIN_NAMES = (f"HTER @ {SOURCE}", f"APCER max @ {SOURCE}", f"BPCER @ {SOURCE}", "AUC", "APNRR", "BPNRR")
COUNTS_HEAD = ("cell", "what", "presentations", "subjects", "allowed, by presentations", "allowed, by subjects")
FACTS = ("sources", "target", "unit", "selection", "simulated", "data_hash", "config_hash", "counterparts", "commit")
FEW_SUBJECTS = 10  # under about this a bootstrap of subjects is too narrow
SHOWS = 0.01  # the rate that a species or class should have presentations enough to show
ORIGIN = f"{CROSS_FITTED}, equal error of rates averaged over the cameras of all other folds"
PERCENT = "Percent: mean ± sd over seeds (95 % interval)"


@cache
def words() -> dict:
    """Return the fixed sentences of a report."""
    return tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))


def report_sections(
    files: Sequence[ScoreFile],
    *,
    rounds: int = 1000,
    model: str | None = None,
    sheet: Sheet | None = None,
    stored: Sequence[StoredSample] = (),
) -> list[Section]:
    """Return the whole report of test score files.

    `model` is compared with all others and shown in cases; the first in alphabetic order if left out. `sheet`
    turns a row of a score file into the PNG *face | counterpart | cue*, and is handed over only where the
    licence of the data allows to show people. `stored` are rows of the store, to tell groups of people apart where
    folds of cameras were tested.
    """
    if not files:
        raise InputError("no score files; expected at least one test file. Run `despoof evaluate` first.")
    names = sorted({str(file.facts["model"]) for file in files})
    if model not in (None, *names):
        raise InputError(f"model {model!r} is not among the score files; expected one of {', '.join(names)}.")
    folds = [file for file in files if is_cross_fitted(file)]
    others = _cells_apart([file for file in files if not is_cross_fitted(file)])
    sections = [_about(files)]
    if folds:
        sections += camera_sections(folds, _chosen(folds, model), rounds=rounds, rows=stored)
    if others:
        sections += _by_domain(others, _chosen(others, model), rounds, sheet)
    return [
        *sections,
        Section("Terms of ISO/IEC 30107-3", points=tuple(words()["iso_30107_3"]["terms"])),
        Section("What these figures do not show", points=tuple(words()["limits"]["not_shown"])),
        _origin([*folds, *others]),
    ]


def _chosen(files: Sequence[ScoreFile], model: str | None) -> str:
    names = {str(file.facts["model"]) for file in files}
    return model if model in names else min(names)


def _by_domain(files: Sequence[ScoreFile], chosen: str, rounds: int, sheet: Sheet | None) -> list[Section]:
    lines = table_lines(files, "sources", rounds=rounds)
    return [
        _thresholds_of_sources(lines),
        _thresholds_of_target(table_lines(files, "target", rounds=rounds)),
        _differences(files, chosen, compare(files, chosen, rounds=rounds)),
        _species(lines),
        _domains(files),
        _counts(files),
        Section("Curves", (words()["pictures"]["curves"],), pictures=curve_pictures(files)),
        Section("Scores", (words()["pictures"]["scores"],), pictures=score_pictures(files)),
        _calibration(files),
        _cases([file for file in first_seeds(files) if file.facts["model"] == chosen], sheet),
    ]


def _cells_apart(files: Sequence[ScoreFile]) -> list[ScoreFile]:
    """Where there are several protocols, put their names before those of their cells."""
    if len({file.facts["protocol"] for file in files}) < 2:
        return list(files)
    return [replace(file, facts=file.facts | {"cell": ": ".join(place_of(file)[:2])}) for file in files]


def _about(files: Sequence[ScoreFile]) -> Section:
    names = {name: sorted({str(file.facts[name]) for file in files}) for name in ("protocol", "model", "cell", "seed")}
    parts = "; ".join(f"{name}s: {', '.join(values)}" for name, values in names.items())
    units = ", ".join(sorted({str(file.facts.get("unit", "not recorded")) for file in files}))
    made = f"Made from {len(files)} score files. {parts}. One score per: {units}. {words()['about']['same_scores']}"
    return Section("What this is", (words()["about"]["no_certification"], made))


def _thresholds_of_sources(lines: Sequence[Line]) -> Section:
    paragraphs = tuple(" ".join(part.split()) for part in NOTES.replace("`", "").split("\n\n"))
    tables = tuple(_table(lines, names, title) for title, names in SOURCE_TABLES.items())
    return Section("Thresholds from the sources", paragraphs, tables=tables)


def _thresholds_of_target(lines: Sequence[Line]) -> Section:
    table = _table(lines, list(lines[0].figures), "Thresholds from the test scores, of the same score files")
    return Section("Thresholds from the test scores", (words()["thresholds"]["target"],), tables=(table,))


def _table(lines: Sequence[Line], names: Sequence[str], title: str) -> Table:
    """Return one row per line; counts stand beside every rate."""
    rows = [("model", "cell", "seeds", "live", "attacks", *names)]
    for line in lines:
        counts = map(str, (line.seeds, line.live, line.attack))
        rows.append((line.model, line.cell, *counts, *(shown(line.figures[name]) for name in names)))
    return Table(tuple(rows), f"{title}. {PERCENT}", heads=2)


def _differences(files: Sequence[ScoreFile], first: str, found: Sequence[Comparison]) -> Section:
    title = "Difference between models"
    if not found:
        return Section(title, (f"Nothing was compared with {first}: no other model, or no rounds of the bootstrap.",))
    paragraphs = [
        f"{first} minus another model, means over seeds, in percentage points. Paired bootstrap: both models see the "
        "same redrawn subjects. Below 0 is better for an HTER, above 0 for an AUC. Intervals are not corrected for the "
        f"number of comparisons: of {len(found) * len(COMPARED)}, one in twenty excludes 0 by chance alone."
    ]
    left = sorted({file.facts["model"] for file in files} - {first, *(each.second for each in found)})
    paragraphs += [f"Tested on other presentations and not compared: {', '.join(left)}."] if left else []
    rows = [("other model", "cell", *COMPARED, "interval excludes 0")]
    for each in found:
        values = {name: (each.differences[name].value, each.differences[name].interval) for name in COMPARED}
        apart = [name for name, (_, ends) in values.items() if not ends.low <= 0 <= ends.high]
        figures = (
            f"{100 * value:+.2f} ({100 * ends.low:+.1f} to {100 * ends.high:+.1f})" for value, ends in values.values()
        )
        rows.append((each.second, each.cell, *figures, ", ".join(apart) or "neither"))
    table = Table(tuple(rows), f"{first} minus another model (95 % interval)", heads=2)
    return Section(title, tuple(paragraphs), tables=(table,))


def _species(lines: Sequence[Line]) -> Section:
    rows = [("model", "cell", "species", f"APCER @ {SOURCE}")]
    rows += [(line.model, line.cell, name, shown(rate)) for line in lines for name, rate in line.species.items()]
    title = f"APCER of each attack species (PAIS) at the source threshold. {PERCENT}"
    return Section("By attack species", tables=(Table(tuple(rows), title, heads=3),))


def _domains(files: Sequence[ScoreFile]) -> Section:
    """Split every file by the domain of its rows; a domain without one of the classes has no error rates."""
    parts, left_out = [], set()
    for file in files:
        for domain in sorted({row.domain for row in file.rows}):
            rows = tuple(row for row in file.rows if row.domain == domain)
            part = ScoreFile(rows, file.facts | {"cell": f"{file.facts['cell']}, on {domain}"})
            if len(part.liveness(Label.LIVE)) and part.attacks():
                parts.append(part)
            else:
                left_out.add(domain)
    paragraphs = [words()["domains"]["each_line"]]
    if left_out:
        paragraphs.append(f"Without answers of both classes and so without rates: {', '.join(sorted(left_out))}.")
    lines = table_lines(parts, "sources", rounds=0, mean=False)
    tables = (_table(lines, DOMAIN_NAMES, "By domain"),) if lines else ()
    return Section("By domain", tuple(paragraphs), tables=tables)


def _counts(files: Sequence[ScoreFile]) -> Section:
    """Say how far the numbers of presentations and subjects reach, and why some gave no answer."""
    rows, warnings, seen = [COUNTS_HEAD], [], set()
    for file in first_seeds(files):
        cell = str(file.facts["cell"])
        for kind, presented, subjects in _groups(file) if cell not in seen else ():
            bounds = [f"{100 * metrics.rule_of_three(count):.1f}" for count in (presented, subjects)]
            rows.append((cell, kind, str(presented), str(subjects), *bounds))
            warnings += _warnings(f"{cell}, {kind}", presented, subjects)
        seen.add(cell)
    tables = [Table(tuple(rows), "Presentations, and the rate that zero errors would still allow, percent", heads=2)]
    tables += _reasons(files)
    return Section("How far the counts reach", (words()["counts"]["rule"],), tuple(warnings), tuple(tables))


def _warnings(what: str, presented: int, subjects: int) -> list[str]:
    found, bound = [], metrics.rule_of_three(presented)
    if bound > SHOWS:
        found.append(
            f"{what}: {presented} presentations are few. Zero errors among them would still allow a rate of "
            f"{100 * bound:.1f} %, and 1 % of them is {presented * SHOWS:.1f}: a rate near 1 % rests on single cases."
        )
    if subjects < FEW_SUBJECTS:
        found.append(f"{what}: {subjects} subjects are few. Intervals that redraw subjects are too narrow here.")
    return found


def _groups(file: ScoreFile) -> list[tuple[str, int, int]]:
    """Return live and each attack species with its presentations and its subjects."""
    groups = defaultdict(list)
    for row in sorted(file.rows, key=lambda row: (row.label is Label.ATTACK, row.attack_type)):
        groups["live" if row.label is Label.LIVE else f"attack, {row.attack_type}"].append((row.domain, row.subject))
    return [(kind, len(subjects), len(set(subjects))) for kind, subjects in groups.items()]


def _reasons(files: Sequence[ScoreFile]) -> list[Table]:
    """Count the reasons of non-response, if any; models that agree share a row."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in first_seeds(files):
        counts = Counter((row.label.value, row.reason.partition(":")[0]) for row in file.rows if row.reason)
        for key, count in sorted(counts.items()):
            found[str(file.facts["cell"]), *key, str(count)].append(str(file.facts["model"]))
    head = ("cell", "class", "reason", "presentations", "models")
    rows = [(*key, ", ".join(models)) for key, models in found.items()]
    return [Table((head, *rows), "Presentations without a response, lowest seed of each model", 3)] if rows else []


def _calibration(files: Sequence[ScoreFile]) -> Section:
    paragraphs = [words()["pictures"]["calibration"]]
    others = sorted({file.facts["model"] for file in first_seeds(files) if not is_probability(file)})
    if others:
        paragraphs.append(f"Their liveness leaves 0..1 and is no probability: {', '.join(others)}.")
    return Section("Calibration", tuple(paragraphs), pictures=reliability_pictures(files))


def _cases(files: Sequence[ScoreFile], sheet: Sheet | None) -> Section:
    found = [(file, case) for file in files for case in best_and_worst(file)]
    head = ("cell", "case", "domain", "liveness", "at the source threshold", "sample")
    table = Table((head, *(case_row(*each) for each in found)), "Best and worst cases", heads=2)
    pictures = tuple(case_picture(*each, sheet) for each in found) if sheet else ()
    about = f"Presentations that {files[0].facts['model']} judged best and worst, lowest seed. "
    paragraphs = (about + words()["cases"]["named"], words()["cases"]["shown" if sheet else "not_shown"])
    return Section("Best and worst cases", paragraphs, tables=(table,), pictures=pictures)


def _origin(files: Sequence[ScoreFile]) -> Section:
    """Say of each score file what it was made from; seeds that differ in nothing else share a row."""
    rows: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in sorted(files, key=lambda file: (*place_of(file), file.facts["seed"])):
        facts = tuple(_fact(file.facts.get(name)) for name in FACTS)
        fixed = CROSS_FITTED if is_cross_fitted(file) else f"{file.threshold(SOURCE):.4g}"
        rows[*place_of(file), *facts].append(f"{file.facts['seed']}: {fixed}")
    head = ("protocol", "cell", "model", *FACTS, f"seed: {SOURCE}")
    body = [(*key, "; ".join(seeds)) for key, seeds in rows.items()]
    origins = sorted({ORIGIN if is_cross_fitted(f) else str(f.facts["thresholds"][SOURCE]["origin"]) for f in files})
    paragraphs = (f"Thresholds were fixed by: {'; '.join(origins)}.", words()["origin"]["dash"])
    return Section("What this was made from", paragraphs, tables=(Table((head, *body), "Facts of the score files", 3),))


def _fact(value: object) -> str:
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
