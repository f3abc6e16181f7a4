"""The study as a page: what follows, one table, its picture. Needs the extra `report` for the picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from despoof.evaluation.cameras import AUC, HTER
from despoof.evaluation.tables import markdown
from despoof.runs.folder import atomic_path, write_text
from despoof.studies.carriers.judging import GIVEN
from despoof.studies.carriers.reading import FACES
from despoof.studies.carriers.study import SHIPS, Form, Found

PLACES = {"alone": "alone", FACES: "beside the face", SHIPS: "beside what ships"}
FIGURES = ("alone: HTER", "AUC", "beside the face: HTER", "AUC", "beside what ships: HTER", "AUC")
COLUMNS = ("counterpart", "cue", "numbers", "ms", "GFLOP", *FIGURES, "changed by the opposite cue")
ABOUT = """Percent: mean over cameras and seeds (95 % interval over cameras and people). Each camera is judged by
kernel ridge regression that learned nothing of it, at a threshold from the other folds. Beside the face (the backbone's
statistics) and beside what ships (all that the detector reads): less what these reach without a cue, in the same draws.
ms and GFLOP: what a cue takes beside what its face takes, one thread, in batches of 32. Last column: decisions that
differ, beside what ships, where a capture is given the cue of another of the other label."""


def write_sheet(out: Path, found: Found) -> str:
    """Write report.md and report.png below `out`; return the text."""
    own = [(name, *(one.tenths() for one in each.values())) for name, each in found.references.items()]
    alike = ", ".join(f"{form} {each:.2f}" for form, each in found.alike.items())
    best = min(found.forms, key=lambda form: form.minus[SHIPS][HTER].value)
    given = [
        (GIVEN[name], *map(str, each[:3]), f"{each.hter:.1f}") for name, each in best.exchanged[SHIPS].items()
    ]  # fmt: skip
    parts = [
        conclusion(found.forms),
        f"{len(found.captures)} captures of {len({row.sample.domain for row in found.captures})} cameras.",
        " ".join(ABOUT.split("\n")),
        markdown(("without a cue", HTER, AUC), own),
        markdown(COLUMNS, [_row(form) for form in found.forms]),
        _against(found.forms),
        f"Correlation of two draws of noise, of standardised numbers: {alike}." if alike else "",
        f"The lowest error beside what ships has {best.cue} ({best.counterpart}). Given instead of its cue:",
        markdown(("given instead", "decisions changed", "of live", "of attacks", "HTER"), given),
    ]
    text = "\n\n".join(part.strip() for part in parts if part) + "\n"
    write_text(out / "report.md", text)
    _draw(found.forms, out / "report.png")
    return text


def conclusion(forms: Sequence[Form]) -> str:
    """Return which forms are better, and worse, beyond their interval, beside what ships and beside the face."""
    lines = []
    for place in (SHIPS, FACES):
        better = [f"{form.cue} ({form.counterpart})" for form in forms if form.better(place)]
        worse = sum(form.minus[place][HTER].low > 0 or form.minus[place][AUC].high < 0 for form in forms)
        lines.append(
            f"{PLACES[place].capitalize()}, {len(better)} of {len(forms)} forms are better beyond the interval of HTER "
            f"or AUC{': ' + '; '.join(better) if better else ''}; {worse} are worse. Without any effect about one in "
            "twenty would be better, and as many worse."
        )
    return "\n".join(lines)


def _against(forms: Sequence[Form]) -> str:
    """Return a table of other generators' forms less the first generator's; nothing where there are none."""
    rows = [
        (form.counterpart, form.cue, *(each.tenths("+") for at in form.against.values() for each in at.values()))
        for form in forms
        if form.against
    ]
    own = forms[0].counterpart
    return (
        f"Less the same cue by {own}, in the same draws:\n\n" + markdown((*COLUMNS[:2], *FIGURES), rows) if rows else ""
    )


def _row(form: Form) -> tuple[str, ...]:
    figures = [each.tenths() for each in form.figures["alone"].values()]
    figures += [each.tenths("+") for place in (FACES, SHIPS) for each in form.minus[place].values()]
    changed = form.exchanged[SHIPS]["opposite"].all
    cost = (str(form.numbers), f"{form.took:.0f}", f"{form.operations:.2f}")
    return form.counterpart, form.cue, *cost, *figures, f"{100 * changed.count / changed.n:.1f} %"


def _draw(forms: Sequence[Form], path: Path) -> None:
    """Draw HTER alone, and its difference beside the face and beside what ships, with intervals."""
    from despoof.report.figures import COLOURS, new_figure, png

    figure, places = new_figure(11, 1.5 + 0.22 * len(forms)), np.arange(len(forms))
    for axes, (place, title), colour in zip(figure.subplots(1, 3, sharey=True), PLACES.items(), COLOURS, strict=False):
        every = [form.figures[place] if place == "alone" else form.minus[place] for form in forms]
        value, low, high = np.array([(each[HTER].value, each[HTER].low, each[HTER].high) for each in every]).T
        axes.barh(places, value, color=colour, alpha=0.6)
        spread = np.maximum(0, [value - low, high - value])
        axes.errorbar(value, places, xerr=spread, linestyle="", color="black", linewidth=0.8)
        axes.axvline(0, color="black", linewidth=0.6)
        axes.set_title(f"HTER {title}{'' if place == 'alone' else ', less it'}", fontsize=9)
        axes.grid(axis="x", linewidth=0.3)
        axes.set_yticks(places, [f"{form.counterpart}: {form.cue}" for form in forms], fontsize=7)
    axes.invert_yaxis()
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(figure))
