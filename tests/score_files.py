"""Score files small enough to count by hand."""

import numpy as np

from despoof.data.sample import Label
from despoof.evaluation.scores import ScoreFile, ScoreRow

LIVE = (0.9, 0.8, 0.7, 0.4, None)  # None: no answer
PRINT = (0.1, 0.2, 0.3, 0.6)
DISPLAY = (0.5, 0.75, None)


def toy_scores(*, domain="to-a", prefix="", reason="no_face", shift=0.0, threshold=0.5, **facts) -> ScoreFile:
    """Return five live, four prints and three displays of five subjects; `shift` is added to the live ones."""
    rows = []
    for label, species, values in (
        (Label.LIVE, "none", LIVE),
        (Label.ATTACK, "print", PRINT),
        (Label.ATTACK, "display", DISPLAY),
    ):
        for i, value in enumerate(values):
            liveness = None if value is None else value + (shift if label is Label.LIVE else 0)
            path = f"{domain}/{prefix}{species}-{i}.jpg"
            rows.append(ScoreRow(path, f"s{i}", domain, label, species, liveness, "" if value is not None else reason))
    told = {"protocol": "p", "cell": "to-a", "model": "m", "seed": 0, "split": "test"}
    thresholds = {"source_eer": {"value": threshold, "origin": "sources"}}
    return ScoreFile(tuple(rows), told | {"thresholds": thresholds} | facts)


def fold(number: int, scores: dict[str, dict[str, list]], others: str, **facts) -> ScoreFile:
    """Return the test of a fold: camera -> species ("none" is live) -> liveness, None without an answer."""
    rows = [
        ScoreRow(f"{camera}/{kind}-{i}.jpg", camera, camera, Label.LIVE if kind == "none" else Label.ATTACK, kind,
                 value, "" if value is not None else "no_face")
        for camera, kinds in scores.items() for kind, values in kinds.items() for i, value in enumerate(values)
    ]  # fmt: skip
    told = {"protocol": "folds", "cell": f"fold-{number}", "model": "m", "seed": 0, "split": "test", "thresholds": {}}
    return ScoreFile(tuple(rows), told | {"threshold": "cross-fitted", "sources": list(others)} | facts)


def random_folds(drawn: int, count: int = 4, size: int = 30, shift: float = 1.5, **facts) -> list[ScoreFile]:
    """Folds of two cameras each; live lies `shift` above attacks."""
    rng = np.random.default_rng(drawn)
    names = [f"cam{i}" for i in range(2 * count)]
    parts = {
        name: {kind: list(rng.normal(shift if kind == "none" else 0, 1, size)) for kind in ("none", "print", "display")}
        for name in names
    }
    held = [names[2 * i : 2 * i + 2] for i in range(count)]
    return [
        fold(i, {name: parts[name] for name in inside}, [n for n in names if n not in inside], **facts)
        for i, inside in enumerate(held)
    ]
