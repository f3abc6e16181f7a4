"""The study as a page: its table over cameras, one of cameras whose people are named, and the curve."""

from collections.abc import Sequence
from pathlib import Path

from despoof.evaluation.tables import markdown
from despoof.runs.folder import atomic_path, write_text
from despoof.studies.adaptation.study import Camera, Row, rows
from despoof.studies.tables import Estimate

HEAD = (
    "live, and as many attacks", "cameras", "HTER as it is", "corrected", "difference", "cameras made worse",
    "thresholds of as many live alone",
)  # fmt: skip
OWN = 20  # shown of each class where cameras are listed
FEW = 5  # cameras, below which drawing them tells nothing
ABOUT = """Percent: HTER at liveness one half, mean over cameras and draws (95 % interval over cameras). Shown and
tested are faces of one camera, in the same rooms and with the same devices: an upper bound of what own recordings gain.
Thresholds: LIVE from the highest at which at most 5 % of the live shown are refused, as `despoof calibrate` sets it."""


def write_sheet(out: Path, cameras: Sequence[Camera]) -> str:
    """Write report.md and report.png below `out`; return the text."""
    every = rows(cameras)
    named = [camera for camera in cameras if camera.by == "people"]
    draws = len(next(iter(cameras[0].trials.values())))
    parts = [
        f"{len(cameras)} cameras, {draws} draws each; people are told apart on {len(named)} of them, on the others no "
        "capture is both shown and tested.",
        " ".join(ABOUT.split("\n")),
        markdown(HEAD, map(_cells, every)),
    ]
    if named:
        parts += ["Cameras on which other people are tested than shown:", markdown(HEAD, map(_cells, rows(named)))]
    text = "\n\n".join(part.strip() for part in [*parts, *_by_camera(cameras)]) + "\n"
    write_text(out / "report.md", text)
    _draw(every, rows(named), out / "report.png")
    return text


def _by_camera(cameras: Sequence[Camera]) -> list[str]:
    found = []
    for camera in cameras:
        if OWN in camera.trials:
            plain, corrected, _ = 100 * camera.trials[OWN].mean(0)
            found.append((camera.name, camera.by, f"{plain:.1f}", f"{corrected:.1f}"))
    head = ("camera", "told apart", "as it is", "corrected")
    return [f"Each camera, {OWN} live and {OWN} attacks shown:", markdown(head, found)] if found else []


def _cells(row: Row) -> tuple[str, ...]:
    def shown(each: Estimate | None, sign: str = "") -> str:
        if each is None:
            return "–"
        interval = f" ({each.low:{sign}.1f} to {each.high:{sign}.1f})" if row.cameras >= FEW else ""
        return f"{each.value:{sign}.1f}{interval}"

    figures = (shown(row.plain), shown(row.corrected), shown(row.difference, "+"))
    return (str(row.shown), str(row.cameras), *figures, str(row.worse), shown(row.thresholds))


def _draw(every: Sequence[Row], named: Sequence[Row], path: Path) -> None:
    """Draw HTER against the count shown: as it is, at thresholds, corrected; intervals where cameras are many."""
    from despoof.report.figures import COLOURS, STROKES, new_figure, png

    figure = new_figure(6, 4)
    axes, places = figure.subplots(), {row.shown: place for place, row in enumerate(every)}
    lines = {"as it is": (every, "plain"), "thresholds from the live alone": (every, "thresholds")}
    lines |= {"corrected": (every, "corrected"), "corrected, other people tested": (named, "corrected")}
    for (name, (of, what)), colour, stroke in zip(lines.items(), COLOURS, STROKES, strict=False):
        there = [(row, each) for row in of if (each := getattr(row, what)) is not None]
        if not there:
            continue
        where = [places[row.shown] for row, _ in there]
        axes.plot(where, [each.value for _, each in there], color=colour, linestyle=stroke, marker="o", label=name)
        if all(row.cameras >= FEW for row, _ in there):
            low, high = ([getattr(each, end) for _, each in there] for end in ("low", "high"))
            axes.fill_between(where, low, high, color=colour, alpha=0.12)
    axes.set_xticks(list(places.values()), list(map(str, places)))
    axes.set(xlabel="live faces of the camera shown, and as many attacks", ylabel="HTER, %", ylim=(0, None))
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=8)
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(figure))
