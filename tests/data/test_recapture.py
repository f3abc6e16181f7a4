"""Recaptures: a medium lies where the face was, in the surroundings of the live twin, and live ones stay as they are.

Were the live ones softer than what they show, or the attacks without surroundings, a detector would learn that.
"""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from despoof.data.simulation.camera import Camera, plane_points
from despoof.data.simulation.media import Print, Replay, flicker, halftone
from despoof.data.simulation.recapture import RecaptureOptions, draw_camera, recapture
from despoof.data.simulation.shapes import cover, finger, oval, rectangle
from despoof.errors import ConfigError

ATTACKS = ("display", "print", "paper_mask")
SHARP = RecaptureOptions(soft=0)
BOX = (177.0, 65.0, 96.0, 118.0)  # the face of the portrait


def fine(image: np.ndarray) -> float:
    return float(np.log(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()))


@pytest.mark.parametrize("species", ["live", *ATTACKS])
def test_the_same_seed_gives_the_same_bytes(portrait, species):
    first = recapture(portrait, species, 3, box=BOX)
    np.testing.assert_array_equal(first, recapture(portrait, species, 3, box=BOX))
    other = recapture(portrait, species, 4, box=BOX)
    assert other.shape != first.shape or (other != first).any()


def test_one_seed_takes_live_and_attacks_with_one_camera(portrait):
    taken = [recapture(portrait, species, 5, box=BOX) for species in ("live", *ATTACKS)]
    assert {image.shape for image in taken} == {(taken[0].shape[0], taken[0].shape[1], 3)}
    assert max(taken[0].shape) <= 352
    assert len({image.tobytes() for image in taken}) == 4


def test_a_live_recapture_is_as_sharp_and_as_bright_as_the_picture(portrait):
    picture = cv2.resize(portrait, (320, 320), interpolation=cv2.INTER_AREA)
    taken = [recapture(picture, "live", seed, options=SHARP) for seed in range(12)]
    assert np.mean([fine(image) for image in taken]) == pytest.approx(fine(picture), abs=0.35)
    assert np.mean([image.mean() for image in taken]) == pytest.approx(picture.mean(), rel=0.12)


def test_soft_captures_are_of_both_classes(portrait):
    for species in ("live", *ATTACKS):
        detail = []
        for share in (0, 1):
            options = RecaptureOptions(soft=share)
            detail.append(np.mean([fine(recapture(portrait, species, s, box=BOX, options=options)) for s in range(4)]))
        assert detail[0] - detail[1] > 1


def test_as_many_cameras_are_soft_as_asked_for(portrait):
    soft = [draw_camera(portrait, seed, RecaptureOptions(soft=0.25)).lens_sigma > 0.6 for seed in range(400)]
    assert np.mean(soft) == pytest.approx(0.25, abs=0.07)


def marked() -> np.ndarray:
    """A grey picture (240, 320, 3) whose face is a green square of 60 px about (180, 100)."""
    picture = np.full((240, 320, 3), 70, np.uint8)
    picture[70:130, 150:210] = (40, 220, 40)
    return picture


@pytest.mark.parametrize("species", ATTACKS)
def test_what_is_shown_lies_where_the_face_was(species):
    plain = RecaptureOptions(side=(1, 1), soft=0, filling=0, hand=0, alone=1, size=(0.7, 0.9), low_resolution=0, cut=0)
    for seed in range(6):
        image = recapture(marked(), species, seed, box=(150, 70, 60, 60), options=plain).astype(float)
        green = image[..., 1] - image[..., 0]
        y, x = np.nonzero(green > 0.5 * np.quantile(green, 0.999))
        assert np.hypot(x.mean() - 180, y.mean() - 100) < 0.45 * 60
        if species != "paper_mask":  # a mask lies on the face itself
            assert 0.6 * 60 < np.sqrt(len(x)) < 60


def test_around_a_mask_is_what_was_around_the_face(portrait):
    picture = cv2.resize(portrait, (352, 352), interpolation=cv2.INTER_AREA)
    box = tuple(value * 352 / 512 for value in BOX)
    for seed in range(4):
        options = replace(SHARP, hand=0)
        live, mask = (recapture(picture, kind, seed, box=box, options=options) for kind in ("live", "paper_mask"))
        away = np.ones(live.shape[:2], bool)
        away[20:170, 90:220] = False
        assert np.corrcoef(live[away].ravel(), mask[away].ravel())[0, 1] > 0.97
        inside = np.s_[70:110, 140:170]
        assert np.abs(live[inside].astype(float) - mask[inside]).mean() > 5


def test_a_medium_that_fills_the_capture_shows_no_edge():
    """White paper about a dark picture would be seen."""
    dark = np.full((200, 200, 3), 30, np.uint8)
    ranges = []
    for filling in (1, 0):
        options = RecaptureOptions(filling=filling, room=0, soft=0, cut=0)
        taken = [recapture(dark, "print", s, box=(80, 80, 40, 40), options=options) for s in range(8)]
        ranges.append(np.median([np.ptp(cv2.GaussianBlur(image, (0, 0), 3)[..., 1]) for image in taken]))
    assert ranges[0] < 0.5 * ranges[1]


def test_outlines_cover_their_area():
    points = np.stack(np.meshgrid(np.linspace(-1, 1, 401), np.linspace(-1, 1, 401)), -1)
    unit = (2 / 400) ** 2
    assert cover(rectangle(points, (0.5, 0.25)), 200).sum() * unit == pytest.approx(0.5, rel=0.02)
    rounded_off = 0.5 - (4 - np.pi) * 0.1**2
    assert cover(rectangle(points, (0.5, 0.25), 0.1), 200).sum() * unit == pytest.approx(rounded_off, rel=0.02)
    assert cover(oval(points, (0.1, 0), (0.6, 0.3)), 200).sum() * unit == pytest.approx(np.pi * 0.18, rel=0.02)
    rod = 0.2 * 0.6 + np.pi * 0.1**2
    assert cover(finger(points, (-0.3, 0), (0.3, 0), 0.1), 200).sum() * unit == pytest.approx(rod, rel=0.02)


def test_dots_lie_as_far_apart_as_stated_and_fade_where_the_lens_does_not_see_them():
    straight = Camera(side=256, lens_sigma=0.3)
    grey = np.full((256, 256, 3), 0.5, np.float32)
    points = plane_points(straight, grey.shape)
    seen = halftone(Print(width_mm=100.0, dots_mm=100.0 / 40), straight, points, grey)[..., 2]  # yellow lies straight
    spectrum = np.abs(np.fft.rfft(seen.mean(0) - seen.mean()))
    assert spectrum.argmax() == 40
    assert seen.mean() == pytest.approx(1, abs=1e-3)
    fine_dots = halftone(Print(width_mm=100.0, dots_mm=0.12), straight, points, grey)
    assert np.ptp(fine_dots) < 0.05
    assert np.ptp(halftone(Print(width_mm=100.0, dots_mm=2.5), straight, points, np.ones_like(grey))) == 0  # bare paper


def test_flicker_has_as_many_bands_as_stated():
    bands = flicker(Replay(flicker=0.1, bands=7), 280, 0)[:, 0, 0]
    assert np.abs(np.fft.rfft(bands - 1)).argmax() == 7
    assert [bands.max(), bands.min()] == pytest.approx([1.1, 0.9], abs=1e-2)


def test_wrong_options_are_refused(portrait):
    with pytest.raises(ConfigError, match=r"soft is 2.*0\.\.1"):
        RecaptureOptions(soft=2)
    with pytest.raises(ConfigError, match="replay.*display"):
        recapture(portrait, "replay", 0)
