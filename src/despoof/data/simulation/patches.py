"""A live face changed in one place by anything: what a map learns from, where it must not know what it is measured on.

Of the family of CutPaste (arXiv 2104.04015) and DRAEM (2108.07610): a shape is drawn, and in it a piece of another
face, a colour, other light, a texture, or other sharpness. `simulation.local` has the changes that maps are measured
on; none of them is drawn here, though a patch of other light is kin to a glare, and a band of one colour to a margin.
"""

import cv2
import numpy as np

from despoof.data.simulation.camera import to_code, to_linear
from despoof.errors import InputError

INSIDE = 0.4  # share of the change from which a place counts as changed


def patched(face: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a face (S, S, 3) uint8 RGB changed in one place, and where (S, S) bool; `other` gives the pieces."""
    if face.shape != other.shape or face.ndim != 3:
        raise InputError(f"faces of shapes {face.shape} and {other.shape}; expected (S, S, 3) of both. Align them.")
    share, code = _shape(rng, len(face)), face / 255.0
    kind = FILLS[rng.integers(len(FILLS))]
    filled = np.clip(kind(code, other / 255.0, rng), 0, 1)
    changed = code + (filled - code) * share[..., None]
    return (255 * changed).round().astype(np.uint8), share > INSIDE


def _shape(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return the share of the change at each place (side, side): ellipse, rectangle, band or blot, sharp to soft."""
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    angle, centre = rng.uniform(0, np.pi), rng.uniform(-0.32, 0.32, 2)
    x, y = x - centre[0], y - centre[1]
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    half = np.exp(rng.uniform(np.log(0.035), np.log(0.2), 2))  # of the face
    kind, soft = rng.integers(4), rng.choice([0.02, 0.1, 0.4, 1.0])
    if kind == 0:
        far = np.hypot(along / half[0], across / half[1])
    elif kind == 1:
        far = np.maximum(abs(along) / half[0], abs(across) / half[1])
    elif kind == 2:
        far = abs(along) / (0.6 * half[0])
    else:
        far = np.hypot(along / half[0], across / half[1]) * (1 + 0.35 * _noise(rng, side, 0.08, 0.4))
    return np.exp(-0.72 * far**2) if soft == 1 else np.clip((1 - far) / soft + 0.5, 0, 1)


def _noise(rng: np.random.Generator, side: int, short: float, long: float) -> np.ndarray:
    """Return noise (side, side) of deviation 1, of wavelengths between two shares of the side."""
    one = np.fft.fftfreq(side) * side
    rate = np.hypot(one[:, None], one)
    kept = np.fft.fft2(rng.normal(size=(side, side))) * ((rate >= 1 / long) & (rate < 1 / short))
    noise = np.fft.ifft2(kept).real
    return noise / (noise.std() + 1e-9)


def _piece(code: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turned = other[:, ::-1] if rng.random() < 0.5 else other
    moved = np.roll(turned, rng.integers(0, len(code), 2), (0, 1))
    return code + rng.uniform(0.4, 1) * (moved - code)


def _colour(code: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    colour = np.clip(rng.uniform(0, 1) + rng.uniform(-0.15, 0.15, 3), 0, 1)
    return code + rng.uniform(0.2, 0.9) * (colour - code)


def _light(code: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    linear, tint = to_linear((255 * code).round().astype(np.uint8)), rng.uniform(-0.15, 0.15, 3)
    if rng.random() < 0.5:
        return to_code(linear * np.exp(rng.choice([-1, 1]) * rng.uniform(0.3, 1.2) + tint))
    return to_code(linear + rng.uniform(0.08, 0.7) * (1 + tint))


def _texture(code: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side, short = len(code), np.exp(rng.uniform(np.log(0.01), np.log(0.06)))
    if rng.random() < 0.5:
        texture = _noise(rng, side, short, 2 * short)
    else:
        y, x = np.mgrid[:side, :side] / side
        angle = rng.uniform(0, np.pi)
        wave = (x * np.cos(angle) + y * np.sin(angle)) / (2 * short) + rng.random()
        texture = 1.4 * np.sin(2 * np.pi * wave)
    return code + rng.uniform(0.03, 0.15) * texture[..., None] * (1 + rng.uniform(-0.6, 0.6, 3))


def _sharpness(code: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    soft = cv2.GaussianBlur(code, (0, 0), rng.uniform(1, 4) * len(code) / 128)
    return soft if rng.random() < 0.5 else code + rng.uniform(1, 3) * (code - soft)


FILLS = (_piece, _colour, _light, _texture, _sharpness)
