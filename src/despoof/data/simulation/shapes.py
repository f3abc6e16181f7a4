"""Outlines on a medium's plane as soft masks: points (h, w, 2), in widths of what is shown -> cover (h, w) in 0..1.

An outline is a signed distance, negative inside. `cover` turns it into what of a pixel lies inside, so that edges are
as soft as a pixel is wide and no softer.
"""

import cv2
import numpy as np

Point = tuple[float, float] | np.ndarray


def cover(distance: np.ndarray, scale: float) -> np.ndarray:
    """Return the share (h, w) of each pixel inside an outline; `scale` is px per unit of distance."""
    return np.clip(0.5 - distance * scale, 0, 1).astype(np.float32)


def rectangle(points: np.ndarray, half: Point, corner: float = 0.0) -> np.ndarray:
    """Return the distance to a rectangle about the origin with rounded corners."""
    beyond = np.abs(points) - (np.asarray(half) - corner)
    return np.hypot(*np.moveaxis(np.maximum(beyond, 0), -1, 0)) + np.minimum(beyond.max(-1), 0) - corner


def oval(points: np.ndarray, middle: Point, half: Point, waves: Point = (), phases: Point = ()) -> np.ndarray:
    """Return roughly the distance to an ellipse whose radius waves two, three, … times around, as scissors cut."""
    away = (points - np.asarray(middle)) / np.asarray(half)
    angle = np.arctan2(away[..., 1], away[..., 0])
    radius = 1 + sum(w * np.cos((k + 2) * angle + p) for k, (w, p) in enumerate(zip(waves, phases, strict=True)))
    return (np.hypot(away[..., 0], away[..., 1]) - radius) * float(np.min(half))


def finger(points: np.ndarray, start: Point, end: Point, radius: float) -> np.ndarray:
    """Return the distance to a rod with round ends."""
    start, along = np.asarray(start, float), np.subtract(end, start, dtype=float)
    share = np.clip(((points - start) @ along) / max(float(along @ along), 1e-9), 0, 1)
    away = points - start - share[..., None] * along
    return np.hypot(away[..., 0], away[..., 1]) - radius


def rounded(distance: np.ndarray, radius: float) -> np.ndarray:
    """Return the shade (h, w) of a rod lit from the front: 1 along its middle, darker towards its outline."""
    across = np.clip(1 + distance / radius, 0, 1)  # 0 in the middle, 1 at the outline
    return (0.45 + 0.55 * np.sqrt(1 - 0.95 * across**2)).astype(np.float32)


def mottled(shape: tuple[int, int], rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Return smooth noise (h, w) of mean 0 and deviation 1, its spots `sigma` px wide."""
    spots = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), sigma)
    return spots / max(float(spots.std()), 1e-6)
