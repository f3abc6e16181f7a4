"""Score files -> the pictures of a report, each with its title and with words that stand for it."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from despoof import metrics
from despoof.data.sample import Label, Sample
from despoof.data.store import sample_key
from despoof.evaluation.cases import Case, Sheet
from despoof.evaluation.curves import det_picture, histogram_picture, reliability_picture, roc_picture
from despoof.evaluation.page import Picture
from despoof.evaluation.report import SOURCE, is_probability
from despoof.evaluation.results import ScoreFile


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
    key = sample_key(Sample(case.row.path, case.row.label, case.row.attack_type))
    judged = "accepted" if case.accepted else "rejected"
    return file.facts["cell"], f"{case.word} {case.kind}", case.row.domain, f"{case.row.liveness:.4f}", judged, key


def case_picture(file: ScoreFile, case: Case, sheet: Sheet) -> Picture:
    """Return *face | counterpart | cue* of a case; it has no name, so its file is the page alone."""
    cell, kind, _, liveness, judged, key = case_row(file, case)
    return Picture(
        sheet(case.row.path),
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
