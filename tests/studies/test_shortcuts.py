"""AUC among alike faces: a score that only repeats a shortcut must lose everything, one that is free of it nothing."""

import re

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from despoof.data.sample import Label, Sample
from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.faces.store import Store, StoredSample
from despoof.studies.shortcuts import auc_among_alike, dependences
from despoof.studies.tables import table

RNG = np.random.default_rng(0)
LIVE = np.arange(4000) % 2 == 0
VALUES = RNG.normal(size=4000) + LIVE  # live faces have more of it


def test_a_score_that_is_the_shortcut_keeps_nothing():
    assert roc_auc_score(LIVE, VALUES) > 0.7
    assert auc_among_alike(VALUES, LIVE, VALUES, bins=200) == pytest.approx(0.5, abs=0.03)


def test_a_score_free_of_the_shortcut_keeps_its_auc():
    scores = RNG.normal(size=4000) + LIVE
    free = RNG.normal(size=4000)
    assert auc_among_alike(scores, LIVE, free) == pytest.approx(roc_auc_score(LIVE, scores), abs=0.01)


def test_pairs_by_hand():
    # Two parts: values below and above 5. Part one: live 3 against attacks 1, 4: one half. Part two: 9 over 8: one.
    scores = np.array([3.0, 1.0, 4.0, 9.0, 8.0, 0.0])
    live = np.array([True, False, False, True, False, False])
    values = np.array([1.0, 2.0, 3.0, 7.0, 8.0, 9.0])
    assert auc_among_alike(scores, live, values, bins=2) == pytest.approx((1 + 2) / (2 + 2))
    assert np.isnan(auc_among_alike(scores, np.ones(6, bool), values))


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path, about={"face_size": 256})
    for i in range(40):
        label = Label.LIVE if i % 2 else Label.ATTACK
        sample = Sample(f"{i}.png", label, "none" if i % 2 else "print", f"s{i}", "a")
        face = np.full((256, 256, 3), 3 * i, np.uint8)  # darkness falls with the number, for both alike
        made.add(StoredSample(sample, "face", quality={"eye_distance": 50.0 + i % 2}), face)
    return made


def file_of(store: Store, liveness: list[float]) -> ScoreFile:
    rows = tuple(ScoreRow.from_sample(row.sample, value) for row, value in zip(store.rows, liveness, strict=True))
    facts = {"protocol": "p", "cell": "to-a", "model": "m", "seed": 0, "split": "test", "thresholds": {}}
    return ScoreFile(rows=rows, facts=facts)


def test_the_store_gives_the_measures_and_seeds_are_averaged(store):
    perfect, reversed_ = [float(i % 2) for i in range(40)], [1.0 - i % 2 for i in range(40)]
    (found,) = dependences([file_of(store, perfect), file_of(store, reversed_)], store)
    assert (found.auc, found.alike_in["darkness"]) == (0.5, 0.5)
    assert np.isnan(found.alike_in["size"])  # every live face is larger than every attack: no pair is alike
    (found,) = dependences([file_of(store, perfect)], store)
    assert (found.auc, found.alike_in["darkness"]) == (1.0, 1.0)
    assert "| p | to-a | m | 1.000 |" in re.sub(" +", " ", table([found]))


def test_protocols_are_not_averaged(store):
    one, other = (file_of(store, [abs(each - i % 2) for i in range(40)]) for each in (0.0, 1.0))
    other.facts["protocol"] = "q"
    assert [(each.protocol, each.auc) for each in dependences([one, other], store)] == [("p", 1.0), ("q", 0.0)]


def test_scores_of_another_store_are_refused(store, tmp_path):
    with pytest.raises(InputError, match="lacks 40 samples"):
        dependences([file_of(store, [0.5] * 40)], Store(tmp_path / "other", about={"face_size": 256}))
