"""Rates over cameras by hand, by scikit-learn and by closed forms: a camera in its own threshold would be peeking."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from despoof import metrics
from despoof.data.draws import CameraDraws
from despoof.data.sample import Label
from despoof.errors import InputError
from despoof.evaluation import cameras
from despoof.evaluation.crossfit import APCER_7, BPCER_5, EQUAL, cross_fitted, cross_fitted_thresholds
from despoof.evaluation.scores import ScoreFile, ScoreRow
from score_files import fold, random_folds

A = {"none": [0.9, 0.8, 0.4, 0.7], "print": [0.1, 0.6]}
B = {"none": [0.5, 0.3], "display": [0.2, 0.35, None], "print": [0.55]}
C = {"none": [0.95, None], "display": [0.05, 0.15]}


def toy(**facts) -> list[ScoreFile]:
    """Three folds of one camera each."""
    return [fold(0, {"a": A}, "bc", **facts), fold(1, {"b": B}, "ac", **facts), fold(2, {"c": C}, "ab", **facts)]


def test_the_threshold_of_a_fold_comes_from_all_other_cameras_which_weigh_the_same():
    found = cross_fitted_thresholds(toy())
    # Of b and c: live .3 .5 | .95, attacks .2 .35 .55 | .05 .15. Means meet above .35 and up to .5: 1/4 and 1/6.
    point = found["fold-0"][EQUAL]
    assert 0.35 < point.threshold <= 0.5
    assert (point.bpcer, point.apcer) == (1 / 4, pytest.approx(1 / 6))
    # Of a and b one live of four and none may be refused at 5 %: none at all, up to the lowest live, .3.
    assert 0.2 < found["fold-2"][BPCER_5].threshold <= 0.3
    assert found["fold-2"][BPCER_5].apcer == pytest.approx((1 / 2 + 2 / 3) / 2)
    # Of a and c no attack may pass at 7 %: above .6.
    assert 0.6 < found["fold-1"][APCER_7].threshold <= 0.7
    assert found["fold-1"][APCER_7].bpcer == pytest.approx((1 / 4 + 0) / 2)


def test_what_a_camera_scored_moves_no_threshold_of_its_own():
    changed = [*toy()[:2], fold(2, {"c": {"none": [0.01, 0.02], "display": [0.99]}}, "ab")]
    before, after = cross_fitted_thresholds(toy()), cross_fitted_thresholds(changed)
    assert after["fold-2"] == before["fold-2"]
    assert after["fold-0"] != before["fold-0"]


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (toy()[:2], "c"),
        ([*toy(), fold(3, {"a": A}, "bc")], "one fold"),
        ([fold(0, {"a": A}, "")], "expected all folds"),
        ([*toy()[:2], fold(2, {"c": C}, "ab", seed=1)], "one protocol, model and seed"),
        ([*toy()[:2], fold(2, {"c": C}, "ab", split="validation")], "test files"),
    ],
)
def test_a_fold_that_is_missing_twice_there_or_of_another_run_is_refused(files, what):
    with pytest.raises(InputError, match=what):
        cross_fitted_thresholds(files)


def test_hand_counted_figures_of_each_camera_and_their_means():
    (judged,) = cross_fitted(toy())
    found = cameras.on_cameras(judged, rounds=0)
    # a, at the middle of (.35, .5]: the live of .4 is refused, the print at .6 passes.
    # b, from live .4 .7 .8 .9 | .95 and attacks .1 .6 | .05 .15: 1/8 to 1/4 in (.4, .6], 1/8 to 0 in (.6, .7],
    # as near and a lower mean: .65, where both live are refused and no attack passes, but one has no answer.
    # c, from a and b: between .3 and .7, where its own one answer of live and its attacks are right.
    threshold = {name: judged.thresholds[EQUAL][0][[r.domain for r in judged.rows].index(name)] for name in "abc"}
    assert [threshold[name] for name in "ab"] == pytest.approx([0.425, 0.65])
    assert 0.3 < threshold["c"] <= 0.7
    figures = {name: dict(zip("abc", each.values[0], strict=True)) for name, each in found.figures.items()}
    assert figures[cameras.BPCER] == pytest.approx({"a": 1 / 4, "b": 1, "c": 1 / 2})  # c: no answer
    assert figures[cameras.APCER] == pytest.approx({"a": 1 / 2, "b": 1 / 4, "c": 0})
    assert figures[cameras.HTER] == pytest.approx({"a": 3 / 8, "b": 5 / 8, "c": 1 / 4})
    assert figures["no answer"] == pytest.approx({"a": 0, "b": 1 / 6, "c": 1 / 4})
    assert figures[cameras.AUC] == pytest.approx({"a": 7 / 8, "b": 3 / 6, "c": 1})
    assert found.mean(found.figures[cameras.HTER]).value == pytest.approx((3 / 8 + 5 / 8 + 1 / 4) / 3)
    assert found.worst(cameras.AUC) == ("b", pytest.approx(1 / 2))
    assert found.worst(cameras.HTER) == ("b", pytest.approx(5 / 8))
    species = {name: each.values[0].tolist() for name, each in found.species.items()}
    np.testing.assert_equal(species, {"display": [np.nan, 1 / 3, 0], "print": [1 / 2, 0, np.nan]})
    assert found.mean(found.species["print"]).value == pytest.approx(1 / 4)


def test_figures_are_those_of_scikit_learn_and_of_plain_metrics():
    files = random_folds(0)
    found = cameras.on_cameras(cross_fitted(files)[0], rounds=0)
    thresholds = cross_fitted_thresholds(files)
    one = metrics.mean_curves(*_by_camera(files)).at_bpcer(0.05)
    passed = []
    for i, camera in enumerate(found.names):
        file = files[i // 2]
        part = ScoreFile(tuple(row for row in file.rows if row.domain == camera), file.facts)
        live, attack = part.liveness(Label.LIVE), part.liveness(Label.ATTACK)
        truth = np.r_[np.ones(len(live)), np.zeros(len(attack))]
        values = {name: each.values[0, i] for name, each in found.figures.items()}
        assert values[cameras.AUC] == pytest.approx(roc_auc_score(truth, np.r_[live, attack]))
        assert values[cameras.EER] == pytest.approx(metrics.eer(live, attack)[0])
        threshold = thresholds[f"fold-{i // 2}"][EQUAL].threshold
        assert values[cameras.HTER] == pytest.approx(metrics.hter(live, attack, threshold))
        passed.append(metrics.apcer_pooled(attack, one.threshold))
    assert (
        found.mean(found.figures[cameras.ONE_APCER]).value == pytest.approx(np.mean(passed)) == pytest.approx(one.apcer)
    )


def _by_camera(files):
    groups = {label: {} for label in Label}
    for row in itertools.chain(*(file.rows for file in files)):
        groups[row.label].setdefault(row.domain, []).append(row.liveness)
    return [{name: np.array(values) for name, values in groups[label].items()} for label in (Label.LIVE, Label.ATTACK)]


def test_draws_keep_each_camera_whole_and_its_people_together():
    people = ["p", "p", "q", "r", "s", "s"]
    draws = CameraDraws(["a", "a", "a", "a", "b", "b"], people, rounds=200)
    first, second = draws.times
    assert (first[:, 0] == first[:, 1]).all()  # one person
    assert ((first[:, 0] + first[:, 2] + first[:, 3]) == 3).all()  # three people drawn of three
    assert (second.sum(1) == 2).all()  # one name for all of b: its images are drawn
    assert (second[:, 0] != second[:, 1]).any()
    alone = CameraDraws(["b", "b"], ["s", "s"], rounds=200)
    assert (alone.times[0] == second).all()  # whatever else was tested


def test_an_interval_over_cameras_has_the_width_that_theory_gives_for_two_stages():
    """Rates of 60 cameras scatter by .1, each seen in 25 images: variance of the mean (.01 + .25 / 25) / 60."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0.5, 0.1, 60).clip(0.05, 0.95)
    errors = (rng.random((60, 25)) < truth[:, None]).astype(float)
    names = [f"c{i:02d}" for i in range(60) for _ in range(25)]
    draws = CameraDraws(names, names, rounds=4000)
    drawn = np.stack([each @ errors[i] / each.sum(1) for i, each in enumerate(draws.times)])
    interval = draws.interval(draws.mean(drawn))
    between, within = errors.mean(1).var(), (errors.var(1) / 25).mean()
    width = 2 * norm.ppf(0.975) * np.sqrt((between + within) / 60)
    assert interval.high - interval.low == pytest.approx(width, rel=0.06)
    fixed = draws.interval(draws.mean(np.repeat(errors.mean(1)[:, None], 4000, axis=1)))
    assert fixed.high - fixed.low == pytest.approx(2 * norm.ppf(0.975) * np.sqrt(between / 60), rel=0.06)


