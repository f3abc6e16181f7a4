"""Local changes of a face, with the region that each changes: a moiré patch, a glare spot, a paper's edge.

For what says *where* something is wrong: face (S, S, 3) uint8 RGB -> changed face, region (S, S) bool.
Light is added and scaled in linear light, as on a medium; what lies outside the region stays as it was, but for the
tail of a glare.
"""

from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np

from despoof.data.simulation.camera import Camera, to_code, to_linear
from despoof.data.simulation.media import Replay, lobe, moire
from despoof.data.simulation.shapes import cover, rectangle
from despoof.errors import ConfigError
from despoof.runs.seed import item_rng

Kind = Literal["moire", "glare", "edge"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SEEN = 0.02  # deviation that a moiré keeps at half the resolution; pitches that leave less show none
GLARE_ENDS = 0.25  # share of its height at which a glare's region ends


class Change(NamedTuple):
    """`face` (S, S, 3) uint8 after it, `region` (S, S) bool, `size` its share of the face, `strength` in 0..1."""

    face: np.ndarray
    region: np.ndarray
    size: float
    strength: float


def change(face: np.ndarray, kind: Kind, seed: int) -> Change:
    """Return a face (S, S, 3) uint8 RGB with one local change somewhere between brow and chin; seeded."""
    if kind not in CHANGES:
        raise ConfigError(f"local change {kind!r} is unknown; expected one of {', '.join(CHANGES)}.")
    rng = item_rng(seed, "local", kind)
    side = face.shape[0]
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    changed, region, strength = CHANGES[kind](to_linear(face), np.stack([x, y], -1), rng)
    return Change((to_code(changed) * 255).round().astype(np.uint8), region, float(region.mean()), strength)


def _moire(linear: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """A piece of a screen, 0.16 to 0.4 faces wide and high, over which its grid beats with the sensor's."""
    contrast = rng.uniform(0.04, 0.2)
    inside = rectangle(points - rng.uniform(-0.25, 0.25, 2), rng.uniform(0.08, 0.2, 2), 0.02)
    camera, spread = Camera(side=linear.shape[0], lens_sigma=0.2, photosite=0.5), 0.0
    while spread < SEEN:
        screen = Replay(pitch_mm=150 / linear.shape[0] * rng.uniform(0.88, 1.14), phase=tuple(rng.random(2)))
        ripple = moire(screen, camera, _turned(points, rng.uniform(-8, 8))) - 1
        spread = float(cv2.GaussianBlur(ripple, (0, 0), linear.shape[0] / 128)[inside < 0].std())
    ripple = 1 + ripple * contrast / spread
    weight = cover(inside, linear.shape[0])[..., None]
    return linear * (1 + weight * (np.maximum(ripple, 0) - 1)), inside < 0, contrast


def _glare(linear: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """A lamp's mirror image on glass or glossy paper."""
    height = rng.uniform(0.2, 0.9)
    spot = lobe(points, tuple(rng.uniform(-0.3, 0.3, 2)), rng.uniform(0.03, 0.09))
    return linear + height * spot, spot[..., 0] > GLARE_ENDS, height


def _edge(linear: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """The bare margin of a sheet from one side of the crop to the other, and the shadow that it throws."""
    white, width, shade = rng.uniform(0.5, 0.9), rng.uniform(0.03, 0.1), rng.uniform(0.3, 0.7)
    turned = _turned(points, rng.choice([0, 90]) + rng.uniform(-20, 20))
    across = turned[..., 0] - rng.uniform(-0.3, 0.3)
    scale = linear.shape[0]
    sheet = cover(np.abs(across) - width / 2, scale)[..., None]
    behind = (across > width / 2) & (across < width / 2 + 0.03)
    fall = np.where(behind, shade * (1 - (across - width / 2) / 0.03), 0)[..., None]
    return (linear * (1 - fall)) * (1 - sheet) + white * sheet, (np.abs(across) < width / 2) | behind, white


CHANGES = {"moire": _moire, "glare": _glare, "edge": _edge}


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
