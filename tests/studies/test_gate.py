"""Errors by measured value against hand-counted ones: a camera that errs everywhere must not blame a value."""

import math

import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.evaluation.crossfit import EQUAL, CrossFitted
from despoof.evaluation.scores import ScoreRow
from despoof.faces.quality import QualityLimits
from despoof.faces.store import Store, StoredSample
from despoof.studies.gate import STEPS, parts, refusals

GOOD = {"eye_distance": 90.0, "sharpness": 30.0, "luma": 110.0, "clipped": 0.0, "yaw": 3.0, "pitch": -4.0, "roll": 0.0}
GOOD |= {"margin": 1.2, "room": 2.5}
# camera, label, luma, whether it is judged wrongly
CASES = [
    ("a", Label.LIVE, 110, False), ("a", Label.LIVE, 110, False), ("a", Label.LIVE, 40, True),
    ("b", Label.LIVE, 110, True), ("b", Label.LIVE, 40, True), ("b", Label.LIVE, 40, True),
    ("a", Label.ATTACK, 40, False), ("a", Label.ATTACK, 110, True), ("a", Label.ATTACK, 110, False),
    ("b", Label.ATTACK, 30, True),
]  # fmt: skip


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path, about={"face_size": 256})
    for i, (camera, label, luma, _) in enumerate(CASES):
        sample = Sample(f"{i}.png", label, "none" if label is Label.LIVE else "print", f"s{i}", camera)
        made.add(StoredSample(sample, "face", quality=GOOD | {"luma": float(luma), "yaw": -3.0 * i}), None)
    made.add(StoredSample(Sample("none.png", Label.LIVE, domain="a"), "no_face"), None)
    return made


@pytest.fixture
def judged(store: Store) -> CrossFitted:
    """Two seeds that say the same; a capture without a face is not answered."""
    right = [float(row.sample.label is Label.LIVE) for row in store.rows]
    liveness = [abs(value - case[3]) for value, case in zip(right, CASES, strict=False)] + [np.nan]
    rows = tuple(
        ScoreRow.from_sample(row.sample, None if np.isnan(value) else value, "no_face" if np.isnan(value) else "")
        for row, value in zip(store.rows, liveness, strict=True)
    )
    twice = np.array([liveness, liveness])
    return CrossFitted("p", "m", (0, 1), rows, twice, {EQUAL: np.full(twice.shape, 0.5)})


def test_errors_by_luma_as_counted_by_hand(judged, store):
    by_part = {each.part: each for each in parts(judged, store) if each.value == "luma"}
    assert list(by_part) == ["0 to 35", "35 to 45", "80 to 120"]
    dark, bright, darkest = by_part["35 to 45"], by_part["80 to 120"], by_part["0 to 35"]
    assert (dark.live, dark.live_cameras, dark.bpcer) == (3, 2, 1.0)
    assert dark.bpcer_more == pytest.approx((1 + 0 + 0) / 3)  # in camera b all are wrong, dark or not
    assert (bright.live, bright.bpcer) == (3, pytest.approx(1 / 3))
    assert (bright.attacks, bright.apcer) == (2, 0.5)
    assert bright.apcer_more == pytest.approx(0.5)  # camera a: one of two bright, none of one dark
    assert (darkest.live, darkest.attacks, darkest.apcer) == (0, 1, 1.0)
    assert math.isnan(darkest.bpcer)
    assert math.isnan(darkest.apcer_more)  # camera b has no other attack


def test_every_capture_with_a_face_is_in_one_part_of_each_value(judged, store):
    for name in STEPS:
        own = [each for each in parts(judged, store) if each.value == name]
        assert (sum(each.live for each in own), sum(each.attacks for each in own)) == (6, 4)


def test_refusals_are_counted_by_camera(store):
    a, b = refusals(store, QualityLimits(dark=41.0, yaw=17.0))  # yaw: from the seventh on
    assert (a.camera, a.live, a.live_refused, a.attacks, a.attacks_refused) == ("a", 3, 1, 3, 3)
    assert (b.camera, b.live, b.live_refused, b.attacks, b.attacks_refused) == ("b", 3, 2, 1, 1)
