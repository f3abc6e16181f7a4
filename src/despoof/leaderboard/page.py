"""Figures of the board -> OUT/report.html, whose tables can be sorted, OUT/report.md and OUT/leaderboard.json."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from despoof.evaluation.cameras import APCER, AUC, BPCER, HTER
from despoof.leaderboard.board import APCER_SHIPPED, BPCER_SHIPPED, COMPARED, HTER_SHIPPED
from despoof.leaderboard.cost import PICTURE
from despoof.report.page import Section, Table, write_report
from despoof.runs.folder import write_json

TITLE = "Leaderboard of presentation attack detection"
OUTSIDE, LEARNED = "†", "‡"  # behind the name of a row, or a figure
NAMED = {  # figure -> head of its column
    AUC: "AUC",
    HTER: "HTER @ cross-fitted: threshold from other cameras",
    HTER_SHIPPED: "HTER @ shipped threshold",
    APCER: "APCER @ cross-fitted",
    BPCER: "BPCER @ cross-fitted",
    APCER_SHIPPED: "APCER @ shipped",
    BPCER_SHIPPED: "BPCER @ shipped",
}
NO_CERTIFICATION = "This page is no certification, and no ranking but of this set: other cameras give other orders."
COLUMNS = (
    "Rates are percent, means over cameras that all weigh the same (95 % interval: cameras redrawn, and in each its "
    "people, its images where these are not told apart). No answer, such as where no face is found, is an error of "
    "live and of attacks alike. APCER pools the species of a camera.",
    "Cross-fitted: the threshold is of equal error, averaged over the cameras of all other folds. It is not from the "
    "camera that is judged, and it is not what anybody ships. Shipped: the threshold that the model comes with.",
    "Stability: share of acceptances at the shipped threshold that small disturbances change (a cut, JPEG, WebP, blur, "
    "noise, light, colour, a turn of 3 degrees, a mirror), mean over faces. Ours has a gate, whose refusals count.",
    "ms: one face that was found already, in memory, to its liveness; time of the processor, one thread, median "
    "(quartiles), all in turn in one run, as of this machine and its load then: compare rows, not pages. Parameters: "
    "numbers in the ONNX files, of ours with what it keeps of samples. MB: these files. The search for faces is the "
    "same for all and in none.",
    "What a public model learned from is not known here; if pictures of this set were among it, its row is flattered.",
)


def write_board(out: Path, values: dict[str, Any]) -> Path:
    """Write page, Markdown and figures, and return the path of the page."""
    write_json(out / "leaderboard.json", values)
    return write_report(out, TITLE, sections(values), sorting=True)


def about(**more: Any) -> dict[str, Any]:
    """Return what a board says of the machine, beside `more`."""
    return {"machine": f"{platform.machine()}, {os.cpu_count()} processors", "picture": list(PICTURE)} | more


def sections(values: dict[str, Any]) -> list[Section]:
    """Return the whole page of what `despoof.leaderboard.board` and `about` gave."""
    rows, ours = values["rows"], values["rows"][0]["name"]
    width, height = values["picture"]
    made = (
        f"{values['faces']} faces in pictures of {values['cameras']} cameras ({values['live']} live and "
        f"{values['attack']} attack pictures, those without a face among them). Times: {values['machine']}, a face in "
        f"a picture of {width} × {height}, {values['runs']} rounds."
    )
    return [
        Section("What this is", (NO_CERTIFICATION, made)),
        Section("The board", points=tuple(mark_lines(values)), tables=(Table(board_rows(rows), "The board"),)),
        Section("At each threshold", tables=(Table(threshold_rows(rows), "Error rates, percent"),)),
        Section(f"{ours} minus each other", (PAIRED,), tables=_differences(values, ours)),
        Section("Each camera", tables=(Table(camera_rows(rows), "Percent", heads=2),)),
        Section("What the columns say", points=COLUMNS),
    ]


PAIRED = (
    "Percentage points (95 % interval). Both are judged on the same redrawn cameras and people; below 0 is in favour "
    "of the first in HTER, above 0 in AUC."
)


def board_rows(rows: Sequence[dict]) -> tuple[tuple[str, ...], ...]:
    """Return the table, its head first."""
    names = (AUC, HTER, HTER_SHIPPED, APCER, BPCER)
    head = ("model", *(NAMED[name] for name in names), "worst camera by HTER", "stability", "ms", "MB", "parameters",
            "licence")  # fmt: skip
    return head, *((_named(row), *(_percent(row["figures"][name]) for name in names), *_facts(row)) for row in rows)


def threshold_rows(rows: Sequence[dict]) -> tuple[tuple[str, ...], ...]:
    """Return the rates at both kinds of threshold, the head first."""
    names = (HTER_SHIPPED, APCER_SHIPPED, BPCER_SHIPPED, HTER, APCER, BPCER, "no answer")
    body = (
        (_named(row), f"{row['threshold']:.3f}", *(_percent(row["figures"][name]) for name in names)) for row in rows
    )
    return ("model", "shipped threshold", *(NAMED.get(name, name) for name in names)), *body


def camera_rows(rows: Sequence[dict]) -> tuple[tuple[str, ...], ...]:
    """Return the figures of each camera and model, the head first."""
    names = (AUC, HTER, HTER_SHIPPED)
    body = (
        (camera, row["name"], *(_percent({"value": each[name]}) for name in names))
        for row in rows
        for camera, each in row["by camera"].items()
    )
    return ("camera", "model", *(NAMED[name] for name in names)), *body


def mark_lines(values: dict[str, Any]) -> list[str]:
    """Return a sentence for each mark, and for each row that is not what it seems."""
    found, ours = [], values["rows"][0]
    if not any(ours[name] for name in ("learned", "unknown", "left out")):
        found.append(
            f"{ours['name']}: none of these faces lies near one that the weights learned, so the cameras are taken for "
            "new to them. Quite other pictures of a camera that they learned are not seen by that; see their card."
        )
    for row in values["rows"]:
        if row["learned"]:
            found.append(
                f"{LEARNED} {row['name']} learned these: it learned from {len(row['learned'])} of the "
                f"{values['cameras']} cameras, so its figures and its stability are flattered and say nothing of a new "
                "camera. Give --scores, an evaluation that leaves these cameras out."
            )
        if row["unknown"]:
            found.append(
                f"{LEARNED} {row['name']}: whether it learned from {len(row['unknown'])} of the cameras cannot be told "
                "of these weights, so take its figures as those of cameras that it learned."
            )
        if row["left out"]:
            found.append(
                f"{row['name']}: on {len(row['left out'])} of the {values['cameras']} cameras, which the weights "
                "learned, it is judged by detectors made alike that never saw the camera, calibrated as the weights "
                "are; the shipped threshold came from such scores of these cameras too, so that column is a little "
                f"kind. Its stability is of the weights themselves ({LEARNED})."
            )
        if row["lacking surroundings"]:
            found.append(
                f"{OUTSIDE} {row['name']} is outside its specification on {row['lacking surroundings']} of "
                f"{values['faces']} faces: it needs what is around the face, and these pictures hold less of it than "
                "it cuts."
            )
    return found


def _differences(values: dict[str, Any], ours: str) -> tuple[Table, ...]:
    others = values[f"{ours} minus"]
    if not others:
        return ()
    head = ("minus", *(NAMED[name] for name in COMPARED))
    body = ((each["name"], *(_points(each["figures"][name]) for name in COMPARED)) for each in others)
    return (Table((head, *body), f"{ours} minus each other"),)


def _named(row: dict) -> str:
    marks = LEARNED * bool(row["learned"] or row["unknown"]) + OUTSIDE * bool(row["lacking surroundings"])
    return f"{row['name']} {marks}".rstrip()


def _facts(row: dict) -> tuple[str, ...]:
    worst, steady, ms = row["worst"][HTER], row["stability"], row["milliseconds"]
    worst = worst if worst["value"] is not None else row["worst"][HTER_SHIPPED]
    known = LEARNED * bool(row["learned"] or row["unknown"] or row["left out"])
    return (
        "–" if worst["value"] is None else f"{100 * worst['value']:.1f} ({worst['camera']})",
        "–" if steady is None else f"{_percent(steady)} {known}".rstrip(),
        "–" if ms is None else f"{ms['median']:.1f} ({ms['low']:.1f}–{ms['high']:.1f})",
        f"{row['megabytes']:.1f}",
        f"{row['parameters']:,}",
        row["licence"],
    )


def _percent(figure: dict) -> str:
    if figure["value"] is None:
        return "–"
    text = f"{100 * figure['value']:.1f}"
    if figure.get("low") is not None and figure["low"] == figure["low"]:
        text += f" ({max(0.0, 100 * figure['low']):.1f}–{min(100.0, 100 * figure['high']):.1f})"
    return text


def _points(figure: dict) -> str:
    if figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return f"{100 * figure['value']:+.1f}"
    value, low, high = (100 * figure[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
