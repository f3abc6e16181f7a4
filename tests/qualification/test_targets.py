"""Counts that a target needs, against scipy and by trying every number; a wrong one would promise what is not shown."""

import pytest
from scipy.stats import beta, binom

from despoof.errors import ConfigError
from despoof.metrics import proportion_interval
from despoof.qualification.targets import NAMED, Target, chosen, more_needed


def upper(errors: int, presented: int) -> float:
    """Clopper-Pearson by another library."""
    return 1.0 if errors == presented else float(beta.ppf(0.975, errors + 1, presented - errors))


@pytest.mark.parametrize("limit", [0.03, 0.07, 0.15])
@pytest.mark.parametrize(("errors", "presented"), [(0, 0), (0, 10), (1, 1), (2, 40), (5, 20), (0, 500)])
def test_more_needed_is_the_least_number_that_does(errors, presented, limit):
    more = next(n for n in range(2000) if presented + n and upper(errors, presented + n) < limit)
    assert more_needed(errors, presented, limit) == more


@pytest.mark.parametrize(("errors", "presented"), [(0, 51), (1, 8), (3, 12), (20, 20)])
def test_bounds_leave_a_fortieth_beyond_them(errors, presented):
    """By definition: at the lower bound so many errors or more, at the upper so many or fewer, have 2.5 %."""
    found = proportion_interval(errors, presented)
    if errors:
        assert binom.sf(errors - 1, presented, found.low) == pytest.approx(0.025, abs=1e-9)
    if errors < presented:
        assert binom.cdf(errors, presented, found.high) == pytest.approx(0.025, abs=1e-9)
    assert found.high == pytest.approx(upper(errors, presented), abs=1e-9)


def test_fifty_one_attacks_without_an_error_show_seven_percent():
    assert more_needed(0, 0, 0.07) == 51  # 0.93 ** 51 < 0.025 < 0.93 ** 50
    assert 0.93**51 < 0.025 < 0.93**50


def test_targets_are_named_given_or_both():
    assert [each.name for each in chosen()] == ["nist-800-63", "fido"]
    assert chosen(apcer=0.2) == [Target("own", 0.2, None, "limits given by whoever asked")]
    assert [each.name for each in chosen(["fido", "fido"], bpcer=0.1)] == ["fido", "own"]
    assert (NAMED["nist-800-63"].apcer, NAMED["nist-800-63"].bpcer) == (0.07, None)
    for wrong in ({"names": ["iso"]}, {"apcer": 7.0}, {"bpcer": 0.0}):
        with pytest.raises(ConfigError):
            chosen(**wrong)
    with pytest.raises(ConfigError, match="no limit"):
        Target("t", None, None, "")
