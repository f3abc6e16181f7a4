"""Error rates against scikit-learn, closed forms and hand counts: a wrong polarity or tie would not show."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm
from sklearn.metrics import roc_auc_score, roc_curve

from despoof import metrics
from despoof.errors import InputError

# Few distinct values, so that ties within and between classes are common.
SCORES = st.lists(st.integers(-6, 6), min_size=1, max_size=25).map(lambda values: np.array(values, float))
LIVE = np.array([0.9, 0.8, 0.7, 0.4])
ATTACKS = {"print": np.array([0.1, 0.2, 0.3, 0.6]), "display": np.array([0.5, 0.75])}
POOLED = np.concatenate(list(ATTACKS.values()))


def apcer_max(attacks, threshold):
    return max(metrics.apcer(attacks, threshold).values())


def test_hand_counted_rates_at_a_threshold():
    assert metrics.bpcer(LIVE, 0.5) == 1 / 4
    assert metrics.apcer(ATTACKS, 0.5) == {"print": 1 / 4, "display": 1.0}  # 0.5 itself is accepted
    assert apcer_max(ATTACKS, 0.5) == 1.0
    assert metrics.apcer_pooled(POOLED, 0.5) == 3 / 6
    assert metrics.hter(LIVE, POOLED, 0.5) == (3 / 6 + 1 / 4) / 2


def test_hand_counted_auc_and_operating_points():
    # Pairs won: 0.9 beats 6, 0.8 beats 6, 0.7 beats 5, 0.4 beats 3.
    assert metrics.auc(LIVE, POOLED) == pytest.approx(20 / 24)
    # At most 1/4 of prints and none of the displays: threshold above 0.75, so 0.7 and 0.4 are refused.
    point = metrics.bpcer_at_apcer(LIVE, ATTACKS, 0.25)
    assert (point.apcer, point.bpcer) == (0.0, 0.5)
    assert 0.75 < point.threshold <= 0.8
    # Half of the displays may pass: threshold above 0.5, below which only 0.4 is refused.
    assert metrics.bpcer_at_apcer(LIVE, ATTACKS, 0.5).bpcer == 0.25
    # One live of four may be refused: threshold up to 0.7, which one display of two passes.
    point = metrics.apcer_at_bpcer(LIVE, ATTACKS, 0.25)
    assert (point.apcer, point.bpcer) == (0.5, 0.25)
    assert metrics.apcer_at_bpcer(LIVE, ATTACKS, 0.0).apcer == 1.0


def test_target_that_is_met_exactly_counts_as_met():
    attacks = np.arange(100) / 100  # 1 % of them is the single largest
    assert metrics.bpcer_at_apcer(np.array([0.985, 2.0]), {"print": attacks}, 0.01).bpcer == 0.0


@settings(deadline=None, max_examples=200)
@given(SCORES, SCORES)
def test_auc_and_tpr_agree_with_scikit_learn(live, attack):
    truth = np.r_[np.ones(len(live)), np.zeros(len(attack))]
    scores = np.r_[live, attack]
    assert metrics.auc(live, attack) == pytest.approx(roc_auc_score(truth, scores))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    for target in (0.01, 0.1, 0.5):
        assert metrics.tpr_at_fpr(live, attack, target) == pytest.approx(true[false <= target][-1])


@settings(deadline=None, max_examples=200)
@given(SCORES, SCORES)
def test_eer_is_the_closest_pair_of_rates_by_brute_force(live, attack):
    tries = [(abs((attack >= t).mean() - (live < t).mean()), t) for t in [*np.r_[live, attack], np.inf]]
    value, threshold = metrics.eer(live, attack)
    far, frr = (attack >= threshold).mean(), (live < threshold).mean()
    assert abs(far - frr) == pytest.approx(min(tries)[0])
    assert value == pytest.approx((far + frr) / 2)
    assert value == pytest.approx(metrics.hter(live, attack, threshold))


@settings(deadline=None, max_examples=100)
@given(SCORES, SCORES, st.sampled_from([np.exp, np.arctan, lambda x: 3 * x - 7, lambda x: x**3]))
def test_increasing_transforms_change_no_rate(live, attack, transform):
    for rate in (metrics.auc, lambda a, b: metrics.eer(a, b)[0], lambda a, b: metrics.tpr_at_fpr(a, b, 0.1)):
        assert rate(live, attack) == pytest.approx(rate(transform(live), transform(attack)))


@settings(deadline=None, max_examples=100)
@given(SCORES, SCORES)
def test_exchanging_the_classes_and_the_sign_keeps_auc(live, attack):
    assert metrics.auc(live, attack) == pytest.approx(metrics.auc(-attack, -live))
    assert metrics.auc(live, attack) == pytest.approx(1 - metrics.auc(attack, live))


@settings(deadline=None, max_examples=200)
@given(SCORES, st.dictionaries(st.sampled_from("abc"), SCORES, min_size=1), st.sampled_from([0, 0.01, 0.1, 0.5]))
def test_operating_points_keep_their_target_and_are_the_best_that_do(live, attacks, target):
    point = metrics.bpcer_at_apcer(live, attacks, target)
    assert apcer_max(attacks, point.threshold) == point.apcer <= target
    tries = np.unique(np.r_[live, *attacks.values(), 99])
    kept = [metrics.bpcer(live, t) for t in tries if apcer_max(attacks, t) <= target]
    assert point.bpcer == min(kept)
    mirror = metrics.apcer_at_bpcer(live, attacks, target)
    assert metrics.bpcer(live, mirror.threshold) == mirror.bpcer <= target
    kept = [apcer_max(attacks, t) for t in tries if metrics.bpcer(live, t) <= target]
    assert mirror.apcer == min(kept)


def test_two_gaussians_have_the_closed_form_eer_and_auc():
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    distance = 1.7
    live, attack = norm.ppf(quantiles) + distance, norm.ppf(quantiles)
    value, threshold = metrics.eer(live, attack)
    assert value == pytest.approx(norm.cdf(-distance / 2), abs=1e-4)
    assert threshold == pytest.approx(distance / 2, abs=1e-3)
    assert metrics.auc(live, attack) == pytest.approx(norm.cdf(distance / math.sqrt(2)), abs=1e-4)


def test_constant_and_separated_scores():
    assert metrics.eer(np.ones(3), np.ones(5))[0] == 0.5
    assert metrics.auc(np.ones(3), np.ones(5)) == 0.5
    assert metrics.bpcer(np.ones(3), metrics.eer(np.ones(3), np.ones(5))[1]) == 1.0  # the strict choice
    assert metrics.eer(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == (0.0, pytest.approx(0.5))
    assert metrics.eer(np.array([0.1]), np.array([0.9]))[0] == 1.0


def test_neighbouring_floats_are_told_apart():
    above = np.nextafter(0.5, 1)
    assert metrics.eer(np.array([above]), np.array([0.5]))[0] == 0.0


def test_roc_runs_from_accepting_all_to_accepting_none():
    thresholds, passed, refused = metrics.roc(LIVE, POOLED)
    assert (passed[0], refused[0], passed[-1], refused[-1]) == (1, 0, 0, 1)
    assert (np.diff(thresholds) > 0).all()


def test_ece_of_hand_counted_bins():
    # Bin 0.2..0.4 holds 0.3 three times, one of them live; bin 0.8..1 holds 0.9 and 1.0, both live.
    value = metrics.ece(np.array([0.3, 0.9, 1.0]), np.array([0.3, 0.3]), bins=5)
    assert value == pytest.approx((abs(0.9 - 1) + abs(1.9 - 2)) / 5)
    with pytest.raises(InputError, match=r"0\.\.1"):
        metrics.ece(np.array([1.2]), np.array([0.1]))


def test_quantiles_of_beta_are_scipys():
    rng = np.random.default_rng(0)
    for number in range(60):
        presented = 10 ** rng.uniform(0, 4.5)
        errors = rng.uniform(0.1, presented) if number % 2 else max(1, round(rng.uniform(0, presented)))
        share = rng.choice([0.001, 0.025, 0.5, 0.975])
        a, b = errors, max(presented - errors, 0) + 1
        assert metrics.beta_quantile(share, a, b) == pytest.approx(beta.ppf(share, a, b), rel=1e-8)


@pytest.mark.parametrize(("errors", "presented"), [(0, 30), (1, 30), (7, 30), (30, 30)])
def test_clopper_pearson_ends_where_the_binomial_tails_do(errors, presented):
    interval = metrics.proportion_interval(errors, presented)
    if errors:
        assert binom.sf(errors - 1, presented, interval.low) == pytest.approx(0.025)
    if errors < presented:
        assert binom.cdf(errors, presented, interval.high) == pytest.approx(0.025)
    assert 0 <= interval.low <= errors / presented <= interval.high <= 1


def test_rule_of_three_is_close_to_the_exact_bound_and_at_most_one():
    assert metrics.rule_of_three(210) == pytest.approx(1 - 0.05 ** (1 / 210), rel=0.01)
    assert metrics.rule_of_three(2) == 1.0


def test_reliability_of_hand_counted_bins():
    # Bin 0.2..0.4 holds 0.3 three times, one of them live; bin 0.8..1 holds 0.9 and 1.0, both live.
    found = metrics.reliability(np.array([0.3, 0.9, 1.0]), np.array([0.3, 0.3]), bins=5)
    assert found.presented.tolist() == [0, 3, 0, 0, 2]
    assert found.claimed == pytest.approx([math.nan, 0.3, math.nan, math.nan, 0.95], nan_ok=True)
    assert found.live_share == pytest.approx([math.nan, 1 / 3, math.nan, math.nan, 1], nan_ok=True)


def test_uniform_liveness_that_is_the_chance_of_live_is_reliable():
    # liveness u and P(live | u) = u: densities 2u and 2 (1 - u), so quantiles sqrt(q) and 1 - sqrt(1 - q).
    quantiles = (np.arange(30_000) + 0.5) / 30_000
    live, attack = np.sqrt(quantiles), 1 - np.sqrt(1 - quantiles)
    found = metrics.reliability(live, attack)
    assert found.live_share == pytest.approx(found.claimed, abs=2e-3)
    assert metrics.ece(live, attack) == pytest.approx(0, abs=1e-3)
    # Of the square of such liveness v = u**2, the chance of live is sqrt(v): off by E|u**2 - u| = 1/6 on average.
    assert metrics.ece(live**2, attack**2) == pytest.approx(1 / 6, abs=2e-3)


def test_hand_counted_detection_equal_error_rate():
    # Thresholds in (0.7, 0.75] refuse two live of four and pass one display of two, no print.
    assert metrics.d_eer(LIVE, ATTACKS) == (0.5, pytest.approx(0.725))
    assert metrics.d_eer(LIVE, {"print": ATTACKS["print"]}) == metrics.eer(LIVE, ATTACKS["print"])


@settings(deadline=None, max_examples=100)
@given(SCORES, st.dictionaries(st.sampled_from("abc"), SCORES, min_size=1))
def test_detection_equal_error_rate_is_the_closest_pair_by_brute_force(live, attacks):
    value, threshold = metrics.d_eer(live, attacks)
    rates = apcer_max(attacks, threshold), metrics.bpcer(live, threshold)
    assert value == pytest.approx(sum(rates) / 2)
    tries = [*np.unique(np.r_[live, *attacks.values()]), 99]
    gaps = [abs(apcer_max(attacks, t) - metrics.bpcer(live, t)) for t in tries]
    assert abs(rates[0] - rates[1]) == pytest.approx(min(gaps))


def test_the_stronger_of_two_gaussian_species_sets_the_detection_equal_error_rate():
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    species = {"weak": quantiles - 3.0, "strong": quantiles}
    assert metrics.d_eer(quantiles + 1.2, species)[0] == pytest.approx(norm.cdf(-0.6), abs=1e-4)
    # At BPCER 10 % the threshold lies 1.2816 deviations under the mean of live.
    passed = metrics.apcer_at_bpcer(quantiles + 1.2, species, 0.1).apcer
    assert passed == pytest.approx(norm.sf(1.2 + norm.ppf(0.1)), abs=1e-4)


def test_groups_of_any_size_weigh_the_same_in_mean_rates():
    # Camera a has one live and one attack, b a hundred of each: at 0.5, a is wholly wrong and b wholly right.
    live = {"a": np.array([0.2]), "b": np.full(100, 0.8)}
    attacks = {"a": np.array([0.9]), "b": np.full(100, 0.1)}
    curves = metrics.mean_curves(live, attacks)
    (place,) = np.flatnonzero((curves.thresholds > 0.2) & (curves.thresholds < 0.8))
    assert (curves.apcer[place], curves.bpcer[place]) == (0.5, 0.5)
    assert curves.equal_error() == metrics.OperatingPoint(0.5, 0.5, 0.5)
    assert curves.at_bpcer(0.49).bpcer == 0
    assert curves.at_apcer(0.49).bpcer == 1


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(st.sampled_from("abc"), SCORES, min_size=1),
    st.dictionaries(st.sampled_from("abc"), SCORES, min_size=1),
)
def test_points_of_mean_rates_are_the_best_by_brute_force(live, attacks):
    def rates(threshold):
        passed = np.mean([metrics.apcer_pooled(scores, threshold) for scores in attacks.values()])
        return passed, np.mean([metrics.bpcer(scores, threshold) for scores in live.values()])

    curves = metrics.mean_curves(live, attacks)
    values = np.unique(np.r_[tuple(live.values()) + tuple(attacks.values())])
    tries = [rates(threshold) for threshold in [*values, np.nextafter(values[-1], np.inf)]]
    for point in (curves.equal_error(), curves.at_apcer(0.07), curves.at_bpcer(0.05)):
        assert rates(point.threshold) == pytest.approx((point.apcer, point.bpcer))
    equal = curves.equal_error()
    assert abs(equal.apcer - equal.bpcer) == pytest.approx(min(abs(a - b) for a, b in tries))
    assert curves.at_apcer(0.07).bpcer == pytest.approx(min(b for a, b in tries if a <= 0.07))
    assert curves.at_bpcer(0.05).apcer == pytest.approx(min(a for a, b in tries if b <= 0.05))


def test_mean_rates_of_one_group_are_its_own():
    point = metrics.mean_curves({"a": LIVE}, {"a": POOLED}).equal_error()
    assert ((point.apcer + point.bpcer) / 2, point.threshold) == metrics.eer(LIVE, POOLED)
    with pytest.raises(InputError, match="0 of attacks"):
        metrics.mean_curves({"a": LIVE}, {})


def test_non_response_is_a_share_of_presentations():
    assert metrics.non_response_rate(3, 12) == 0.25
    with pytest.raises(InputError):
        metrics.non_response_rate(0, 0)


@pytest.mark.parametrize("bad", [[], [0.1, math.nan], [math.inf], [[0.1]]])
def test_unusable_scores_are_input_errors_in_either_class(bad):
    good, bad = np.array([0.5]), np.array(bad, float)
    for rate in (
        metrics.auc,
        metrics.eer,
        metrics.roc,
        metrics.ece,
        lambda a, b: metrics.hter(a, b, 0.5),
        lambda a, b: metrics.tpr_at_fpr(a, b, 0.1),
        lambda a, b: metrics.apcer_at_bpcer(a, {"print": b}, 0.1),
    ):
        with pytest.raises(InputError):
            rate(good, bad)
        with pytest.raises(InputError):
            rate(bad, good)


def test_unusable_thresholds_targets_and_species_are_input_errors():
    with pytest.raises(InputError, match="NaN"):
        metrics.bpcer(LIVE, math.nan)
    with pytest.raises(InputError, match="0.01"):
        metrics.bpcer_at_apcer(LIVE, ATTACKS, 5)
    with pytest.raises(InputError, match="species"):
        metrics.apcer({}, 0.5)
