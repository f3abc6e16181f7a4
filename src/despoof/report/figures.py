"""Score files -> the pictures of a report: ROC, DET, histograms of liveness, reliability. Needs the extra `report`.

Lines differ in stroke as well as in colour, so that a picture can be read in grey. Each picture has a title and words
that stand for it where it cannot be seen.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from despoof.data.sample import Label
from despoof.errors import DespoofError, InputError
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import SOURCE, is_probability
from despoof.metrics import auc, ece, eer, reliability, roc
from despoof.report.page import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIVE_COLOUR = "#4d4d4d"
# Okabe and Ito's colours, told apart by most who cannot tell red from green; with six strokes 42 lines differ.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STROKES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
DET_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def roc_figure(files: Mapping[str, ScoreFile]) -> "Figure":
    """Draw, for each named file, live accepted against attacks accepted (pooled)."""
    figure, axes = _axes("attacks accepted (pooled)", "live accepted")
    for i, (name, file) in enumerate(files.items()):
        _, passed, refused = roc(*both(file))
        axes.plot(passed, 1 - refused, **_stroke(i), label=f"{name}, AUC {auc(*both(file)):.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    return _with_legend_below(figure, len(files))


def det_figure(files: Mapping[str, ScoreFile]) -> "Figure":
    """Draw, for each named file, live refused against attacks accepted (pooled), on normal-deviate axes."""
    from scipy.stats import norm

    figure, axes = _axes("attacks accepted (pooled)", "live refused")
    for i, (name, file) in enumerate(files.items()):
        _, passed, refused = roc(*both(file))
        inside = [np.clip(rates, 1e-4, 1 - 1e-4) for rates in (passed, refused)]  # 0 and 1 lie at infinity
        axes.plot(*map(norm.ppf, inside), **_stroke(i), label=f"{name}, EER {100 * eer(*both(file))[0]:.1f} %")
    places, names = norm.ppf(DET_TICKS), [f"{100 * tick:g} %" for tick in DET_TICKS]
    axes.set_xticks(places, names, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.set(xlim=norm.ppf((5e-4, 0.9)), ylim=norm.ppf((5e-4, 0.9)))
    axes.grid(linewidth=0.3)
    return _with_legend_below(figure, len(files))


def histogram_figure(file: ScoreFile, *, bins: int = 40) -> "Figure":
    """Draw the liveness of live and of each attack species, and the source threshold if recorded."""
    figure, axes = _axes("liveness (higher is more live)", "share of presentations")
    live, attacks = file.liveness(Label.LIVE), file.attacks()
    values = np.concatenate([live, *attacks.values()])
    if not len(values):
        raise InputError("score file holds no scores; expected at least one. Run its cell again.")
    edges = np.linspace(values.min(), values.max() + 1e-9, bins + 1)
    styles = [{"color": LIVE_COLOUR, "alpha": 0.35}, *({"histtype": "step"} | _stroke(i) for i in range(len(attacks)))]
    groups = {"live": live} | {f"attack: {name}": scores for name, scores in attacks.items()}
    for (name, scores), style in zip(groups.items(), styles, strict=True):
        shares = np.full(len(scores), 1 / max(1, len(scores)))
        axes.hist(scores, edges, weights=shares, label=f"{name} ({len(scores)})", **style)
    if SOURCE in file.facts["thresholds"]:
        axes.axvline(file.threshold(SOURCE), color="black", linewidth=1, linestyle="--", label=SOURCE)
    axes.legend(fontsize=8)
    return figure


def reliability_figure(file: ScoreFile) -> "Figure":
    """Draw how often a presentation is live against its mean liveness, in the bins of `metrics.ece`.

    A mark grows with its bin, so that bins of few presentations do not mislead. Liveness outside 0..1 raises
    InputError.
    """
    found, error = reliability(*both(file)), ece(*both(file))
    figure, axes = _axes("mean liveness of a bin", "share of live in it")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":", label="perfectly calibrated")
    filled = found.presented > 0
    size = 8 + 250 * found.presented[filled] / found.presented.sum()
    places = found.claimed[filled], found.live_share[filled]
    axes.plot(*places, color=LIVE_COLOUR, linewidth=1)
    axes.scatter(*places, size, color=LIVE_COLOUR, alpha=0.6, label=f"ECE {100 * error:.1f} %")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.legend(loc="upper left", fontsize=8)
    return figure


def curve_pictures(files: Sequence[ScoreFile]) -> tuple[Picture, ...]:
    """Return the ROC and the DET curves of each cell, all its models in one picture."""
    cells: dict[tuple[str, str], dict[str, ScoreFile]] = {}
    for file in first_seeds(files):
        protocol, cell, model = place_of(file)
        cells.setdefault((protocol, cell), {})[model] = file
    pictures = []
    for i, (place, models) in enumerate(cells.items(), 1):
        areas = ", ".join(f"{name} {auc(*both(file)):.3f}" for name, file in models.items())
        equal = ", ".join(f"{name} {100 * eer(*both(file))[0]:.1f} %" for name, file in models.items())
        for name, draw, words in (
            ("ROC", roc_figure, f"Live accepted against attacks accepted. Area under each curve: {areas}."),
            ("DET", det_figure, f"Live refused against attacks accepted. Equal error rate of each curve: {equal}."),
        ):
            pictures.append(_picture(draw(models), f"{name}, {place[1]}", words, name.lower(), i, *place))
    return tuple(pictures)


def score_pictures(files: Sequence[ScoreFile]) -> tuple[Picture, ...]:
    """Return the histogram of liveness of each model in each cell."""
    pictures = []
    for i, file in enumerate(first_seeds(files), 1):
        attacks = {f"attack, {name}": scores for name, scores in file.attacks().items()}
        groups = {"live": file.liveness(Label.LIVE)} | attacks
        medians = ", ".join(f"{name} {np.median(scores):.3f}" for name, scores in groups.items())
        words = f"Histogram of liveness. Medians: {medians}. Threshold: {file.threshold(SOURCE):.3f}."
        pictures.append(
            _picture(histogram_figure(file), f"Scores: {_named(file)}", words, "scores", i, *place_of(file))
        )
    return tuple(pictures)


def reliability_pictures(files: Sequence[ScoreFile]) -> tuple[Picture, ...]:
    """Return the reliability diagram of each model in each cell whose liveness is a probability."""
    pictures = []
    for i, file in enumerate(filter(is_probability, first_seeds(files)), 1):
        words = f"Reliability diagram. Expected calibration error: {100 * ece(*both(file)):.1f} %."
        title = f"Reliability: {_named(file)}"
        pictures.append(_picture(reliability_figure(file), title, words, "reliability", i, *place_of(file)))
    return tuple(pictures)


def first_seeds(files: Sequence[ScoreFile]) -> list[ScoreFile]:
    """Return one file, of the lowest seed, for each protocol, cell and model."""
    first: dict[tuple[str, ...], ScoreFile] = {}
    for file in sorted(files, key=lambda file: file.facts["seed"]):
        first.setdefault(place_of(file), file)
    return [first[key] for key in sorted(first)]


def place_of(file: ScoreFile) -> tuple[str, ...]:
    """Return protocol, cell and model of a file."""
    return tuple(str(file.facts[name]) for name in ("protocol", "cell", "model"))


def both(file: ScoreFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the liveness of live and of attacks, (N,) and (M,)."""
    return file.liveness(Label.LIVE), file.liveness(Label.ATTACK)


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure in inches, without a window or global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DespoofError(
            "pictures need matplotlib, which is absent; expected the extra: pip install 'despoof[report]'."
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def png(figure: "Figure") -> bytes:
    """Return a figure as a PNG."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    return data.getvalue()


def _axes(x_title: str, y_title: str):  # type: ignore[no-untyped-def]  # matplotlib is optional
    figure = new_figure(5, 4.5)
    axes = figure.subplots()
    axes.set(xlabel=x_title, ylabel=y_title)
    return figure, axes


def _with_legend_below(figure: "Figure", entries: int) -> "Figure":
    """Name the curves under the axes, where the names cover none, in a figure that grows with them."""
    figure.set_figheight(4.5 + 0.17 * ((entries + 1) // 2))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _stroke(place: int) -> dict:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": STROKES[place % len(STROKES)], "linewidth": 1.4}


def _named(file: ScoreFile) -> str:
    return f"{file.facts['model']}, {file.facts['cell']}, seed {file.facts['seed']}"


def _picture(figure: "Figure", title: str, words: str, *name: object) -> Picture:
    """Return a picture whose file's name is safe on any disk; a number in it keeps it from meeting another."""
    safe = ("".join(sign if sign.isalnum() else "-" for sign in str(part)) for part in name)
    return Picture(png(figure), title, words, "-".join(safe))
