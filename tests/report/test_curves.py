"""Pictures are drawn from score files without a window; a missing extra must name itself, not a traceback."""

import builtins
import re

import cv2
import numpy as np
import pytest

from despoof.data.sample import Label
from despoof.errors import DespoofError, InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.report.figures import det_picture, histogram_picture, reliability_picture, roc_picture

THRESHOLD = {"source_eer": {"value": 0.5, "origin": "sources"}}


def _file(thresholds: dict, shift: float) -> ScoreFile:
    generator = np.random.default_rng(0)
    rows = [
        ScoreRow(f"{label}-{i}", f"s{i}", "a", label, species, float(generator.random() + up))
        for label, species, up in ((Label.LIVE, "none", shift), (Label.ATTACK, "print", 0.0))
        for i in range(30)
    ]
    facts = {"protocol": "p", "cell": "to-a", "model": "m", "seed": 0, "split": "test"}
    return ScoreFile(tuple(rows), facts | {"thresholds": thresholds})


@pytest.mark.parametrize("draw", [roc_picture, det_picture])
def test_curves_of_other_scores_are_other_pictures(tmp_path, draw):
    pictures = []
    for shift in (0.2, 0.6):
        draw({"m": _file(THRESHOLD, shift)}, tmp_path / "picture.png")
        pictures.append(cv2.imread(str(tmp_path / "picture.png")))
    assert pictures[0].shape == pictures[1].shape
    assert (pictures[0] != pictures[1]).any()


def test_histogram_shows_the_threshold_where_one_is_recorded(tmp_path):
    histogram_picture(_file({}, 0.3), tmp_path / "without.svg")
    histogram_picture(_file(THRESHOLD, 0.3), tmp_path / "with.svg")
    without, with_line = ((tmp_path / name).read_text() for name in ("without.svg", "with.svg"))
    assert ("source_eer" in with_line, "source_eer" in without) == (True, False)
    assert "attack: print (30)" in with_line


def test_reliability_says_its_error_and_refuses_what_is_no_probability(tmp_path):
    rows = [
        ScoreRow(f"{label}-{i}", f"s{i}", "a", label, species, 0.5)
        for label, species in ((Label.LIVE, "none"), (Label.ATTACK, "print"))
        for i in range(3 if label is Label.LIVE else 1)
    ]
    reliability_picture(ScoreFile(tuple(rows), _file({}, 0).facts), tmp_path / "picture.svg")
    assert "ECE 25.0 %" in (tmp_path / "picture.svg").read_text()  # 0.5 is claimed, 3 of 4 are live
    with pytest.raises(InputError, match="probabilities"):
        reliability_picture(_file({}, 0.5), tmp_path / "picture.png")


def test_lines_of_one_picture_differ_in_stroke_and_not_in_colour_alone(tmp_path):
    roc_picture({f"m{i}": _file({}, 0.1 * i) for i in range(6)}, tmp_path / "picture.svg")
    lines = [line for line in (tmp_path / "picture.svg").read_text().splitlines() if "stroke-width: 1.4" in line]
    curves = lines[: len(lines) // 2] if len(lines) > 6 else lines  # the legend repeats them
    strokes = {re.sub("stroke: #[0-9a-f]+", "", line.partition("style=")[2]) for line in curves}
    assert len(strokes) == 6


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(InputError):
        roc_picture({}, tmp_path / "picture.png")
    empty = ScoreFile((), _file({}, 0).facts)
    with pytest.raises(InputError):
        histogram_picture(empty, tmp_path / "picture.png")


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DespoofError, match=r"despoof\[report\]"):
        roc_picture({"m": _file({}, 0)}, tmp_path / "picture.png")
