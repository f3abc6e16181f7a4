"""Near and far pictures hold what lies around the box, squashed and clamped; `room` says how much there was."""

import numpy as np
import pytest

from despoof.faces.surroundings import SCALES, room, surroundings

PLACES = np.dstack([*np.meshgrid(np.arange(256), np.arange(256)), np.zeros((256, 256))]).astype(np.uint8)  # x, y


def span(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of what a picture of `PLACES` shows."""
    x, y = picture[..., 0], picture[..., 1]
    return int(x.min()), int(y.min()), int(x.max()), int(y.max())


def test_near_and_far_are_multiples_of_the_box_about_its_centre():
    near, far = surroundings(PLACES, (108.0, 98.0, 40.0, 50.0))  # centre 128, 123
    assert near.shape == far.shape == (160, 160, 3)
    np.testing.assert_allclose(span(near), (128 - 54, 123 - 67.5, 128 + 54, 123 + 67.5), atol=1.5)
    np.testing.assert_allclose(span(far), (128 - 80, 123 - 100, 128 + 80, 123 + 100), atol=1.5)


def test_at_a_border_the_picture_moves_inside_and_in_a_small_frame_it_spans_less():
    near, far = surroundings(PLACES, (0.0, 200.0, 40.0, 50.0))
    np.testing.assert_allclose(span(near), (0, 256 - 135, 108, 255), atol=1.5)
    np.testing.assert_allclose(span(far), (0, 56, 160, 255), atol=1.5)
    tight = surroundings(PLACES[:100, :60], (10.0, 25.0, 40.0, 50.0))
    for picture in tight:  # 1.5 boxes wide, all that there is
        np.testing.assert_allclose(span(picture), (0, 12, 59, 87), atol=1.5)


def test_large_crops_are_averaged_and_not_sampled():
    stripes = np.zeros((1280, 1280, 3), np.uint8)
    stripes[:, ::2] = 200
    near = surroundings(stripes, (400.0, 400.0, 400.0, 400.0))[0]
    assert np.abs(near.astype(int) - 100).max() < 25  # each pixel of 6.75 stripes


@pytest.mark.parametrize(
    ("shape", "box", "wanted"),
    [
        ((480, 640), (300, 200, 60, 80), SCALES[0]),
        ((480, 640), (300, 200, 200, 240), 2.0),
        ((480, 640), (100, 0, 512, 400), 1.2),
        ((480, 640), (-60, -40, 800, 500), 0.8),  # the box reaches beyond the frame
    ],
)
def test_room_is_how_many_boxes_fit(shape, box, wanted):
    assert room(np.zeros((*shape, 3), np.uint8), box) == pytest.approx(wanted)
