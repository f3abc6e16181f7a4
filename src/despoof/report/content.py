"""Score files -> what a report says: both profiles, breakdowns, curves, cases, and what figures do not show.

Terms are those of ISO/IEC 30107-3; a report of this kind certifies nothing and says so first.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from despoof import metrics
from despoof.data.sample import Label
from despoof.errors import InputError
from despoof.evaluation.difference import COMPARED, Comparison, compare
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import FIXED, NOTES, ORACLE, SOURCE, Line, is_probability, shown, table_lines
from despoof.report.cases import Sheet, best_and_worst, case_picture, case_row
from despoof.report.figures import curve_pictures, first_seeds, place_of, reliability_pictures, score_pictures
from despoof.report.page import Section, Table

NO_CERTIFICATION = (
    "This report is no certification. Only an accredited laboratory can test a whole product, a named version of "
    "device, model and threshold, under ISO/IEC 30107-3, and that standard sets no pass mark."
)
TERMS = (
    "bona fide presentation: what is called live here; attack presentation: an attack.",
    "PAI species (PAIS): the kind of attack instrument, here the attack type of a sample.",
    "APCER: share of attack presentations of one species that were accepted; the single figure is the largest over "
    "species. A rate of all attacks together is not APCER and is called pooled.",
    "BPCER: share of bona fide presentations that were rejected.",
    "APNRR, BPNRR: share of attack and of bona fide presentations without a response, such as no face found.",
    "BPCER10, BPCER20, BPCER100: BPCER where APCER is at most 10, 5 and 1 %.",
    "D-EER: where the largest APCER and BPCER are equal. HTER, EER, AUC, ECE and TPR at FPR are not of the standard; "
    "they are here for comparison with papers.",
    "IAPAR and other rates of a whole system need a comparison subsystem and are not measured.",
)
LIMITS = (
    "Other cameras, people, light and attack instruments than those tested. Rates on another capture domain are often "
    "several times as high.",
    "Attack species that are not in the tables. Nothing follows for them from those that are.",
    "Injection (a virtual camera, a capture stick, a replayed call): it never meets a camera, and passive detection is "
    "blind to it.",
    "Adversarial inputs, and attackers who try again after a refusal. Presentations here are single tries.",
    "Error rates by age, sex and skin tone: score files hold no such labels.",
    "The spread between collections of data. Intervals hold for drawing people like these again, and deviations over "
    "seeds for training again; neither holds for another data set.",
    "What choosing costs. Whoever looks at a test set many times and keeps the best has fitted to it; the paper "
    "profile does so with the threshold, and a report cannot see how often a model was looked at.",
    "Time, size and energy; the quality of the capture process; and how people get on with it.",
)
HONEST_TABLES = {
    "at thresholds fixed before the test": (
        f"HTER @ {SOURCE}", f"APCER max @ {SOURCE}", f"BPCER @ {SOURCE}", f"HTER @ {FIXED}", "APNRR", "BPNRR",
    ),
    "BPCER at a fixed APCER, and the mirror": (
        "BPCER @ APCER 10 %", "BPCER @ APCER 5 %", "BPCER @ APCER 1 %",
        "APCER @ BPCER 10 %", "APCER @ BPCER 5 %", "APCER @ BPCER 1 %",
    ),
    "over all thresholds, and calibration": ("EER", "D-EER", "AUC", "ECE", f"HTER @ {ORACLE}"),
}  # fmt: skip
DOMAIN_NAMES = (f"HTER @ {SOURCE}", f"APCER max @ {SOURCE}", f"BPCER @ {SOURCE}", "AUC", "APNRR", "BPNRR")
FEW_SUBJECTS = 10  # under about this a bootstrap of subjects is too narrow
SHOWS = 0.01  # the rate that a species or class should have presentations enough to show
FACTS = (
    "sources",
    "target",
    "unit",
    "selection",
    "data_hash",
    "config_hash",
    "training_hash",
    "counterparts",
    "commit",
)


def report_sections(
    files: Sequence[ScoreFile], *, rounds: int = 1000, model: str | None = None, sheet: Sheet | None = None
) -> list[Section]:
    """Return the whole report of test score files, both profiles.

    `model` is compared with all others and shown in cases; the first in alphabetic order if left out. `sheet`
    turns the path of a sample into the PNG *face | counterpart | cue*, and is handed over only where the
    licence of the data allows to show people.
    """
    if not files:
        raise InputError("no score files; expected at least one test file. Run `despoof evaluate` first.")
    files = _cells_apart(files)
    chosen = model or min(file.facts["model"] for file in files)
    honest = table_lines(files, "sources", rounds=rounds)
    return [
        Section("What this is", (NO_CERTIFICATION, _measured(files))),
        _honest(honest),
        _paper(table_lines(files, "target", rounds=rounds)),
        _differences(files, chosen, compare(files, chosen, rounds=rounds)),
        _species(honest),
        _domains(files),
        _counts(files),
        Section("Curves", (CURVES,), pictures=curve_pictures(files)),
        Section("Scores", (SCORES,), pictures=score_pictures(files)),
        _calibration(files),
        _cases([file for file in first_seeds(files) if file.facts["model"] == chosen], sheet),
        Section("Terms of ISO/IEC 30107-3", points=TERMS),
        Section("What these figures do not show", points=LIMITS),
        _origin(files),
    ]


CURVES = "Live against attacks pooled over species; one seed, the lowest, of each model. The axes of DET are warped."
SCORES = "Liveness of live (filled) and of each attack species (outlined). Dashed: the threshold fixed on the sources."


def _cells_apart(files: Sequence[ScoreFile]) -> list[ScoreFile]:
    """Where there are several protocols, put their names before those of their cells."""
    if len({file.facts["protocol"] for file in files}) < 2:
        return list(files)
    return [replace(file, facts=file.facts | {"cell": ": ".join(place_of(file)[:2])}) for file in files]


def _measured(files: Sequence[ScoreFile]) -> str:
    names = {name: sorted({str(file.facts[name]) for file in files}) for name in ("protocol", "model", "cell", "seed")}
    parts = [f"{name}s: {', '.join(values)}" for name, values in names.items()]
    units = sorted({str(file.facts.get("unit", "not recorded")) for file in files})
    return (
        f"Made from {len(files)} score files. {'; '.join(parts)}. One score per: {', '.join(units)}. Both profiles are "
        "computed from the same scores; what they do not show is said below."
    )


def _honest(lines: Sequence[Line]) -> Section:
    paragraphs = tuple(" ".join(part.split()) for part in NOTES.replace("`", "").split("\n\n"))
    tables = [_table(lines, names, f"Honest profile: {title}") for title, names in HONEST_TABLES.items()]
    return Section("Honest profile: thresholds from the sources", paragraphs, tables=tuple(tables))


def _paper(lines: Sequence[Line]) -> Section:
    words = "What most papers print. No deployment can choose its threshold this way; not to be ranked with the above."
    table = _table(lines, list(lines[0].figures), "Paper profile, from the same score files")
    return Section("Paper profile: thresholds from the test scores themselves", (words,), tables=(table,))


def _table(lines: Sequence[Line], names: Sequence[str], words: str) -> Table:
    """Return one row per line; counts stand beside every rate."""
    head = ("model", "cell", "seeds", "live", "attacks", *names)
    rows = [head]
    for line in lines:
        counts = (str(line.seeds), str(line.live), str(line.attack))
        rows.append((line.model, line.cell, *counts, *(shown(line.figures[name]) for name in names)))
    return Table(tuple(rows), f"{words}. Percent: mean ± sd over seeds (95 % interval)", heads=2)


def _differences(files: Sequence[ScoreFile], first: str, found: Sequence[Comparison]) -> Section:
    title, others = "Difference between models", sorted({file.facts["model"] for file in files} - {first})
    if not found:
        return Section(title, (f"Nothing was compared with {first}: no other model, or no rounds of the bootstrap.",))
    words = (
        f"{first} minus another model, means over seeds, in percentage points. Paired bootstrap: both models see the "
        "same redrawn subjects. Below 0 is better for an HTER, above 0 for an AUC. Intervals are not corrected for the "
        f"number of comparisons: of {len(found) * len(COMPARED)}, one in twenty excludes 0 by chance alone."
    )
    left = sorted(set(others) - {each.second for each in found})
    paragraphs = (words, f"Tested on other presentations and not compared: {', '.join(left)}.") if left else (words,)
    rows = [("other model", "cell", *COMPARED, "interval excludes 0")]
    for each in found:
        apart = [name for name in COMPARED if not _holds_zero(each, name)]
        figures = [_points(each, name) for name in COMPARED]
        rows.append((each.second, each.cell, *figures, ", ".join(apart) or "neither"))
    return Section(title, paragraphs, tables=(Table(tuple(rows), f"{first} minus another model (95 % interval)", 2),))


def _holds_zero(each: Comparison, name: str) -> bool:
    interval = each.differences[name].interval
    return interval.low <= 0 <= interval.high


def _points(each: Comparison, name: str) -> str:
    found = each.differences[name]
    low, high = 100 * found.interval.low, 100 * found.interval.high
    return f"{100 * found.value:+.2f} ({low:+.1f} to {high:+.1f})"


def _species(lines: Sequence[Line]) -> Section:
    rows = [("model", "cell", "species", f"APCER @ {SOURCE}")]
    for line in lines:
        rows += [(line.model, line.cell, name, shown(fig)) for name, fig in line.species.items()]
    words = "APCER of each attack species (PAIS) at the source threshold. Percent: mean ± sd over seeds (95 % interval)"
    return Section("By attack species", tables=(Table(tuple(rows), words, heads=3),))


def _domains(files: Sequence[ScoreFile]) -> Section:
    """Split every file by the domain of its rows; a domain without one of the classes has no error rates."""
    parts, left_out = [], set()
    for file in files:
        for domain in sorted({row.domain for row in file.rows}):
            rows = tuple(row for row in file.rows if row.domain == domain)
            part = ScoreFile(rows, file.facts | {"cell": f"{file.facts['cell']}, on {domain}"})
            whole = len(part.liveness(Label.LIVE)) and part.attacks()
            parts += [part] if whole else []
            left_out |= set() if whole else {domain}
    paragraphs = ["Each line is one domain within one cell, at the threshold fixed on the sources of the cell."]
    if left_out:
        paragraphs.append(f"Without answers of both classes and so without rates: {', '.join(sorted(left_out))}.")
    lines = [_only(line) for line in table_lines(parts, "sources", rounds=0, mean=False)]
    tables = (_table(lines, DOMAIN_NAMES, "By domain"),) if lines else ()
    return Section("By domain", tuple(paragraphs), tables=tables)


def _only(line: Line) -> Line:
    return replace(line, figures={name: line.figures[name] for name in DOMAIN_NAMES})


def _counts(files: Sequence[ScoreFile]) -> Section:
    """Say how far the numbers of presentations and subjects reach, and why some gave no answer."""
    rows, warnings = [COUNTS_HEAD], []
    for cell, file in _one_per_cell(files).items():
        for kind, presented, subjects in _groups(file):
            bounds = [f"{100 * metrics.rule_of_three(count):.1f}" for count in (presented, subjects)]
            rows.append((cell, kind, str(presented), str(subjects), *bounds))
            warnings += _warnings(f"{cell}, {kind}", presented, subjects)
    tables = [Table(tuple(rows), "Presentations, and the rate that zero errors would still allow, percent", heads=2)]
    reasons = _reasons(files)
    tables += [reasons] if reasons else []
    return Section("How far the counts reach", (COUNTS,), tuple(warnings), tuple(tables))


COUNTS_HEAD = ("cell", "what", "presentations", "subjects", "allowed, by presentations", "allowed, by subjects")
COUNTS = (
    "Zero errors in n independent presentations exclude, at 95 %, only rates above 3 / n (rule of three). "
    "Presentations of one subject are not independent; where all of one subject's err together, the number of "
    "subjects decides."
)


def _warnings(what: str, presented: int, subjects: int) -> list[str]:
    found, bound = [], metrics.rule_of_three(presented)
    if bound > SHOWS:
        found.append(
            f"{what}: {presented} presentations are few. Zero errors among them would still allow a rate of "
            f"{100 * bound:.1f} %, and 1 % of them is {presented * SHOWS:.1f}: a rate near 1 % hangs on single cases."
        )
    if subjects < FEW_SUBJECTS:
        found.append(f"{what}: {subjects} subjects are few. Intervals that redraw subjects are too narrow here.")
    return found


def _one_per_cell(files: Sequence[ScoreFile]) -> dict[str, ScoreFile]:
    found: dict[str, ScoreFile] = {}
    for file in first_seeds(files):
        found.setdefault(str(file.facts["cell"]), file)
    return found


def _groups(file: ScoreFile) -> list[tuple[str, int, int]]:
    """Return live and each attack species with its presentations and its subjects."""
    groups = defaultdict(list)
    for row in sorted(file.rows, key=lambda row: (row.label is Label.ATTACK, row.attack_type)):
        groups["live" if row.label is Label.LIVE else f"attack, {row.attack_type}"].append((row.domain, row.subject))
    return [(kind, len(subjects), len(set(subjects))) for kind, subjects in groups.items()]


def _reasons(files: Sequence[ScoreFile]) -> Table | None:
    """Count the reasons of non-response; models that agree share a row."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in first_seeds(files):
        counts = Counter((row.label.value, row.reason.partition(":")[0]) for row in file.rows if row.reason)
        for key, count in sorted(counts.items()):
            found[str(file.facts["cell"]), *key, str(count)].append(str(file.facts["model"]))
    head = ("cell", "class", "reason", "presentations", "models")
    rows = [(*key, ", ".join(models)) for key, models in found.items()]
    return Table((head, *rows), "Presentations without a response, lowest seed of each model", 3) if rows else None


