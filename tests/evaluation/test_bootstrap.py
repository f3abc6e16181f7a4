"""Intervals by subject against closed forms and hand counts: drawing images instead would flatter them."""

import numpy as np
import pytest
from scipy.stats import norm

from despoof.errors import InputError
from despoof.evaluation.intervals import Scores, bootstrap_interval, bootstrap_rounds, difference
from despoof.metrics import auc, hter


def _mean_live(live: np.ndarray, attack: np.ndarray) -> float:
    return float(live.mean())


def _scores(seed: int, subjects: int, images: int, shift: float = 1.0) -> Scores:
    """Make subjects of whom every image of a class scores the same, so images add nothing."""
    values = np.random.default_rng(seed).normal(size=(2, subjects))
    names = [str(i) for i in range(subjects) for _ in range(images)]
    return Scores(np.repeat(values[0] + shift, images), np.repeat(values[1], images), names, names)


def test_interval_of_a_mean_has_the_normal_width_of_its_subjects_however_many_images():
    for images in (1, 20):
        scores = _scores(0, 60, images)
        interval = bootstrap_interval([(_mean_live, scores)])
        width = 2 * norm.ppf(0.975) * scores.live[::images].std() / np.sqrt(60)
        assert interval.high - interval.low == pytest.approx(width, rel=0.12)
        assert interval.low < scores.live.mean() < interval.high


def test_the_seed_decides_the_draws():
    scores = _scores(1, 30, 2)
    assert bootstrap_interval([(auc, scores)], seed=1) == bootstrap_interval([(auc, scores)], seed=1)
    assert bootstrap_interval([(auc, scores)], seed=1) != bootstrap_interval([(auc, scores)], seed=2)


def test_a_subject_moves_with_all_its_live_and_attack():
    scores = Scores(np.array([1.0, 5.0]), np.array([1.0, 5.0]), ["a", "b"], ["a", "b"])
    table = bootstrap_rounds([(lambda live, attack: float(live.sum() - attack.sum()), scores)], rounds=50)
    assert (table == 0).all()


def test_pairs_share_their_draws_even_where_one_answers_less():
    full = Scores(np.array([1.0, 2, 3]), np.array([0.0, 0]), ["a", "b", "c"], ["a", "b"])
    less = Scores(np.array([1.0, 3]), np.array([0.0, 0]), ["a", "c"], ["a", "b"])
    counts = [(lambda live, attack, i=i: float((live == i).sum()), s) for i in (1, 3) for s in (full, less)]
    table = bootstrap_rounds(counts, rounds=100)
    assert (table[:, 0] == table[:, 1]).all()
    assert (table[:, 2] == table[:, 3]).all()


def test_mean_of_equal_runs_is_as_uncertain_as_one():
    scores = _scores(2, 40, 1)
    one = bootstrap_interval([(auc, scores)])
    three = bootstrap_interval([(auc, scores)] * 3)
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


def test_paired_difference_sees_what_overlapping_intervals_hide():
    worse = _scores(3, 80, 1)
    better = Scores(worse.live + 0.3, worse.attack, worse.live_subjects, worse.attack_subjects)
    first, second = bootstrap_interval([(auc, better)]), bootstrap_interval([(auc, worse)])
    assert first.low < second.high  # apart, the two look alike
    drawn = bootstrap_rounds([(auc, better), (auc, worse)])
    found = difference(auc(better.live, better.attack) - auc(worse.live, worse.attack), drawn[:, 0] - drawn[:, 1])
    assert found.interval.low > 0
    assert found.reversed_share == 0


def test_scores_that_share_no_subject_keep_their_number_of_subjects_and_are_drawn_apart():
    """Two test domains of 4 and 40 people: with one draw for all, the small one had between 1 and 11 of its 4."""
    small, large = (
        Scores(np.arange(n), np.zeros(n), [f"{name}/{i}" for i in range(n)], [f"{name}/{i}" for i in range(n)])
        for name, n in (("small", 4), ("large", 40))
    )
    table = bootstrap_rounds([(lambda live, attack: float(len(live)), each) for each in (small, large)], rounds=50)
    assert (table == (4, 40)).all()
    alone = bootstrap_rounds([(_mean_live, large)], rounds=50, seed=0)
    assert (bootstrap_rounds([(_mean_live, large), (_mean_live, large)], rounds=50)[:, [0]] == alone).all()
    means = bootstrap_rounds([(_mean_live, small), (_mean_live, large)], rounds=400)
    assert abs(np.corrcoef(means.T)[0, 1]) < 0.15


def test_a_chain_of_shared_subjects_is_one_stratum():
    chain = [
        Scores(np.array([1.0, 1]), np.array([0.0, 0]), pair, pair) for pair in (["a", "b"], ["b", "c"], ["d", "e"])
    ]
    counts = bootstrap_rounds([(lambda live, attack: float(len(live)), each) for each in chain], rounds=100)
    assert counts[:, 2].tolist() == [2] * 100
    assert set(counts[:, 0] + counts[:, 1]) > {4.0}


def test_draws_without_a_class_are_drawn_again():
    scores = Scores(np.array([1.0]), np.array([0.0, 0.2]), ["a"], ["b", "c"])
    rounds = bootstrap_rounds([(lambda live, attack: hter(live, attack, 0.1), scores)], rounds=200)
    assert np.isfinite(rounds).all()
    assert set(np.unique(rounds)) == {0.0, 0.25, 0.5}


def test_an_empty_class_or_unmatched_subjects_are_refused():
    with pytest.raises(InputError):
        Scores(np.array([]), np.array([1.0]), [], ["a"])
    with pytest.raises(InputError):
        Scores(np.array([1.0, 2.0]), np.array([1.0]), ["a"], ["a"])
