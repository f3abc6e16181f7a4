"""Score files -> pictures: ROC, DET, histograms of liveness, reliability. Needs the extra `report` (matplotlib).

Lines differ in stroke as well as in colour, so that a picture can be read in grey.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from despoof.data.sample import Label
from despoof.errors import DespoofError, InputError
from despoof.evaluation.report import SOURCE
from despoof.evaluation.results import ScoreFile
from despoof.metrics import auc, ece, eer, reliability, roc
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
