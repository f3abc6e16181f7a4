"""The points that ship, counted by hand: a threshold from the wrong rows opens the door to what they do not show."""

import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.evaluation.models import figures, thresholds
from despoof.faces.store import StoredSample

LIVENESS = np.array([*np.linspace(0.5, 0.99, 50), *np.linspace(0.01, 0.6, 60)])


def rows(species: str = "print") -> list[StoredSample]:
    samples = [Sample(f"l{i}", Label.LIVE, domain="d") for i in range(50)]
    samples += [Sample(f"a{i}", Label.ATTACK, species, domain="d") for i in range(60)]
    return [StoredSample(sample, "face") for sample in samples]


def test_live_begins_at_equal_error_and_attack_ends_where_one_in_twenty_live_is_lost():
    limits = thresholds(LIVENESS, rows())
    live, attack = LIVENESS[:50], LIVENESS[50:]
    refused, passed = np.mean(live < limits["live_from"]), np.mean(attack >= limits["live_from"])
    assert abs(refused - passed) <= 1 / 50
    assert np.mean(live < limits["attack_below"]) == pytest.approx(2 / 50)  # 2.5 of 50 may be lost
    assert limits["attack_below"] < limits["live_from"]


def test_figures_are_of_their_rows_at_the_thresholds_given():
    found = figures(LIVENESS, rows(), {"attack_below": 0.1, "live_from": 0.75})
    assert (found["live"], found["attack"]) == (50, 60)
    assert found["bpcer_at_live_from"]["low"] < np.mean(LIVENESS[:50] < 0.75) < found["bpcer_at_live_from"]["high"]
    assert found["apcer_pooled_at_live_from"]["low"] == 0  # no attack reaches .75
    pairs = LIVENESS[:50, None] - LIVENESS[None, 50:]
    assert found["auc"] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert found["bpcer_at_apcer_0.1"]["threshold"] == pytest.approx(np.sort(LIVENESS[50:])[-6], abs=0.011)
