"""Each disturbance against what it must give by arithmetic: one that does less would call unsteady verdicts steady."""

import cv2
import numpy as np
import pytest
from scipy.stats import norm

from despoof.errors import InputError
from despoof.faces.detect import FoundFace
from despoof.studies.stability import disturbances as change
from despoof.studies.stability.disturbances import DISTURBANCES, Given, named


def flat(*colour: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), colour or 100, np.uint8)


def face(left: float, top: float, width: float, height: float) -> FoundFace:
    return FoundFace((left, top, width, height), np.zeros((5, 2), np.float32), 1.0)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)


@pytest.fixture
def given(portrait: np.ndarray) -> Given:
    return Given(face(177, 65, 96, 118), cv2.resize(portrait, (300, 200)), "0|a.png")


@pytest.mark.parametrize("name", DISTURBANCES)
def test_every_disturbance_gives_another_picture_the_same_each_time(
    name: str, portrait: np.ndarray, given: Given
) -> None:
    before = portrait.copy()
    other = DISTURBANCES[name](portrait, given)
    assert other.dtype == np.uint8
    assert other.ndim == 3
    assert other.shape[2] == 3
    assert other.flags.c_contiguous
    assert other.shape != portrait.shape or (other != portrait).mean() > 0.2
    assert (portrait == before).all()
    assert (DISTURBANCES[name](portrait, given) == other).all()


def test_names_are_whole_families_or_single_ones() -> None:
    assert named([]) == list(DISTURBANCES)
    assert named(["border black 20 %", "cut"]) == ["cut 1 %", "cut 2 %", "cut 5 %", "cut 10 %", "border black 20 %"]
    with pytest.raises(InputError, match="'fog'"):
        named(["fog"])


