"""What lies around a face: near and far pictures about its box, cut as the MiniFASNet models are given theirs."""

import cv2
import numpy as np

from despoof.faces.box import Box

SCALES = (2.7, 4.0)  # near and far: face boxes wide; what Silent-Face's pair was trained on
SURROUNDINGS_SIZE = 160  # px a side: twice what that pair takes


def surroundings(image: np.ndarray, box: Box, size: int = SURROUNDINGS_SIZE) -> np.ndarray:
    """Return (2, size, size, 3) uint8, near and far, of a face's box in an image (H, W, 3) uint8.

    Each is squashed to the square; it holds less than its scale says where the image has no more, see `room`.
    """
    return np.stack([_squashed(clamped_crop(image, box, scale), size) for scale in SCALES])


def room(image: np.ndarray, box: Box) -> float:
    """Return how many face boxes the near picture spans, at most `SCALES[0]`; a tight crop has little more than 1."""
    return min(SCALES[0], image.shape[1] / max(box[2], 1e-6), image.shape[0] / max(box[3], 1e-6))


def clamped_crop(image: np.ndarray, box: Box, scale: float) -> np.ndarray:
    """Return the box enlarged about its centre, by less where the frame is smaller, moved into the frame."""
    height, width = image.shape[:2]
    left, top, box_width, box_height = box
    scale = min(scale, width / box_width, height / box_height)
    new_width, new_height = box_width * scale, box_height * scale
    left = np.clip(left + (box_width - new_width) / 2, 0, width - new_width)
    top = np.clip(top + (box_height - new_height) / 2, 0, height - new_height)
    x, y = int(left), int(top)
    return image[y : max(y + 1, round(top + new_height)), x : max(x + 1, round(left + new_width))]


def _squashed(crop: np.ndarray, size: int) -> np.ndarray:
    filter_ = cv2.INTER_AREA if min(crop.shape[:2]) >= size else cv2.INTER_LINEAR
    return cv2.resize(crop, (size, size), interpolation=filter_)