def _calibration(files: Sequence[ScoreFile]) -> Section:
    paragraphs = [
        "How often a presentation of some liveness is live, against that liveness. Larger marks hold more. Scores "
        "in 0..1 are read as probabilities; whether they were meant so, a score file does not say."
    ]
    others = sorted({file.facts["model"] for file in first_seeds(files) if not is_probability(file)})
    if others:
        paragraphs.append(f"Their liveness leaves 0..1 and is no probability: {', '.join(others)}.")
    return Section("Calibration", tuple(paragraphs), pictures=reliability_pictures(files))


def _cases(files: Sequence[ScoreFile], sheet: Sheet | None) -> Section:
    rows, pictures = [("cell", "case", "domain", "liveness", "at the source threshold", "sample")], []
    for file in files:
        for case in best_and_worst(file):
            rows.append(case_row(file, case))
            pictures += [case_picture(file, case, sheet)] if sheet else []
    words = [
        f"Presentations that {files[0].facts['model']} judged best and worst, lowest seed. A sample is named by a hash "
        "of its path, which may name a person; in a store of images it is the name of the sample's files."
    ]
    words += [SHOWN if sheet else NOT_SHOWN]
    table = Table(tuple(rows), "Best and worst cases", heads=2)
    return Section("Best and worst cases", tuple(words), tables=(table,), pictures=tuple(pictures))


