"""What disturbances do, as a page: tables for each judge and a curve for each family. Pictures need the extra `report`.

OUT/report.md, OUT/report.html, OUT/pictures/   the page
OUT/stability.json                              its figures
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from despoof.data.sample import Label
from despoof.metrics import proportion_interval
from despoof.pipeline import Guard
from despoof.report.figures import COLOURS, STROKES, new_figure, png
from despoof.report.page import Picture, Section, Table, write_report
from despoof.runs.folder import write_json
from despoof.studies.stability.disturbances import DISTURBANCES
from despoof.studies.stability.study import FORMAT, PLAIN, Answers, Captures, Effect, Judged, effects
from despoof.studies.tables import Share
from despoof.verdict import Decision

CURVES = {  # field of an effect -> what its curve shows
    "decisions_changed": "decisions changed",
    "live_refused": "live no longer LIVE",
    "attacks_passed": "attacks that became LIVE",
}
COLUMNS = 3  # of small axes in a picture
HEAD = ("disturbance", "decisions changed", "no longer judged", "live refused", "attacks passed", "change of liveness")
ABOUT = (
    "Each capture is judged as it is and again after each disturbance. Decisions changed: of all captures. No longer "
    "judged: of those that were. Live refused: of live that were LIVE. Attacks passed: of attacks that were not LIVE. "
    "Change of liveness: mean of its size where there is one before and after. Intervals are 95 %, of counts exact; "
    "they take captures as independent, and captures of one camera are not.",
    "The guard has a gate and four decisions. The public models see the picture trimmed and upright as the guard does, "
    "and have neither: theirs is LIVE from the threshold of equal error on these captures as they are, which no "
    "deployment can know, and ATTACK below. So they never change to UNCERTAIN, and refuse only where no face is found.",
    "face: width of the face's box, the whole picture resized. cut: a random share of each side, at most. coding, "
    "detail, light, colour: of the picture's own pixels; % white: share of the face brought to white. turn: in the "
    "same frame, or by quarters. border: the same pixels inside a border, as wide as a share of the picture on each "
    "side; dim: nearly black with noise, as a dark room; picture: another live capture's.",
)


def write_sheet(out: Path, guard: Guard, captures: Captures, judged: Judged) -> list[tuple[str, ...]]:
    """Write page, pictures and figures below `out`; return the short table, in percent, its head first."""
    found = {name: effects(captures, answers) for name, answers in judged.items()}
    short = short_table(found)
    sections = [
        Section("What this is", (_counts(guard, captures), *ABOUT), tables=(_plain(captures, judged),)),
        Section("In short", tables=(Table(tuple(short), "Percent: changed, live refused, attacks passed"),)),
        Section("Curves", pictures=tuple(_picture(found, field, title) for field, title in CURVES.items())),
        *(Section(f"By {name}", tables=(_table(name, each),)) for name, each in found.items()),
    ]
    write_report(out, "How steady verdicts are", sections)
    values = {name: [_values(effect) for effect in each] for name, each in found.items()}
    facts = {"format": FORMAT, "weights": guard.weights, "engine": guard.engine_name, "thresholds": guard.thresholds}
    facts |= {"captures": len(captures.samples), "seed": captures.seed, "as captured": _decisions(captures, judged)}
    write_json(out / "stability.json", facts | {"effects": values})
    return short


def short_table(found: Mapping[str, Sequence[Effect]]) -> list[tuple[str, ...]]:
    """Return a row for each disturbance: what it changes, refuses and lets pass, in percent, judge by judge."""
    rows = [("disturbance", *(f"{judge}: {word}" for judge in found for word in ("changed", "refused", "passed")))]
    for effects_ in zip(*found.values(), strict=True):
        cells = [_percent(getattr(each, field)) for each in effects_ for field in CURVES]
        rows.append((effects_[0].disturbance, *cells))
    return rows


def _percent(share: Share) -> str:
    return f"{100 * share.count / share.n:.1f}" if share.n else "–"


def _counts(guard: Guard, captures: Captures) -> str:
    domains, live = {sample.domain for sample in captures.samples}, int(captures.live.sum())
    weights = ", ".join(f"{part} {hash_}" for part, hash_ in guard.weights.items())
    low, high = guard.thresholds
    return (
        f"{len(captures.samples)} captures of {len(domains)} domains, {live} live; seed {captures.seed}. Weights: "
        f"{weights}; computed by {guard.engine_name}; point {guard.point}: attack below {low:.3f}, live from "
        f"{high:.3f}."
    )


def _decisions(captures: Captures, judged: Judged) -> dict[str, dict[str, dict[str, int]]]:
    """Count the decisions on captures as they are, by judge and label."""
    groups = {Label.LIVE.value: captures.live, Label.ATTACK.value: ~captures.live}
    return {
        judge: {
            label: {each.value: int((answers[PLAIN].decisions[of] == each.value).sum()) for each in Decision}
            for label, of in groups.items()
        }
        for judge, answers in judged.items()
    }


def _plain(captures: Captures, judged: Mapping[str, Mapping[str, Answers]]) -> Table:
    rows = [
        (judge, label, *map(str, counts.values()))
        for judge, labels in _decisions(captures, judged).items()
        for label, counts in labels.items()
    ]
    return Table(
        (("judge", "shown", *(each.value for each in Decision)), *rows), "Decisions on captures as they are", 2
    )


def _table(judge: str, found: Sequence[Effect]) -> Table:
    rows = [tuple(str(each) for each in vars(effect).values()) for effect in found]
    return Table((HEAD, *rows), f"{judge}: verdicts under each disturbance")


def _values(effect: Effect) -> dict[str, Any]:
    """Return an effect as JSON values; NaN, which JSON has not, as None."""
    values = asdict(effect)
    for share in (values[name] for name in (*CURVES, "no_longer_judged")):
        if share["n"]:
            share |= asdict(proportion_interval(share["count"], share["n"]))
    change = values["change_of_liveness"]
    return values | {"change_of_liveness": {k: None if np.isnan(v) else v for k, v in change.items()}}


def _picture(found: Mapping[str, Sequence[Effect]], field: str, title: str) -> Picture:
    """Draw one field over the strengths of each family, a line for each judge, with intervals."""
    families: dict[str, dict[str, str]] = {}  # family -> name and what is written under its place
    for effect in next(iter(found.values())):
        disturbance = DISTURBANCES[effect.disturbance]
        families.setdefault(disturbance.family, {})[disturbance.name] = disturbance.shown
    rows = -(-len(families) // COLUMNS)
    figure = new_figure(4 * COLUMNS, 2.6 * rows + 0.5)
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).ravel()
    for place, (family, shown) in zip(axes, families.items(), strict=False):
        for i, (judge, effects_) in enumerate(found.items()):
            shares = [getattr(each, field) for each in effects_ if each.disturbance in shown]
            _curve(place, shares, list(shown.values()), label=judge, i=i)
        place.set_xticks(range(len(shown)), shown.values(), rotation=40, ha="right", fontsize=7)
        place.set_title(family, fontsize=9)
        place.grid(linewidth=0.3)
    for place in axes[len(families) :]:
        place.remove()
    for place in axes[::COLUMNS]:
        place.set_ylabel("%")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(found), fontsize=9)
    worst = "; ".join(f"{judge}: {_worst(every, field)}" for judge, every in found.items())
    words = f"{title}, percent, over the strength of each disturbance, with 95 % intervals. Largest: {worst}."
    return Picture(png(figure), title[0].upper() + title[1:], words[0].upper() + words[1:], field.replace("_", "-"))


def _curve(axes: Any, shares: Sequence[Share], shown: Sequence[str], *, label: str, i: int) -> None:
    """Draw shares with intervals; a line joins those that differ in strength alone."""
    style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STROKES[i % len(STROKES)], "linewidth": 1.4}
    style |= {"marker": "os^Dv"[i % 5], "markersize": 3.5, "elinewidth": 0.7, "label": label}
    known = [place for place, share in enumerate(shares) if share.n]
    for _, each in groupby(known, lambda place: re.sub(r"[-+.\d]", "", shown[place])):
        places = list(each)
        values = np.array([100 * shares[place].count / shares[place].n for place in places])
        ends = [proportion_interval(shares[place].count, shares[place].n) for place in places]
        spread = [values - [100 * end.low for end in ends], [100 * end.high for end in ends] - values]
        axes.errorbar(np.array(places) + 0.08 * i, values, np.maximum(0, spread), **style)  # beside one another
        style["label"] = None  # named once


def _worst(every: Sequence[Effect], field: str) -> str:
    shares = {each.disturbance: getattr(each, field) for each in every}
    name = max(shares, key=lambda name: shares[name].count / max(1, shares[name].n))
    return f"{name}, {_percent(shares[name])} %"
