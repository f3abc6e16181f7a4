"""Score files -> pictures: ROC, DET and histograms of liveness. Needs the extra `report` (matplotlib)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from despoof.data.sample import Label
from despoof.errors import DespoofError, InputError
from despoof.evaluation.report import SOURCE
from despoof.evaluation.results import ScoreFile
from despoof.metrics import auc, eer, roc
from despoof.runs.folder import atomic_path

LIVE_COLOUR, ATTACK_COLOUR = "#1b7837", "#b2182b"
DET_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def roc_picture(files: Mapping[str, ScoreFile], path: str | Path) -> None:
    """Draw, for each named file, live accepted against attacks accepted (pooled)."""
    figure, axes = _axes("attacks accepted (pooled)", "live accepted")
    for name, file in _some(files).items():
        live, attack = file.liveness(Label.LIVE), file.liveness(Label.ATTACK)
        _, passed, refused = roc(live, attack)
        axes.plot(passed, 1 - refused, label=f"{name}, AUC {auc(live, attack):.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.legend(loc="lower right", fontsize=8)
    _save(figure, path)


def det_picture(files: Mapping[str, ScoreFile], path: str | Path) -> None:
    """Draw, for each named file, live refused against attacks accepted (pooled), on normal-deviate axes."""
    from scipy.stats import norm

    figure, axes = _axes("attacks accepted (pooled)", "live refused")
    for name, file in _some(files).items():
        live, attack = file.liveness(Label.LIVE), file.liveness(Label.ATTACK)
        _, passed, refused = roc(live, attack)
        inside = [np.clip(rates, 1e-4, 1 - 1e-4) for rates in (passed, refused)]  # 0 and 1 lie at infinity
        axes.plot(*map(norm.ppf, inside), label=f"{name}, EER {100 * eer(live, attack)[0]:.1f} %")
    places, names = norm.ppf(DET_TICKS), [f"{100 * tick:g} %" for tick in DET_TICKS]
    axes.set_xticks(places, names, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.set(xlim=norm.ppf((5e-4, 0.9)), ylim=norm.ppf((5e-4, 0.9)))
    axes.grid(linewidth=0.3)
    axes.legend(loc="upper right", fontsize=8)
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
        colour = LIVE_COLOUR if name == "live" else ATTACK_COLOUR
        style = {"color": colour, "alpha": max(0.25, 0.55 - 0.12 * i), "label": f"{name} ({len(scores)})"}
        axes.hist(scores, edges, weights=np.full(len(scores), 1 / max(1, len(scores))), **style)
    if SOURCE in file.facts["thresholds"]:
        axes.axvline(file.threshold(SOURCE), color="black", linewidth=1, linestyle="--", label=SOURCE)
    axes.legend(fontsize=8)
    _save(figure, path)


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
