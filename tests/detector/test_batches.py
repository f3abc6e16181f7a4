"""Batches must be balanced, rebuilt from a step's number, and never make a cue or a shortcut of their own."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from despoof.detector.augment import apply_change, draw_change
from despoof.detector.batches import Gathered, check_gathered, draw, inputs, make_batch
from despoof.detector.config import TINY, TINY_TRAINING, Augmentation
from despoof.errors import InputError

CALM = dict.fromkeys(("flip", "scale", "shift", "turn", "brightness", "contrast", "gamma", "white_balance"), 0.0)
STILL = Augmentation(**CALM, saturation=0, grey=0, degrade=0)


@pytest.fixture
def gathered() -> Gathered:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 22, 64, 64, 3), dtype=np.uint8)
    live = np.arange(22) % 2 == 0
    return Gathered(images[0], images[1], live, np.where(np.arange(22) < 12, 3, 7), [f"s{i}" for i in range(22)])


@pytest.fixture
def picture() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:128, 160:288])


def test_every_batch_has_as_many_live_as_attack_of_each_domain(gathered):
    training = replace(TINY_TRAINING, live_per_domain=3, attack_per_domain=3)
    for step in range(20):
        batch = make_batch(gathered, TINY, training, step)
        pairs = Counter(zip(batch.domain.tolist(), batch.live.tolist(), strict=True))
        assert pairs == {(0, True): 3, (0, False): 3, (1, True): 3, (1, False): 3}


def test_a_simulated_domain_takes_its_share_of_a_batch_and_at_least_one_of_a_class(gathered):
    marked = gathered._replace(simulated=gathered.domain == 7)
    for share, expected in ((1.0, 4), (0.5, 2), (0.1, 1)):
        training = replace(TINY_TRAINING, live_per_domain=4, attack_per_domain=4, simulated_share=share)
        picked = draw(marked, training, 3, 0)
        for live in (True, False):
            of_class = picked[gathered.live[picked] == live]
            assert Counter(gathered.domain[of_class].tolist()) == {3: 4, 7: expected}


def test_all_samples_are_seen_equally_often(gathered):
    # 6 + 6 samples of one domain, 5 + 5 of the other, 2 of each group a step: 30 steps are whole rounds.
    seen = Counter(np.concatenate([draw(gathered, TINY_TRAINING, step, 0) for step in range(30)]).tolist())
    assert {seen[i] for i in range(12)} == {10}
    assert {seen[i] for i in range(12, 22)} == {12}


def test_a_step_is_rebuilt_from_its_number_and_differs_from_others(gathered):
    a, b, c = (make_batch(gathered, TINY, TINY_TRAINING, step) for step in (5, 5, 6))
    assert torch.equal(a.face, b.face)
    assert torch.equal(a.cue, b.cue)
    assert not torch.equal(a.face, c.face)
    assert not torch.equal(make_batch(gathered, TINY, TINY_TRAINING, 5, seed=1).face, a.face)


def test_equal_images_stay_equal_under_every_change(gathered):
    same = gathered._replace(counterparts=gathered.faces.copy())
    training = replace(TINY_TRAINING, augmentation=Augmentation(degrade=1.0))
    for step in range(3):
        assert not make_batch(same, TINY, training, step).cue.any()


def test_face_and_counterpart_are_flipped_together(gathered):
    training = replace(TINY_TRAINING, augmentation=replace(STILL, flip=1.0))
    batch, indices = make_batch(gathered, TINY, training, 0), draw(gathered, training, 0, 0)
    face, cue = inputs(gathered.faces[indices], gathered.counterparts[indices], TINY)
    torch.testing.assert_close(batch.face, face.flip(3))
    torch.testing.assert_close(batch.cue, cue.flip(3))


def test_no_range_means_no_change(picture):
    change = draw_change(np.random.default_rng(0), STILL, 128)
    assert np.array_equal(apply_change(picture, change), picture)


def test_grey_takes_all_colour_away_and_keeps_luma(picture):
    changed = apply_change(picture, draw_change(np.random.default_rng(0), replace(STILL, grey=1.0), 128))
    assert (changed == changed[..., :1]).all()
    luma = picture @ np.array([0.299, 0.587, 0.114])
    assert np.abs(changed[..., 0] - luma).max() <= 1


@pytest.mark.parametrize("only", ["blur", "shrink", "noise", "jpeg"])
def test_each_degradation_changes_the_picture_moderately(picture, only):
    mild = {"blur": 0.2, "shrink": 1.0, "noise": 0.0, "jpeg": 95}
    one = mild | {only: {"blur": 1.2, "shrink": 0.5, "noise": 5.0, "jpeg": 40}[only]}
    errors = []
    for seed in range(6):
        ranges = (replace(STILL, degrade=1.0, **values) for values in (mild, one))
        weak, strong = (apply_change(picture, draw_change(np.random.default_rng(seed), r, 128)) for r in ranges)
        errors.append(np.abs(strong.astype(float) - weak).mean())
    assert max(errors) > 0.5
    assert max(errors) < 12


def test_colour_jitter_moves_the_shortcuts(picture):
    # Saturation and luma alone tell attacks apart in real captures; jitter must spread them.
    changed = [apply_change(picture, draw_change(np.random.default_rng(s), Augmentation(), 128)) for s in range(60)]
    luma = [image.mean() for image in changed]
    colour = [float(np.ptp(image.astype(int), axis=2).mean()) for image in changed]
    assert np.std(luma) > 0.08 * picture.mean()
    assert np.std(colour) > 0.15 * np.ptp(picture.astype(int), axis=2).mean()


def test_a_detector_without_cue_needs_no_counterparts(gathered):
    plain = replace(TINY, insertion="none")
    check_gathered(gathered._replace(counterparts=None), plain, "set")
    assert make_batch(gathered._replace(counterparts=None), plain, TINY_TRAINING, 0).cue is None


@pytest.mark.parametrize(
    "change",
    [
        {"counterparts": None},
        {"faces": np.zeros((22, 32, 32, 3), np.uint8)},
        {"counterparts": np.zeros((22, 64, 64, 3), np.float32)},
        {"live": np.zeros(22, np.int64)},
        {"domain": np.zeros(21, np.int64)},
    ],
)
def test_sets_that_do_not_fit_are_refused(gathered, change):
    with pytest.raises(InputError):
        check_gathered(gathered._replace(**change), TINY, "the training set")


def test_a_domain_without_attacks_is_refused_by_name(gathered):
    with pytest.raises(InputError, match="domain 7 has no attack"):
        draw(gathered._replace(live=gathered.live | (gathered.domain == 7)), TINY_TRAINING, 0, 0)