def test_drawn_figures_are_those_of_the_drawn_presentations():
    (judged,) = cross_fitted(random_folds(3, count=2, size=6))
    found = cameras.on_cameras(judged, rounds=20)
    errors = judged.errors(judged.thresholds[EQUAL])[0]
    for i, (place, times) in enumerate(zip(found.draws.places, found.draws.times, strict=True)):
        for r in range(20):
            whole = np.repeat(place, times[r].astype(int))
            live = judged.live[whole]
            scores = judged.liveness[0][whole]
            assert found.figures[cameras.AUC].drawn[i, r] == pytest.approx(roc_auc_score(live, scores))
            both = errors[whole][live].mean(), errors[whole][~live].mean()
            assert found.figures[cameras.HTER].drawn[i, r] == pytest.approx(np.mean(both))


def test_seeds_are_averaged_and_a_species_is_the_mean_of_the_cameras_that_have_it():
    files = random_folds(1) + random_folds(2, seed=1)
    (judged,) = cross_fitted(files)
    assert judged.seeds == (0, 1)
    found = cameras.on_cameras(judged, rounds=50)
    apart = [cameras.on_cameras(cross_fitted([f for f in files if f.facts["seed"] == s])[0], rounds=50) for s in (0, 1)]
    for name in (cameras.AUC, cameras.HTER):
        values = [each.mean(each.figures[name]).value for each in apart]
        mean = found.mean(found.figures[name])
        assert mean.value == pytest.approx(np.mean(values))
        assert mean.sd == pytest.approx(np.std(values, ddof=1))
        drawn = np.mean([each.figures[name].drawn for each in apart], axis=0)
        np.testing.assert_allclose(found.figures[name].drawn, drawn, rtol=1e-5)
    other = [*files[:-1], ScoreFile(files[-1].rows[1:], files[-1].facts)]
    with pytest.raises(InputError, match="other samples"):
        cross_fitted(other)


