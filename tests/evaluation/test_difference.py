"""Paired differences against hand counts and the plain paired bootstrap: a wrong sign would crown the wrong model."""

from functools import partial

import numpy as np
import pytest

from despoof import metrics
from despoof.data.sample import Label
from despoof.errors import InputError
from despoof.evaluation.difference import COMPARED, compare
from despoof.evaluation.intervals import bootstrap_rounds, difference
from despoof.evaluation.scores import ScoreFile, ScoreRow

HTER, AUC = COMPARED


def _file(model, *, cell="to-a", seed=0, noise=0.0, threshold=0.5, subjects=12, generator=0):
    drawn = np.random.default_rng(generator)
    rows = [
        ScoreRow(
            f"{cell}-{label}-{i}", f"s{i % subjects}", cell, label, species, float(middle + drawn.normal(0, noise))
        )
        for label, species, middle in ((Label.LIVE, "none", 0.7), (Label.ATTACK, "print", 0.3))
        for i in range(48)
    ]
    facts = {"protocol": "p", "cell": cell, "model": model, "seed": seed, "split": "test"}
    return ScoreFile(tuple(rows), facts | {"thresholds": {"source_eer": {"value": threshold, "origin": "sources"}}})


def test_one_cell_and_seed_is_the_paired_bootstrap():
    first, second = _file("a", noise=0.3), _file("b", noise=0.5, generator=1)
    (found,) = compare([first, second], "a", rounds=200)
    assert (found.first, found.second, found.cell) == ("a", "b", "to-a")
    for name, statistic in ((HTER, partial(metrics.hter, threshold=0.5)), (AUC, metrics.auc)):
        drawn = bootstrap_rounds([(statistic, first.scores()), (statistic, second.scores())], rounds=200)
        one, other = (statistic(each.liveness(Label.LIVE), each.liveness(Label.ATTACK)) for each in (first, second))
        assert found.differences[name] == difference(one - other, drawn[:, 0] - drawn[:, 1])


def test_each_cell_keeps_its_people_in_every_round():
    """A cell's interval is the one that it has alone: other cells draw no people into or out of it."""
    files = [_file(name, noise=noise, generator=i) for i, (name, noise) in enumerate((("a", 0.3), ("b", 0.5)))]
    others = [
        _file(name, cell="to-b", noise=noise, generator=i + 2, subjects=40)
        for i, (name, noise) in enumerate((("a", 0.3), ("b", 0.5)))
    ]
    (alone,) = compare(files, "a", rounds=100)
    together = {each.cell: each for each in compare(files + others, "a", rounds=100)}
    assert together["to-a"].differences == alone.differences


def test_each_model_is_judged_at_its_own_source_threshold():
    # Without noise live reads 0.7 and attacks 0.3: at 0.5 nothing is wrong, at 0.8 all live is refused.
    (found,) = compare([_file("a", threshold=0.8), _file("b")], "a", rounds=20)
    assert found.differences[HTER].value == pytest.approx(0.5)
    assert found.differences[HTER].interval == metrics.Interval(0.5, 0.5)
    assert found.differences[AUC].value == 0


def test_seeds_are_averaged_and_cells_too():
    files = [_file("a", seed=0, threshold=0.8), _file("a", seed=1), _file("b")]
    files += [_file(name, cell="to-b") for name in "ab"]
    found = {each.cell: each.differences[HTER].value for each in compare(files, "a", rounds=20)}
    assert found == pytest.approx({"to-a": 0.25, "to-b": 0.0, "mean": 0.125})


def test_a_model_equal_to_itself_differs_by_nothing_though_its_rate_is_uncertain():
    (found,) = compare([_file("a", noise=0.4), _file("b", noise=0.4)], "a", rounds=50)
    assert found.differences[AUC].interval == metrics.Interval(0.0, 0.0)
    assert found.differences[AUC].reversed_share == 0.5


def test_models_of_other_presentations_are_left_out_and_an_unknown_one_refused():
    shorter = ScoreFile(_file("b").rows[1:], _file("b").facts)
    assert compare([_file("a"), shorter], "a", rounds=20) == []
    assert compare([_file("a"), _file("b")], "a", rounds=0) == []
    with pytest.raises(InputError, match="expected one of a, b"):
        compare([_file("a"), _file("b")], "c")
