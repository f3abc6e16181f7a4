"""Random change of a face together with its counterpart: (S, S, 3) uint8 -> same.

One `Change` is drawn per item and applied to both, so that augmentation never makes a cue of its own: equal
images stay equal.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """Ranges of random change, the same for live and attack; every change hits face and counterpart alike.

    Colour is changed moderately: paler and brighter copies are true of every capture domain seen so far, but
    how much is a property of the camera. Changing it hard (0.4, and saturation by 0.8) made the plain detector
    blind to it, at AUC .64 on a held-out domain where sixty plain statistics reach .81 (docs/log.md).
    """

    flip: float = 0.5  # chance
    scale: float = 0.08  # largest change of size, each way
    shift: float = 0.04  # largest shift, of the side
    turn: float = 5.0  # largest rotation, degrees
    brightness: float = 0.25  # largest absolute log gain
    contrast: float = 0.25  # largest absolute log factor about mid grey
    gamma: float = 0.25  # largest absolute log exponent
    white_balance: float = 0.1  # largest absolute log gain of red and of blue against green
    saturation: float = 0.35  # factor within 1 plus or minus this
    grey: float = 0.05  # chance that all colour is taken away
    degrade: float = 0.3  # chance of each of the four below
    blur: float = 1.2  # largest Gaussian deviation, pixels
    shrink: float = 0.5  # smallest size to which the face is averaged before it is enlarged again
    noise: float = 5.0  # largest deviation, grey levels of 255
    jpeg: int = 40  # lowest quality
    framed: float = 0.0  # chance of a plain border, as a bezel or a letterbox makes one
    frame: float = 0.0  # its largest width on each side, of the side


class Change(NamedTuple):
    """What is done to one item, in this order; None skips a step."""

    warp: np.ndarray  # (2, 3), output pixel -> input pixel
    curve: np.ndarray  # (1, 256, 3) uint8, tone curve of each channel
    saturation: float
    blur: float | None  # deviation, pixels
    shrink: int | None  # side in between, pixels
    noise: np.ndarray | None  # (S, S, 3) int16, added
    jpeg: int | None  # quality
    frame: tuple[np.ndarray, np.ndarray] | None = None  # pixels left, top, right, bottom (4,), colour (3,)


def draw_change(rng: np.random.Generator, ranges: Augmentation, side: int) -> Change:
    """Draw one change for images of `side` pixels."""
    colour = 0.0 if rng.random() < ranges.grey else 1 + rng.uniform(-1, 1) * ranges.saturation
    warp, curve = _draw_warp(rng, ranges, side), _draw_curve(rng, ranges)
    degrade = rng.random(4) < ranges.degrade
    blur = rng.uniform(0.2, max(0.2, ranges.blur))
    shrink = round(side * rng.uniform(ranges.shrink, 1))
    deviation = rng.uniform(0, ranges.noise)
    jpeg = int(rng.integers(ranges.jpeg, 96))
    return Change(
        warp,
        curve,
        colour,
        blur if degrade[0] and ranges.blur else None,
        shrink if degrade[1] else None,
        _draw_noise(rng, deviation, side) if degrade[2] else None,
        jpeg if degrade[3] else None,
        _draw_frame(rng, ranges, side) if ranges.framed and rng.random() < ranges.framed else None,
    )


def moved(change: Change, rng: np.random.Generator, ranges: Augmentation, side: int) -> Change:
    """Return the change for another picture of `side` pixels of the same sample: its own place, noise and border.

    Mirroring, tones and encoding are the capture's, hence the same.
    """
    flip = 1.0 if np.linalg.det(change.warp[:, :2]) < 0 else 0.0
    own = replace(ranges, flip=flip, turn=0.0)
    return change._replace(
        warp=_draw_warp(rng, own, side),
        shrink=None if change.shrink is None else round(side * rng.uniform(ranges.shrink, 1)),
        noise=None if change.noise is None else _draw_noise(rng, float(change.noise.std()), side),
        frame=None if change.frame is None else _draw_frame(rng, ranges, side),
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
    if change.frame is not None:
        (left, top, right, bottom), colour = change.frame
        inside = image[top : side - bottom, left : side - right]
        image = np.full_like(image, colour)
        image[top : side - bottom, left : side - right] = inside
    return image


def _draw_warp(rng: np.random.Generator, ranges: Augmentation, side: int) -> np.ndarray:
    flip = -1.0 if rng.random() < ranges.flip else 1.0
    scale = 1 + rng.uniform(-1, 1) * ranges.scale
    angle = np.deg2rad(rng.uniform(-1, 1) * ranges.turn)
    shift = rng.uniform(-1, 1, 2) * ranges.shift * side
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[cos * flip, -sin], [sin * flip, cos]])
    centre = np.full(2, (side - 1) / 2)
    return np.hstack([matrix, (centre - matrix @ centre + shift)[:, None]])


def _draw_curve(rng: np.random.Generator, ranges: Augmentation) -> np.ndarray:
    gamma, contrast, gain = np.exp(rng.uniform(-1, 1, 3) * (ranges.gamma, ranges.contrast, ranges.brightness))
    red, blue = np.exp(rng.uniform(-1, 1, 2) * ranges.white_balance)
    tone = (np.linspace(0, 1, 256) ** gamma - 0.5) * contrast + 0.5
    values = 255 * gain * tone[:, None] * (red, 1.0, blue)
    return np.clip(values.round(), 0, 255).astype(np.uint8)[None]  # (1, 256, 3)


def _draw_frame(rng: np.random.Generator, ranges: Augmentation, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a border: absent on a quarter of the sides; black, white, grey or coloured."""
    widths = (rng.uniform(0, ranges.frame, 4) * side * (rng.random(4) < 0.75)).astype(int)
    grey, colours = rng.integers(0, 256), rng.integers(0, 256, 3)
    kind = rng.choice(4, p=(0.35, 0.2, 0.25, 0.2))
    colour = (np.zeros(3), np.full(3, 255), np.full(3, grey), colours)[kind]
    return widths, colour.astype(np.uint8)


def _draw_noise(rng: np.random.Generator, deviation: float, side: int) -> np.ndarray:
    normal = rng.standard_normal((side, side, 3), np.float32)
    return (normal * deviation).round().astype(np.int16)
