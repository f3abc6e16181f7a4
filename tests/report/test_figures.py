"""Pictures are drawn from score files without a window; a missing extra must name itself, not a traceback."""

import builtins
import io
import re

import cv2
import numpy as np
import pytest

from despoof.data.sample import Label
from despoof.errors import DespoofError, InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.report.figures import det_figure, histogram_figure, png, reliability_figure, roc_figure

THRESHOLD = {"source_eer": {"value": 0.5, "origin": "sources"}}


def _file(thresholds: dict, shift: float) -> ScoreFile:
    rng = np.random.default_rng(0)
    rows = [
        ScoreRow(f"{label}-{i}", f"s{i}", "a", label, species, float(rng.random() + up))
        for label, species, up in ((Label.LIVE, "none", shift), (Label.ATTACK, "print", 0.0))
        for i in range(30)
    ]
    facts = {"protocol": "p", "cell": "to-a", "model": "m", "seed": 0, "split": "test"}
    return ScoreFile(tuple(rows), facts | {"thresholds": thresholds})


def _svg(figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()


@pytest.mark.parametrize("draw", [roc_figure, det_figure])
def test_curves_of_other_scores_are_other_pictures(draw):
    pictures = []
    for shift in (0.2, 0.6):
        data = png(draw({"m": _file(THRESHOLD, shift)}))
        pictures.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert pictures[0].shape == pictures[1].shape
    assert (pictures[0] != pictures[1]).any()


def test_histogram_shows_the_threshold_where_one_is_recorded():
    without, with_line = (_svg(histogram_figure(_file(known, 0.3))) for known in ({}, THRESHOLD))
    assert ("source_eer" in with_line, "source_eer" in without) == (True, False)
    assert "attack: print (30)" in with_line


def test_reliability_says_its_error_and_refuses_what_is_no_probability():
    rows = [
        ScoreRow(f"{label}-{i}", f"s{i}", "a", label, species, 0.5)
        for label, species in ((Label.LIVE, "none"), (Label.ATTACK, "print"))
        for i in range(3 if label is Label.LIVE else 1)
    ]
    figure = reliability_figure(ScoreFile(tuple(rows), _file({}, 0).facts))
    assert "ECE 25.0 %" in _svg(figure)  # 0.5 is claimed, 3 of 4 are live
    with pytest.raises(InputError, match="probabilities"):
        reliability_figure(_file({}, 0.5))


def test_lines_of_one_picture_differ_in_stroke_and_not_in_colour_alone():
    text = _svg(roc_figure({f"m{i}": _file({}, 0.1 * i) for i in range(6)}))
    lines = [line for line in text.splitlines() if "stroke-width: 1.4" in line]
    curves = lines[: len(lines) // 2] if len(lines) > 6 else lines  # the legend repeats them
    strokes = {re.sub("stroke: #[0-9a-f]+", "", line.partition("style=")[2]) for line in curves}
    assert len(strokes) == 6


def test_nothing_to_draw_is_refused():
    empty = ScoreFile((), _file({}, 0).facts)
    with pytest.raises(InputError):
        histogram_figure(empty)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DespoofError, match=r"despoof\[report\]"):
        roc_figure({"m": _file({}, 0)})
