"""The cue against NumPy and its defining properties; it could lose its sign, its mean, or blow up on zero."""

import numpy as np
import pytest
import torch

from despoof.cue import CUE_FORMS, cue, cue_picture
from despoof.errors import ConfigError, InputError


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    face, counterpart = torch.rand((2, 4, 3, 16, 16), generator=generator) * 2 - 1
    return face, counterpart


@pytest.mark.parametrize("form", CUE_FORMS)
def test_equal_images_give_exactly_zero(pair, form):
    assert torch.equal(cue(pair[0], pair[0].clone(), form), torch.zeros_like(pair[0]))


@pytest.mark.parametrize("form", CUE_FORMS)
def test_one_face_is_as_in_a_batch(pair, form):
    alone = torch.stack([cue(f, c, form) for f, c in zip(*pair, strict=True)])
    torch.testing.assert_close(alone, cue(*pair, form))
    assert alone.dtype == torch.float32


def test_standardised_matches_numpy_per_sample(pair):
    difference = (pair[0] - pair[1]).numpy().astype(np.float64)
    expected = [(d - d.mean()) / (d.std() + 1e-8) for d in difference]
    np.testing.assert_allclose(cue(*pair).numpy(), expected, atol=1e-5)


def test_standardised_forgets_size_and_keeps_sign(pair):
    face, counterpart = pair[0] * 0.25, pair[1] * 0.25
    torch.testing.assert_close(cue(*pair), cue(face, counterpart), atol=1e-5, rtol=0)
    torch.testing.assert_close(cue(face, counterpart), -cue(counterpart, face))


def test_constant_difference_is_no_loud_noise():
    face = torch.full((3, 16, 16), 0.3)
    assert cue(face, torch.full_like(face, 0.1)).abs().max() < 1e-6


def test_signed_and_absolute_by_hand():
    face, counterpart = torch.full((3, 2, 2), -0.5), torch.full((3, 2, 2), 0.25)
    assert cue(face, counterpart, "signed").unique().tolist() == [-0.75]
    assert cue(face, counterpart, "absolute").unique().tolist() == [0.75]


@pytest.mark.parametrize(
    ("face", "counterpart"),
    [
        (torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)),
        (torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)),
        (torch.zeros(0, 3, 8, 8), torch.zeros(0, 3, 8, 8)),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8, dtype=torch.uint8)),
        (torch.full((3, 8, 8), 200.0), torch.zeros(3, 8, 8)),
        (torch.zeros(3, 8, 8), torch.full((3, 8, 8), float("nan"))),
    ],
)
def test_what_is_no_pair_of_faces_is_refused(face, counterpart):
    with pytest.raises(InputError):
        cue(face, counterpart)


def test_unknown_form_is_named():
    with pytest.raises(ConfigError, match="squared.*standardised"):
        cue(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), "squared")


def test_picture_is_grey_where_nothing_is_and_symmetric():
    picture = cue_picture(torch.zeros(3, 16, 16))
    assert picture.shape == (16, 16, 3)
    assert picture.dtype == np.uint8
    assert (picture == 128).all()
    values = torch.zeros(3, 16, 16)
    values[0, :8], values[0, 8:] = 3.0, -3.0
    picture = cue_picture(values)
    assert (picture[:8, :, 0] == 255).all()
    assert (picture[8:, :, 0] == 1).all()
    assert (picture[..., 1:] == 128).all()


def test_one_outlier_does_not_hide_the_rest_and_a_lone_pixel_is_shown():
    values = torch.ones(3, 16, 16)
    values[0, 0, 0] = 1000.0
    assert (cue_picture(values) == 255).all()
    lone = torch.zeros(3, 16, 16)
    lone[2, 5, 7] = -1.0
    assert cue_picture(lone)[5, 7].tolist() == [128, 128, 1]
    with pytest.raises(InputError):
        cue_picture(torch.zeros(1, 3, 8, 8))
