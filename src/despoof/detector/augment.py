"""Random change of a face together with its counterpart: (S, S, 3) uint8 -> same.

One `Change` is drawn per item and applied to both, so that augmentation never makes a cue of its own: equal
images stay equal.
"""

from typing import NamedTuple

import cv2
import numpy as np

from despoof.detector.config import Augmentation

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class Change(NamedTuple):
    """What is done to one item, in this order; None skips a step."""

    warp: np.ndarray  # (2, 3), output pixel -> input pixel
    curve: np.ndarray  # (1, 256, 3) uint8, tone curve of each channel
    saturation: float
    blur: float | None  # deviation, pixels
    shrink: int | None  # side in between, pixels
    noise: np.ndarray | None  # (S, S, 3) int16, added
    jpeg: int | None  # quality


def draw_change(generator: np.random.Generator, ranges: Augmentation, side: int) -> Change:
    """Draw one change for images of `side` pixels."""
    colour = 0.0 if generator.random() < ranges.grey else 1 + generator.uniform(-1, 1) * ranges.saturation
    warp, curve = _draw_warp(generator, ranges, side), _draw_curve(generator, ranges)
    degrade = generator.random(4) < ranges.degrade
    blur = generator.uniform(0.2, max(0.2, ranges.blur))
    shrink = round(side * generator.uniform(ranges.shrink, 1))
    deviation = generator.uniform(0, ranges.noise)
    jpeg = int(generator.integers(ranges.jpeg, 96))
    return Change(
        warp,
        curve,
        colour,
        blur if degrade[0] else None,
        shrink if degrade[1] else None,
        _draw_noise(generator, deviation, side) if degrade[2] else None,
        jpeg if degrade[3] else None,
    )


def apply_change(image: np.ndarray, change: Change) -> np.ndarray:
    """Return the changed image (S, S, 3) uint8 RGB."""
    side = image.shape[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(image, change.warp, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    image = cv2.LUT(image, change.curve)
    # distance from grey times the factor: colour' = grey + s (colour - grey)
    matrix = change.saturation * np.eye(3, dtype=np.float32) + (1 - change.saturation) * LUMA
    image = cv2.transform(image, matrix)
    if change.blur is not None:
        image = cv2.GaussianBlur(image, (0, 0), change.blur, borderType=cv2.BORDER_REFLECT_101)
    if change.shrink is not None:
        small = cv2.resize(image, (change.shrink, change.shrink), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    if change.noise is not None:
        image = np.clip(image + change.noise, 0, 255).astype(np.uint8)
    if change.jpeg is not None:
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, change.jpeg])
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return image


def _draw_warp(generator: np.random.Generator, ranges: Augmentation, side: int) -> np.ndarray:
    flip = -1.0 if generator.random() < ranges.flip else 1.0
    scale = 1 + generator.uniform(-1, 1) * ranges.scale
    angle = np.deg2rad(generator.uniform(-1, 1) * ranges.turn)
    shift = generator.uniform(-1, 1, 2) * ranges.shift * side
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[cos * flip, -sin], [sin * flip, cos]])
    centre = np.full(2, (side - 1) / 2)
    return np.hstack([matrix, (centre - matrix @ centre + shift)[:, None]])


def _draw_curve(generator: np.random.Generator, ranges: Augmentation) -> np.ndarray:
    gamma, contrast, gain = np.exp(generator.uniform(-1, 1, 3) * (ranges.gamma, ranges.contrast, ranges.brightness))
    red, blue = np.exp(generator.uniform(-1, 1, 2) * ranges.white_balance)
    tone = (np.linspace(0, 1, 256) ** gamma - 0.5) * contrast + 0.5
    values = 255 * gain * tone[:, None] * (red, 1.0, blue)
    return np.clip(values.round(), 0, 255).astype(np.uint8)[None]  # (1, 256, 3)


def _draw_noise(generator: np.random.Generator, deviation: float, side: int) -> np.ndarray:
    normal = generator.standard_normal((side, side, 3), np.float32)
    return (normal * deviation).round().astype(np.int16)