def test_differences_are_paired_and_other_presentations_are_left_out():
    same, better = random_folds(5), random_folds(5, model="better")
    lifted = [  # the same scores, but every live one higher
        ScoreFile(
            tuple(ScoreRow(r.path, r.subject, r.domain, r.label, r.attack_type, r.liveness + (r.label is Label.LIVE))
                  for r in file.rows), file.facts,
        )
        for file in better
    ]  # fmt: skip
    less = [ScoreFile(file.rows[:-1], file.facts) for file in random_folds(5, model="less")]
    found = [cameras.on_cameras(each, rounds=300) for each in cross_fitted(same + lifted + less)]
    head, row = cameras.difference_table(found, "better")
    assert row[1] == "m"
    assert row[-1] == ", ".join(cameras.COMPARED)
    better, plain = found[0], found[2]
    gain = better.mean(better.figures[cameras.AUC]).value - plain.mean(plain.figures[cameras.AUC]).value
    assert row[head.index("AUC")].startswith(f"{100 * gain:+.2f} (")
    overlap = [each.mean(each.figures[cameras.AUC]).interval for each in (better, plain)]
    wide = overlap[0].high - overlap[0].low + overlap[1].high - overlap[1].low
    low, high = (float(text) for text in row[head.index("AUC")].rpartition("(")[2].rstrip(")").split(" to "))
    assert (high - low) / 100 < wide  # as independent ones would be wider
    with pytest.raises(InputError, match="better, less, m"):
        cameras.difference_table(found, "best")


def test_tables_name_their_cameras_and_say_cross_fitted():
    found = [cameras.on_cameras(each, rounds=20) for each in cross_fitted(toy())]
    head, row = cameras.row_table(found)
    assert dict(zip(head, row, strict=True))["worst AUC"] == "50.00 (b)"
    assert any("cross-fitted" in name for name in head)
    assert [each[2] for each in cameras.camera_table(found)[1:]] == ["a", "b", "c"]
    assert [each[2:5] for each in cameras.species_table(found)[1:]] == [("display", "2", "5"), ("print", "2", "3")]
    points = {each[2]: each[3:] for each in cameras.point_table(found)[1:]}
    assert list(points) == ["strict: mean APCER 7 %", "balanced: equal error", "lenient: mean BPCER 5 %"]
