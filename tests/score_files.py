"""Score files small enough to count by hand."""

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
