"""Score files -> pictures: ROC, DET, histograms of liveness, reliability. Needs the extra `report` (matplotlib).

Lines differ in stroke as well as in colour, so that a picture can be read in grey.

Score files -> the pictures of a report, each with its title and with words that stand for it.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from despoof import metrics
from despoof.data.sample import Label
from despoof.errors import DespoofError, InputError
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import SOURCE, is_probability
from despoof.metrics import auc, ece, eer, reliability, roc
from despoof.report.cases import Case, Sheet
from despoof.report.page import Picture
from despoof.runs.folder import atomic_path

LIVE_COLOUR = "#4d4d4d"
# Okabe and Ito's colours, told apart by most who cannot tell red from green; with six strokes 42 lines differ.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STROKES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
DET_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def roc_picture(files: Mapping[str, ScoreFile], path: str | Path) -> None:
    """Draw, for each named file, live accepted against attacks accepted (pooled)."""
    figure, axes = _axes("attacks accepted (pooled)", "live accepted")
    for i, (name, file) in enumerate(_some(files).items()):
        live, attack = file.liveness(Label.LIVE), file.liveness(Label.ATTACK)
        _, passed, refused = roc(live, attack)
        axes.plot(passed, 1 - refused, **_stroke(i), label=f"{name}, AUC {auc(live, attack):.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    _legend_below(figure, len(files))
    _save(figure, path)


def det_picture(files: Mapping[str, ScoreFile], path: str | Path) -> None:
    """Draw, for each named file, live refused against attacks accepted (pooled), on normal-deviate axes."""
    from scipy.stats import norm

    figure, axes = _axes("attacks accepted (pooled)", "live refused")
    for i, (name, file) in enumerate(_some(files).items()):
        live, attack = file.liveness(Label.LIVE), file.liveness(Label.ATTACK)
        _, passed, refused = roc(live, attack)
        inside = [np.clip(rates, 1e-4, 1 - 1e-4) for rates in (passed, refused)]  # 0 and 1 lie at infinity
        axes.plot(*map(norm.ppf, inside), **_stroke(i), label=f"{name}, EER {100 * eer(live, attack)[0]:.1f} %")
    places, names = norm.ppf(DET_TICKS), [f"{100 * tick:g} %" for tick in DET_TICKS]
    axes.set_xticks(places, names, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.set(xlim=norm.ppf((5e-4, 0.9)), ylim=norm.ppf((5e-4, 0.9)))
    axes.grid(linewidth=0.3)
    _legend_below(figure, len(files))
    _save(figure, path)


def histogram_picture(file: ScoreFile, path: str | Path, *, bins: int = 40) -> None:
    """Draw the liveness of live and of each attack species, and the source threshold if recorded."""
    figure, axes = _axes("liveness (higher is more live)", "share of presentations")
    live, attacks = file.liveness(Label.LIVE), file.attacks()
    values = np.concatenate([live, *attacks.values()])
    if not len(values):
        raise InputError("score file holds no scores; expected at least one. Run its cell again.")
    edges = np.linspace(values.min(), values.max() + 1e-9, bins + 1)
    groups = {"live": live} | {f"attack: {name}": scores for name, scores in attacks.items()}
    for i, (name, scores) in enumerate(groups.items()):
        shares = np.full(len(scores), 1 / max(1, len(scores)))
        style = {"weights": shares, "label": f"{name} ({len(scores)})"}
        if name == "live":
            axes.hist(scores, edges, color=LIVE_COLOUR, alpha=0.35, **style)
        else:
            axes.hist(scores, edges, histtype="step", **_stroke(i - 1), **style)
    if SOURCE in file.facts["thresholds"]:
        axes.axvline(file.threshold(SOURCE), color="black", linewidth=1, linestyle="--", label=SOURCE)
    axes.legend(fontsize=8)
    _save(figure, path)


def reliability_picture(file: ScoreFile, path: str | Path) -> None:
    """Draw how often a presentation is live against its mean liveness, in the bins of `metrics.ece`.

    A mark grows with its bin, so that bins of few presentations do not mislead. Liveness outside 0..1 raises
    InputError.
    """
    live, attack = file.liveness(Label.LIVE), file.liveness(Label.ATTACK)
    found, error = reliability(live, attack), ece(live, attack)
    figure, axes = _axes("mean liveness of a bin", "share of live in it")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":", label="claims what is so")
    filled = found.presented > 0
    size = 8 + 250 * found.presented[filled] / found.presented.sum()
    axes.plot(found.claimed[filled], found.live_share[filled], color=LIVE_COLOUR, linewidth=1)
    places = found.claimed[filled], found.live_share[filled]
    axes.scatter(*places, size, color=LIVE_COLOUR, alpha=0.6, label=f"ECE {100 * error:.1f} %")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.legend(loc="upper left", fontsize=8)
    _save(figure, path)


def _legend_below(figure, entries: int) -> None:  # type: ignore[no-untyped-def]
    """Name the curves under the axes, where the names cover none, in a figure that grows with them."""
    figure.set_figheight(4.5 + 0.17 * ((entries + 1) // 2))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)


def _stroke(place: int) -> dict:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": STROKES[place % len(STROKES)], "linewidth": 1.4}


def _some(files: Mapping[str, ScoreFile]) -> Mapping[str, ScoreFile]:
    if not files:
        raise InputError("no score files; expected at least one. Run a protocol first.")
    return files


def _axes(x_title: str, y_title: str):  # type: ignore[no-untyped-def]  # matplotlib is optional
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DespoofError(
            "pictures need matplotlib, which is absent; expected the extra: pip install 'despoof[report]'."
        ) from None
    figure = Figure(figsize=(5, 4.5), layout="constrained")  # no pyplot: no window, no global state
    axes = figure.subplots()
    axes.set(xlabel=x_title, ylabel=y_title)
    return figure, axes


def _save(figure, path: str | Path) -> None:  # type: ignore[no-untyped-def]
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lstrip(".") or "png", dpi=120)


def first_seeds(files: Sequence[ScoreFile]) -> list[ScoreFile]:
    """Return one file, of the lowest seed, for each protocol, cell and model."""
    first: dict[tuple[str, ...], ScoreFile] = {}
    for file in sorted(files, key=lambda file: file.facts["seed"]):
        first.setdefault(tuple(str(file.facts[name]) for name in ("protocol", "cell", "model")), file)
    return [first[key] for key in sorted(first)]


def place_of(file: ScoreFile) -> list[str]:
    """Return protocol, cell and model of a file."""
    return [str(file.facts[name]) for name in ("protocol", "cell", "model")]


def curve_pictures(files: Sequence[ScoreFile]) -> tuple[Picture, ...]:
    """Return the ROC and the DET curves of each cell, all its models in one picture."""
    cells: dict[tuple[str, str], dict[str, ScoreFile]] = {}
    for file in first_seeds(files):
        cells.setdefault((file.facts["protocol"], file.facts["cell"]), {})[file.facts["model"]] = file
    pictures = []
    for i, (place, models) in enumerate(cells.items(), 1):
        both = {name: (file.liveness(Label.LIVE), file.liveness(Label.ATTACK)) for name, file in models.items()}
        areas = ", ".join(f"{name} {metrics.auc(*scores):.3f}" for name, scores in both.items())
        equal = ", ".join(f"{name} {100 * metrics.eer(*scores)[0]:.1f} %" for name, scores in both.items())
        for name, draw, words in (
            ("ROC", roc_picture, f"Live accepted against attacks accepted. Area under each curve: {areas}."),
            ("DET", det_picture, f"Live refused against attacks accepted. Equal error rate of each curve: {equal}."),
        ):
            png = _drawn(lambda path, draw=draw, models=models: draw(models, path))
            pictures.append(Picture(png, f"{name}, {place[1]}", words, _file_name(name.lower(), i, *place)))
    return tuple(pictures)


def score_pictures(files: Sequence[ScoreFile]) -> tuple[Picture, ...]:
    """Return the histogram of liveness of each model in each cell."""
    pictures = []
    for i, file in enumerate(first_seeds(files), 1):
        png = _drawn(lambda path, file=file: histogram_picture(file, path))
        groups = {"live": file.liveness(Label.LIVE)} | {
            f"attack, {name}": each for name, each in file.attacks().items()
        }
        medians = ", ".join(f"{name} {np.median(scores):.3f}" for name, scores in groups.items())
        words = f"Histogram of liveness. Medians: {medians}. Threshold: {file.threshold(SOURCE):.3f}."
        pictures.append(Picture(png, f"Scores: {_named(file)}", words, _file_name("scores", i, *place_of(file))))
    return tuple(pictures)


def reliability_pictures(files: Sequence[ScoreFile]) -> tuple[Picture, ...]:
    """Return the reliability diagram of each model in each cell whose liveness is a probability."""
    pictures = []
    for i, file in enumerate(filter(is_probability, first_seeds(files)), 1):
        error = metrics.ece(file.liveness(Label.LIVE), file.liveness(Label.ATTACK))
        words = f"Reliability diagram. Expected calibration error: {100 * error:.1f} %."
        png = _drawn(lambda path, file=file: reliability_picture(file, path))
        name = _file_name("reliability", i, *place_of(file))
        pictures.append(Picture(png, f"Reliability: {_named(file)}", words, name))
    return tuple(pictures)


def case_row(file: ScoreFile, case: Case) -> tuple[str, ...]:
    """Return cell, case, domain, liveness, judgement and key of a case, as text."""
    judged = "accepted" if case.accepted else "rejected"
    return (
        file.facts["cell"],
        f"{case.word} {case.kind}",
        case.row.domain,
        f"{case.row.liveness:.4f}",
        judged,
        case.row.key,
    )


def case_picture(file: ScoreFile, case: Case, sheet: Sheet) -> Picture:
    """Return *face | counterpart | cue* of a case; it has no name, so its file is the page alone."""
    cell, kind, _, liveness, judged, key = case_row(file, case)
    return Picture(
        sheet(case.row),
        f"{cell}: {kind}, liveness {liveness}, {judged} ({key})",
        f"Face, counterpart and cue of a sample: {kind}, liveness {liveness}, {judged}.",
    )


def _named(file: ScoreFile) -> str:
    return f"{file.facts['model']}, {file.facts['cell']}, seed {file.facts['seed']}"


def _file_name(*parts: object) -> str:
    """Return a name safe on any disk; a number among the parts keeps it from meeting another."""
    return "-".join("".join(sign if sign.isalnum() else "-" for sign in str(part)) for part in parts)


def _drawn(draw: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        return path.read_bytes()
