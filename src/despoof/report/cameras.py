"""Score files of folds over cameras -> the sections of a report on cameras that no model saw."""

from collections.abc import Sequence

import numpy as np

from despoof.errors import InputError
from despoof.evaluation import groups
from despoof.evaluation.cameras import HTER, NOTES, Cameras, Rows, all_tables, on_cameras
from despoof.evaluation.crossfit import complete, cross_fitted
from despoof.evaluation.scores import ScoreFile
from despoof.faces.store import StoredSample
from despoof.report.figures import COLOURS, new_figure, png
from despoof.report.page import Picture, Section, Table

MARKS = "os^Dv<>Pp*hX"
HEADS = {"point", "species", "camera", "group"}  # first word of a third column that names a row


def camera_sections(
    files: Sequence[ScoreFile], first: str, *, rounds: int = 1000, rows: Sequence[StoredSample] = ()
) -> list[Section]:
    """Return the sections of test score files of folds; what is not whole is named and left out.

    `first` is compared with all others; `rows` are of the store that was scored, to tell groups apart.
    """
    kept, left_out = complete(files)
    if not kept:
        raise InputError(f"no model has all its folds: {left_out[0]}")
    models = [on_cameras(each, rounds=rounds) for each in cross_fitted(kept)]
    compared = first if rounds and len(models) > 1 else None
    tables = tuple(_table(title, rows) for title, rows in all_tables(models, compared).items() if len(rows) > 1)
    found = [Section("Cameras that no model saw", (_plain(NOTES), *left_out), tables=tables)]
    pictures = tuple(_picture(models, first, protocol) for protocol in _protocols(models))
    found.append(Section("HTER of each camera", pictures=pictures))
    grouped = groups.group_table(models, rows)
    if len(grouped) > 1:
        far = tuple(groups.far_groups(grouped, first)) or (f"{first}: no group's BPCER is far from the others'.",)
        title = "Groups of live presentations"
        found.append(Section(title, (_plain(groups.NOTES),), far, (_table(title, grouped),)))
    return found


def hter_figure(models: Sequence[Cameras]):  # type: ignore[no-untyped-def]  # matplotlib is optional
    """Draw HTER of each camera, a row each, with a mark for each model; the first model's worst camera on top."""
    order = np.argsort(models[0].figures[HTER].values.mean(0))
    figure = new_figure(7, 1.5 + 0.22 * len(order) + 0.17 * len(models))
    axes = figure.subplots()
    for i, each in enumerate(models):
        values = 100 * each.figures[HTER].values.mean(0)
        places = [list(models[0].names).index(name) for name in each.names]
        height = np.argsort(order)[places]
        axes.plot(values, height, MARKS[i % len(MARKS)], color=COLOURS[i % len(COLOURS)], markersize=5,
                  label=f"{each.judged.model}, mean {np.nanmean(values):.1f}")  # fmt: skip
    axes.set_yticks(range(len(order)), [models[0].names[i] for i in order], fontsize=7)
    axes.set(xlabel=f"{HTER}, percent", xlim=(-2, None))
    axes.grid(linewidth=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _protocols(models: Sequence[Cameras]) -> list[str]:
    return sorted({each.judged.protocol for each in models})


def _picture(models: Sequence[Cameras], first: str, protocol: str) -> Picture:
    shown = sorted(models, key=lambda each: each.judged.model != first)
    shown = [each for each in shown if each.judged.protocol == protocol]
    shown = [each for each in shown if each.names == shown[0].names]
    means = ", ".join(f"{each.judged.model} {100 * each.mean(each.figures[HTER]).value:.1f} %" for each in shown)
    safe = "".join(sign if sign.isalnum() else "-" for sign in protocol)
    words = f"A dot for each camera and model. Means: {means}."
    return Picture(png(hter_figure(shown)), f"{HTER} of each camera, {protocol}", words, f"cameras-{safe}")


def _table(title: str, rows: Rows) -> Table:
    heads = 3 if rows[0][2].partition(",")[0] in HEADS else 2  # after protocol and model
    return Table(tuple(rows), f"{title}. Percent", heads=heads)


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())