SHOWN = (
    "Pictures, from left to right: face, counterpart (what a real face would have looked like), cue (what of the face "
    "the counterpart lacks; grey is nothing). Who made this report stated that the licence of the data allows to show "
    "them; whoever passes it on has to know that licence too."
)
NOT_SHOWN = "No picture is shown: nobody stated that the licence of the data allows to show the people in it."


def _origin(files: Sequence[ScoreFile]) -> Section:
    """Say of each score file what it was made from; seeds that differ in nothing else share a row."""
    rows: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in sorted(files, key=lambda file: (*place_of(file), file.facts["seed"])):
        facts = tuple(_fact(file.facts.get(name)) for name in FACTS)
        rows[*place_of(file), *facts].append(f"{file.facts['seed']}: {file.threshold(SOURCE):.4g}")
    head = ("protocol", "cell", "model", *FACTS, f"seed: {SOURCE}")
    body = [(*key, "; ".join(seeds)) for key, seeds in rows.items()]
    origins = sorted({str(file.facts["thresholds"][SOURCE]["origin"]) for file in files})
    paragraphs = (
        f"Thresholds were fixed by: {'; '.join(origins)}.",
        "A dash: the score file does not say. Scores, and not this page, are what to publish with a figure.",
    )
    return Section("What this was made from", paragraphs, tables=(Table((head, *body), "Facts of the score files", 3),))


def _fact(value: object) -> str:
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
