"""A run of one's own -> rows beside the published ones, where it was a run of their protocol."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import ORACLE, SOURCE, table_lines
from despoof.published.registry import UNKNOWN, Convention, ProtocolFacts, PublishedFigure, PublishedResult

OWN_METRICS = {"hter": "", "auc": "AUC", "tpr_at_fpr1": "TPR @ FPR 1 %"}  # metric -> column of the tables
SELECTION_WORDS = {"last step": "source-validation"}  # of protocols -> of the registry, which does not part the two


def own_results(files: Sequence[ScoreFile], protocol: ProtocolFacts) -> list[PublishedResult]:
    """Return two rows for each model of a run, one per threshold source, where it was a run of the protocol.

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
            head = (protocol, model, "this run", replace(convention, threshold=threshold), tuple(OWN_METRICS))
            cells, made = _own_figures(group, names, source, f"HTER @ {column}"), f"threshold from the {source}"
            found.append(PublishedResult(*head, cells, {}, ("score files of this run",), made, own=True))
    return found


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
            metric: PublishedFigure(100 * figure.value, None if figure.sd is None else 100 * figure.sd)
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
