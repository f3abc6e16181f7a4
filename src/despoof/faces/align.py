"""Warp a found face to the AG-FAS template: image and five landmarks -> face (256, 256, 3) uint8 RGB.

Coordinates are OpenCV's: the middle of the first pixel is (0, 0). So the point p of an image lies at
(p + 0.5) f - 0.5 once the image is resized by f.
"""

import hashlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

from despoof.errors import InputError

if TYPE_CHECKING:
    import torch

FACE_SIZE = 256  # px a side, on disk
REACH = 4  # px of a face that a warp reads beyond its corners, and more
PHASES = 256  # places at which a part of a picture may begin

# Five points as fractions of the crop's side: eyes, nose, mouth corners, left of the picture first.
# Source: README of the authors' release (AG-FAS).
TEMPLATE = np.array(
    [(0.3489, 0.2848), (0.6614, 0.2848), (0.4996, 0.4963), (0.3784, 0.7222), (0.6215, 0.7217)], np.float64
)
AVERAGED_FROM = 2 * FACE_SIZE * float(TEMPLATE[1, 0] - TEMPLATE[0, 0])  # px between the eyes: 160, see `align`
# The usual ArcFace template, 112 px, as fractions; identity teachers expect it.
ARCFACE_TEMPLATE = (
    np.array(
        [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)],
        np.float64,
    )
    / 112
)


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the 2x3 least-squares similarity (rotation, scale, shift; no reflection) from points to targets.

    Closed form of Umeyama (1991), eqs. 40-42, in two dimensions, where it is linear in (a, b, tx, ty).
    """
    points, targets = np.asarray(points, np.float64), np.asarray(targets, np.float64)
    x, y = (points - points.mean(0)).T
    u, v = (targets - targets.mean(0)).T
    norm = (x * x + y * y).sum()
    if not norm > 0 or not np.isfinite(norm):
        raise InputError(f"points {points.tolist()} are one point or not finite; expected landmarks of a face.")
    a, b = (x * u + y * v).sum() / norm, (x * v - y * u).sum() / norm
    matrix = np.array([[a, -b], [b, a]])
    return np.hstack([matrix, (targets.mean(0) - matrix @ points.mean(0))[:, None]])


def align(
    image: np.ndarray, landmarks: np.ndarray, *, template: np.ndarray = TEMPLATE, size: int = FACE_SIZE
) -> np.ndarray:
    """Return (size, size, 3) uint8 RGB, the face on the template; what lies outside the image is reflected.

    A face more than twice as large as the crop is first averaged down by area, so that every source is seen through one
    filter and its size leaves no trace of aliasing.
    """
    transform = similarity(landmarks, template * size)
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    if scale < 0.5:
        factor = 2 * scale
        part, corner = _part(image, transform, size, factor)
        image = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        transform = similarity((np.asarray(landmarks, np.float64) + 0.5) * factor - 0.5 - corner, template * size)
    return cv2.warpAffine(image, transform, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _part(image: np.ndarray, transform: np.ndarray, size: int, factor: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the part of an image that a warp reads, and where its left top corner lies once both are resized.

    With what is reflected at the image's borders. The part begins where a resized px does, as nearly as any of
    `PHASES` places lies, so that the same px are averaged as in the whole image.
    """
    turn, shift = transform[:, :2], transform[:, 2]
    corners = np.array([(x, y) for x in (-REACH, size + REACH) for y in (-REACH, size + REACH)])
    read = np.linalg.solve(turn, (corners - shift).T)
    spans, begins = [], []
    for low, high, length in zip(read.min(1), read.max(1), image.shape[1::-1], strict=True):
        first = max(0, int(min(low, 2 * length - high)))  # beyond the far border by as much as the mirror lies before
        places = np.arange(max(0, first - PHASES), first + 1)
        begin = places[np.abs(places * factor - np.round(places * factor)).argmin()]
        begins.append(round(begin * factor))
        spans.append(slice(begin, max(0, int(max(high, -low))) + 2))
    return image[spans[1], spans[0]], (begins[0], begins[1])


def shrink(face: np.ndarray, size: int) -> np.ndarray:
    """Return the face (H, W, 3) at (size, size, 3), by area averaging; the one filter used everywhere."""
    if face.shape[0] == size:
        return face
    return cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)


def face_hash(face: np.ndarray) -> str:
    """Return the address of a face (S, S, 3) uint8: 24 hex digits of its shape and pixels."""
    digest = hashlib.blake2b(repr(face.shape).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(face))
    return digest.hexdigest()


def as_tensor(faces: np.ndarray, size: int) -> "torch.Tensor":
    """Return faces (H, W, 3) or (N, H, W, 3) uint8 as (3, size, size) or (N, 3, size, size) in [-1, 1]."""
    import torch

    batch = faces if faces.ndim == 4 else faces[None]
    small = np.stack([shrink(face, size) for face in batch])
    tensor = scaled(torch.from_numpy(small))
    return tensor if faces.ndim == 4 else tensor[0]


def scaled(pixels: "torch.Tensor") -> "torch.Tensor":
    """Return pixels (..., S, S, 3) uint8 as (..., 3, S, S) in [-1, 1], in steps that an exported graph can hold."""
    return pixels.movedim(-1, -3).float() / 127.5 - 1


def as_array(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (..., S, S, 3) uint8 as (..., 3, S, S) float32 in [-1, 1], without torch: what `scaled` returns."""
    return np.moveaxis(pixels, -1, -3).astype(np.float32) / np.float32(127.5) - np.float32(1)


def as_image(face: "np.ndarray | torch.Tensor") -> np.ndarray:
    """Return a face (3, S, S) in [-1, 1], an array or a tensor of the processor, as (S, S, 3) uint8."""
    pixels = (np.clip(np.asarray(face, np.float32), -1, 1).transpose(1, 2, 0) + 1) * 127.5
    return pixels.round().astype(np.uint8)