@pytest.mark.parametrize("pixels", [40, 400])
def test_a_face_gets_its_width_and_a_picture_without_one_stays(pixels: int) -> None:
    image = flat(0)
    image[:, 16:48] = 200  # the face is a bar of 32 px
    other = change.with_face_across(image, face(16, 0, 32, 48), pixels)
    assert other.shape[:2] == (48 * pixels // 32, 64 * pixels // 32)
    assert abs((other[10, :, 0] > 100).sum() - pixels) <= 1
    assert change.with_face_across(image, None, pixels) is image


def test_halving_is_the_mean_of_four_and_no_picture_gets_too_small_to_read(noise: np.ndarray) -> None:
    image = np.concatenate([noise] * 2, axis=1)[:, :128]
    mean = image.reshape(24, 2, 64, 2, 3).mean((1, 3))
    other = change.resized(np.concatenate([image] * 2), 0.5)
    assert np.abs(other[:24] - mean).max() <= 0.5 + 1e-6
    assert change.resized(noise, 0.1).shape == (32, 32, 3)


@pytest.mark.parametrize("most", [0.02, 0.1])
def test_a_cut_takes_a_random_share_off_each_side_and_nothing_else(most: float) -> None:
    rows, columns = np.meshgrid(np.arange(200), np.arange(250), indexing="ij")
    image = np.stack([rows, columns, columns * 0], -1).astype(np.uint8)  # each pixel says where it was
    shares = []
    for seed in range(200):
        other = change.cut(image, np.random.default_rng(seed), most)
        top, left, bottom, right = *other[0, 0, :2], *other[-1, -1, :2]
        assert (other == image[top : bottom + 1, left : right + 1]).all()
        shares += [left / 250, top / 200, (249 - right) / 250, (199 - bottom) / 200]
    assert max(shares) < most
    assert np.mean(shares) == pytest.approx(most / 2, abs=0.004)  # half a pixel is lost to whole ones


def test_encoders_keep_the_colours_and_lose_more_at_lower_quality(portrait: np.ndarray) -> None:
    for suffix in (".jpg", ".webp"):
        red = change.compressed(flat(200, 40, 20), 90, suffix)
        assert np.abs(red - np.array([200.0, 40, 20])).max() <= 4  # exchanged channels would be 180 off
        losses = [
            np.square(change.compressed(portrait, quality, suffix).astype(float) - portrait).mean()
            for quality in (95, 75, 30)
        ]
        assert 0 < losses[0] < losses[1] < losses[2] < 200


def test_a_stop_doubles_linear_light() -> None:
    assert (change.exposed(flat(128), 1) == 176).all()  # 128 is .2158 of white's light; .4317 is shown as .6885 of 255
    assert (change.exposed(flat(128), -1) == 92).all()  # .1079 as .3619
    assert (change.exposed(flat(200), 1) == 255).all()
    assert (change.exposed(flat(6), 1) == 12).all()  # in the straight part of the curve
    assert (change.exposed(flat(77), 0) == 77).all()


def test_a_share_of_the_face_becomes_white() -> None:
    image = flat(90, height=100, width=100)
    image[20:60, 30:80] = np.linspace(50, 149, 2000).reshape(40, 50, 1).round()
    other = change.clipped(image, face(30, 20, 50, 40), 0.24)
    white = (other[20:60, 30:80] == 255).all(2)
    assert white.mean() == pytest.approx(0.24, abs=0.02)  # levels are whole numbers, each one percent of the face
    gain = 255 / np.quantile(image[20:60, 30:80, 0], 0.76)
    assert (other[0, 0] == round(90 * gain)).all()
    assert (change.clipped(flat(255), None, 0.1) == 255).all()


def test_gamma_white_balance_and_grey() -> None:
    assert (change.with_gamma(flat(128), 2.0) == 64).all()
    assert (change.with_gamma(flat(64), 0.5) == 128).all()
    assert (change.warmed(flat(100, 100, 100), 0.25) == (125, 100, 75)).all()
    assert (change.warmed(flat(250, 9, 100), 0.1) == (255, 9, 90)).all()
    assert (change.warmed(flat(100, 100, 100), -0.1) == (90, 100, 110)).all()
    assert (change.grey(flat(200, 100, 50)) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()


def test_noise_has_its_deviation_and_no_mean() -> None:
    added = change.noisy(flat(128, height=200, width=200), np.random.default_rng(3), 8.0) - 128.0
    assert added.std() == pytest.approx(np.sqrt(64 + 1 / 12), rel=0.01)  # rounding adds a twelfth
    assert abs(added.mean()) < 0.1
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.02


def test_a_blurred_edge_is_the_normal_distribution() -> None:
    image = flat(0)
    image[:, 32:] = 250
    profile = change.blurred(image, 1.2)[20, 27:37, 0]
    assert np.abs(profile - 250 * norm.cdf((np.arange(27, 37) - 31.5) / 1.2)).max() < 4  # a kernel of whole pixels


def test_turns_are_clockwise_and_four_quarters_are_none(noise: np.ndarray) -> None:
    image = flat(0, height=41, width=41)
    image[2:5, 2:5] = 255  # top left
    right = change.quarter_turned(image, 1)
    assert right[2:5, -5:-2].min() == 255
    assert np.abs(change.turned(image, 90).astype(int) - right).max() <= 1
    assert (change.quarter_turned(change.quarter_turned(noise, 1), 3) == noise).all()
    assert change.quarter_turned(noise, 1).shape == (64, 48, 3)
    line = flat(0, height=101, width=101)
    line[50, 50:] = 255  # from the middle to the right
    lit = np.argwhere(change.turned(line, 10)[..., 0] > 100)
    down, across = lit[:, 0] - 50, lit[:, 1] - 50
    assert np.degrees(np.arctan2(down.sum(), across.sum())) == pytest.approx(10, abs=0.5)
    assert (change.mirrored(noise)[:, 0] == noise[:, -1]).all()


@pytest.mark.parametrize(("share", "down", "across"), [(0.1, 5, 6), (0.3, 14, 19)])
def test_borders_leave_the_pixels_and_are_what_they_are_called(
    noise: np.ndarray, share: float, down: int, across: int
) -> None:
    left, right = flat(10, 20, 30), flat(200, 210, 220)
    other = np.concatenate([left, right], axis=1)
    for made, first, last in (
        (change.bordered(noise, share, 128), (128, 128, 128), (128, 128, 128)),
        (change.framed(noise, other, share), (10, 20, 30), (200, 210, 220)),
    ):
        assert made.shape == (48 + 2 * down, 64 + 2 * across, 3)
        assert (made[down : down + 48, across : across + 64] == noise).all()
        assert (made[:, : across - 1] == first).all()
        assert (made[:, -across + 1 :] == last).all()
        assert (made[: down - 1, : across - 1] == first).all()
        assert (made[-down + 1 :, -across + 1 :] == last).all()


def test_a_dim_border_is_dark_and_grainy_and_leaves_the_pixels(noise: np.ndarray) -> None:
    made = change.dimmed(noise, np.random.default_rng(1), 0.3)
    assert made.shape == (48 + 2 * 14, 64 + 2 * 19, 3)
    assert (made[14:62, 19:83] == noise).all()
    rim = np.concatenate([made[:14].ravel(), made[62:].ravel(), made[14:62, :19].ravel(), made[14:62, 83:].ravel()])
    assert rim.mean() == pytest.approx(20, abs=0.3)
    assert rim.std() == pytest.approx(6, rel=0.05)
