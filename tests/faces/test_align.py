"""The warp against two independent fits and by where landmarks land; half a pixel wrong here shifts every face."""

import cv2
import numpy as np
import pytest
import torch
from skimage.transform import SimilarityTransform, estimate_transform, warp

from despoof.errors import InputError
from despoof.faces.align import ARCFACE_TEMPLATE, FACE_SIZE, TEMPLATE, align, as_image, as_tensor, similarity

# The template in pixels of a 256 px face, as the method's description states it.
AT_256 = np.array([(89.3, 72.9), (169.3, 72.9), (127.9, 127.1), (96.9, 184.9), (159.1, 184.8)])


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T + shift


def dots(landmarks: np.ndarray, size: tuple[int, int], width: float) -> np.ndarray:
    """Gaussian dots, centred on the landmarks in coordinates whose (0, 0) is the middle of the first pixel."""
    y, x = np.mgrid[: size[0], : size[1]]
    spots = [np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * width**2)) for u, v in landmarks]
    return np.repeat((np.clip(sum(spots), 0, 1) * 255).astype(np.uint8)[..., None], 3, 2)


def centroid(image: np.ndarray, near: np.ndarray, reach: int) -> np.ndarray:
    left, top = (near - reach).round().astype(int)
    part = image[top : top + 2 * reach + 1, left : left + 2 * reach + 1, 0].astype(float)
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    return np.array([(part * x).sum(), (part * y).sum()]) / part.sum() + (left, top)


def test_template_pixels():
    np.testing.assert_allclose(TEMPLATE * 256, AT_256, atol=0.07)
    assert ARCFACE_TEMPLATE.shape == (5, 2)


@pytest.mark.parametrize("seed", range(5))
def test_similarity_against_scikit_image_on_scattered_points(seed):
    rng = np.random.default_rng(seed)
    points = turned(AT_256, rng.uniform(-180, 180), rng.uniform(0.2, 5), rng.uniform(-50, 50, 2))
    points += rng.normal(0, 4, points.shape)
    fit = estimate_transform("similarity", points, AT_256)
    np.testing.assert_allclose(similarity(points, AT_256), fit.params[:2], atol=1e-8)


def test_similarity_against_opencv_on_exact_points():
    points = turned(AT_256, 33, 1.7, (20, -5))
    fit, _ = cv2.estimateAffinePartial2D(points, AT_256)
    np.testing.assert_allclose(similarity(points, AT_256), fit, atol=1e-4)


@pytest.mark.parametrize("points", [np.full((5, 2), 3.0), np.full((5, 2), np.nan)])
def test_points_that_are_no_face_are_refused(points):
    with pytest.raises(InputError, match="landmarks"):
        similarity(points, AT_256)


@pytest.mark.parametrize("degrees", [0, 20, -75, 180])
@pytest.mark.parametrize("scale", [0.7, 1.3, 3.3, 5.0])  # the last two take the way through the area filter
def test_landmarks_land_on_the_template(scale, degrees):
    landmarks = turned(AT_256 - 128, degrees, scale, (128 * scale * 1.5, 128 * scale * 1.5))
    side = int(128 * scale * 3)
    face = align(dots(landmarks, (side, side), 4 * scale), landmarks)
    assert face.shape == (256, 256, 3)
    for target in TEMPLATE * 256:
        np.testing.assert_allclose(centroid(face, target, 16), target, atol=0.12)


def test_align_against_the_warp_of_scikit_image(portrait):
    landmarks = turned(AT_256 - 128, 8, 0.9, (220, 130))
    inverse = SimilarityTransform(matrix=np.vstack([similarity(landmarks, TEMPLATE * 256), (0, 0, 1)])).inverse
    expected = warp(portrait, inverse, output_shape=(256, 256), order=1, preserve_range=True)
    inside = warp(np.ones(portrait.shape[:2]), inverse, output_shape=(256, 256), order=1) > 0.99
    difference = np.abs(align(portrait, landmarks).astype(float) - expected)[inside]
    assert inside.mean() > 0.5
    assert difference.mean() < 0.7  # OpenCV interpolates on a grid of 1/32 px


def test_outside_the_picture_is_reflected_not_black():
    image = np.full((100, 100, 3), 180, np.uint8)
    assert align(image, turned(AT_256 / 256, 0, 90, (5, 5))).min() == 180


@pytest.mark.parametrize("degrees", [0, 137])
@pytest.mark.parametrize("shift", [(0, 0), (700, -300), (-600, -260), (830, 1000), (-1000, 200), (4000, 0)])
def test_of_a_large_picture_only_the_face_is_read(portrait, shift, degrees):
    """As from the whole picture made smaller, also where the border lies in the face or the face beyond it."""
    noise = np.random.default_rng(0).normal(0, 5, (1700, 1700, 3))
    image = np.clip(cv2.resize(portrait, (1700, 1700), interpolation=cv2.INTER_CUBIC) + noise, 0, 255).astype(np.uint8)
    landmarks = turned(AT_256 - 128, degrees, 2.7, (740.3, 420.6)) + shift
    factor = 2 * float(np.hypot(*similarity(landmarks, TEMPLATE * FACE_SIZE)[:, 0]))
    whole = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    there = similarity((landmarks + 0.5) * factor - 0.5, TEMPLATE * FACE_SIZE)
    wanted = cv2.warpAffine(whole, there, (FACE_SIZE, FACE_SIZE), borderMode=cv2.BORDER_REFLECT_101)
    off = np.abs(np.subtract(align(image, landmarks), wanted, dtype=int))
    assert off.max() <= 1  # where a part begins, px are averaged that lie up to 1/100 px elsewhere
    assert (off > 0).mean() < 0.05


def test_tensor_and_back(people):
    face = cv2.resize(people[0], (128, 128))
    tensor = as_tensor(face, 128)
    assert tensor.shape == (3, 128, 128)
    assert tensor.dtype == torch.float32
    assert tensor[0, 5, 7] == pytest.approx(face[5, 7, 0] / 127.5 - 1)  # RGB, rows first
    np.testing.assert_array_equal(as_image(tensor), face)
    batch = as_tensor(np.stack([face, face]), 64)
    assert batch.shape == (2, 3, 64, 64)
    assert batch.abs().max() <= 1
    assert as_image(torch.full((3, 4, 4), 9.0)).max() == 255
