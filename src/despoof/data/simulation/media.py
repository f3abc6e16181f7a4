"""Simulated captures: portrait (H, W, 3) uint8 RGB shown on a medium -> picture (h, w, 3) uint8 RGB.

A live face takes the same path as an attack, with an ideal medium. Physics that is modelled: the smaller
gamut, black floor, grain and gloss of a print; the tone, white point, haze, reflection and pixel grid of a
screen, whose moire appears only where pitch, distance and lens let it; the dots of a halftone likewise. `simulate`
shows a portrait that fills the picture; edges, hands, bent paper and masks are of `recapture`.

This is a sanity check for code and training loops, never an accuracy claim: nobody has shown that rendered
attacks alone predict how a detector does on real ones.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from despoof.data.image import read_image
from despoof.data.simulation.camera import (
    Camera,
    blur,
    develop,
    draw_camera,
    look,
    mtf,
    plane_points,
    room_light,
    sense,
    to_linear,
)
from despoof.runs.seed import item_rng

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # linear sRGB, ITU-R BT.709
STRIPES = (1 / 6, 3 / 6, 5 / 6)  # where red, green and blue lie in a pixel, as a share of the pitch
ANGLES = (15.0, 75.0, 0.0)  # of the dots of cyan, magenta and yellow, which take away red, green and blue
HARMONICS = ((1, 0), (2, 0), (0, 1), (1, 1), (1, -1))  # higher ones never pass the lens


@dataclass(frozen=True)
class Ideal:
    """No medium: the portrait itself reflects the room's light, as a live face does."""


@dataclass(frozen=True)
class Print:
    """A sheet of paper. The defaults change nothing (the null medium of the audit)."""

    saturation: float = 1.0  # distance of a colour from grey that the inks keep
    black: float = 0.0  # reflectance of full ink
    paper: tuple[float, ...] = (1.0, 1.0, 1.0)  # reflectance of bare paper, linear RGB
    grain: float = 0.0  # standard deviation of the paper's fibres, of the reflectance
    gloss: float = 0.0  # height of the glare, of paper white
    gloss_width: float = 0.1  # its standard deviation, in widths of the sheet
    gloss_at: tuple[float, ...] = (0.0, 0.0)  # its middle on the sheet
    tone: float = 1.0  # exponent of the printer's own curve
    width_mm: float = 150.0  # of the portrait on the sheet
    dots_mm: float = 0.0  # from dot to dot of the halftone; 0 = none


@dataclass(frozen=True)
class Replay:
    """A display. The defaults change nothing (the null medium of the audit)."""

    width_mm: float = 150.0  # of the portrait on the screen
    pitch_mm: float = 0.0  # from pixel to pixel; 0 = no grid
    fill: tuple[float, ...] = (0.28, 0.8)  # lit part of a subpixel's pitch, across and down
    phase: tuple[float, ...] = (0.0, 0.0)  # of the grid under the picture, in pitches
    gamma: float | None = None  # of the display; None = the sRGB curve
    black: float = 0.0  # floor of the panel, of its white
    white: tuple[float, ...] = (1.0, 1.0, 1.0)  # colour of its white, linear RGB, green = 1
    self_lit: float = 0.0  # 1 = the panel's own light, 0 = the room's
    haze: float = 0.0  # room light scattered back by the glass, of white
    reflection: float = 0.0  # height of a soft mirror image of a lamp, of white
    saturation: float = 1.0  # above 1 where the display makes colours vivid
    flicker: float = 0.0  # height of the bands that a rolling shutter makes of its dimming
    bands: float = 5.0  # how many of them in the picture


Medium = Ideal | Print | Replay
MediumName = Literal["ideal", "print", "replay"]


def draw_medium(name: MediumName, seed: int) -> Medium:
    """Draw a medium; its rng is its own, so that the camera of a seed stays the same."""
    rng = item_rng(seed, "medium", name)
    if name == "print":
        return _draw_print(rng)
    return _draw_replay(rng) if name == "replay" else Ideal()


def _draw_print(rng: np.random.Generator) -> Print:
    glossy = rng.random() < 0.4
    return Print(
        saturation=float(rng.uniform(0.55, 0.9)),
        black=float(rng.uniform(0.01, 0.07)),  # L* 9 (photo ink) to 32 (plain laser)
        paper=tuple(float(v) for v in rng.uniform(0.72, 0.92) * rng.uniform((1, 1, 0.9), (1.03, 1, 1.06))),
        grain=float(rng.uniform(0.003, 0.012)),
        gloss=float(rng.uniform(0.1, 0.5)) if glossy else 0.0,
        gloss_width=float(rng.uniform(0.05, 0.12)),  # glossy paper; glare covers a few percent of the sheet
        gloss_at=tuple(float(v) for v in rng.uniform(-0.6, 0.6, 2)),
    )


def _draw_replay(rng: np.random.Generator) -> Replay:
    warmth = rng.uniform(-0.05, 0.2)  # screens are mostly bluer than the room
    return Replay(
        width_mm=float(rng.uniform(60, 220)),
        pitch_mm=float(rng.choice([0.294, 0.192, 0.156, 0.112, 0.096, 0.078, 0.055])),  # 86 to 458 ppi
        fill=(float(rng.uniform(0.22, 0.31)), float(rng.uniform(0.62, 0.92))),
        phase=tuple(float(v) for v in rng.random(2)),
        gamma=float(rng.uniform(1.9, 2.45)),
        black=float(rng.uniform(0, 0.006)),
        white=(float(np.exp(-warmth)), 1.0, float(np.exp(warmth))),
        self_lit=1.0,
        haze=float(rng.uniform(0, 0.02)),
        reflection=float(rng.uniform(0, 0.08)),
    )


def simulate(image: np.ndarray, medium: Medium, seed: int, *, camera: Camera | None = None) -> np.ndarray:
    """Return the capture (h, w, 3) uint8 RGB of a portrait on a medium; the same arguments give the same bytes.

    The camera is drawn from the seed alone unless one is given, so equal seeds give pairs.
    """
    camera = camera or draw_camera(seed)
    image = read_image(image)
    points = plane_points(camera, image.shape)
    return develop(sense(_radiance(image, medium, camera, points, seed), camera, seed), camera)


def _radiance(image: np.ndarray, medium: Medium, camera: Camera, points: np.ndarray, seed: int) -> np.ndarray:
    """Return the light (h, w, 3) that reaches the sensor from a medium."""
    light = room_light(camera, points.shape[:2])
    if isinstance(medium, Print):
        sheet = reflectance(to_linear(image), medium, seed)
        seen = blur(look(sheet, camera) * light, camera)
        glare = medium.gloss * lobe(points, medium.gloss_at, medium.gloss_width)
        return seen + glare * light
    if isinstance(medium, Replay):
        lit = light * (1 - medium.self_lit) + np.asarray(medium.white, np.float32) * medium.self_lit
        seen = blur(look(emission(image, medium), camera) * lit, camera)
        lamp = medium.reflection * lobe(points, (0.25, -0.25), 0.25)
        return seen * moire(medium, camera, points) + (medium.haze + lamp) * light
    return blur(look(to_linear(image), camera) * light, camera)


def reflectance(linear: np.ndarray, medium: Print, seed: int) -> np.ndarray:
    """Return the reflectance (H, W, 3) of a sheet printed with linear colours in 0..1.

    Inks pull colours towards grey of the same luminance, full ink still reflects `black`, bare paper `paper`.
    """
    matrix = medium.saturation * np.eye(3, dtype=np.float32) + (1 - medium.saturation) * LUMA
    inked = linear @ matrix.T.astype(np.float32)
    if medium.tone != 1 or medium.saturation > 1:
        inked = np.clip(inked, 0, 1) ** np.float32(medium.tone)
    sheet = medium.black + (np.asarray(medium.paper, np.float32) - medium.black) * inked
    if medium.grain == 0:
        return sheet.astype(np.float32)
    fibres = item_rng(seed, "paper grain").standard_normal(linear.shape[:2], dtype=np.float32)
    fibres = cv2.GaussianBlur(fibres, (0, 0), 0.8)
    return (sheet * (1 + medium.grain * fibres / fibres.std())[..., None]).astype(np.float32)


def emission(image: np.ndarray, medium: Replay) -> np.ndarray:
    """Return the light (H, W, 3) of a panel driven with uint8 codes; its white is 1."""
    if medium.gamma is None:
        linear = to_linear(image)
    else:
        linear = ((np.arange(256) / 255) ** medium.gamma).astype(np.float32)[image]
    if medium.saturation != 1:
        grey = linear @ LUMA
        linear = np.clip(grey[..., None] + medium.saturation * (linear - grey[..., None]), 0, 1)
    return medium.black + (1 - medium.black) * linear


def halftone(medium: Print, camera: Camera, points: np.ndarray, sheet: np.ndarray) -> np.ndarray:
    """Return the modulation (h, w, 3), mean 1, that the dots of a printed sheet (h, w, 3) leave to the sensor.

    Each ink is a square lattice of dots at an angle of its own, p apart: to first order 1 + c (cos 2 pi u/p + cos
    2 pi v/p), weighed by `mtf` at its frequency as the grid of a screen is. c is greatest where half of the paper is
    covered, and none where all or nothing is.
    """
    ripple = np.ones(sheet.shape, np.float32)
    if medium.dots_mm == 0:
        return ripple
    cells = points * (medium.width_mm / medium.dots_mm)
    jacobian = _jacobian(cells)
    for channel, angle in enumerate(np.radians(ANGLES)):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned = cells @ turn.T
        depth = 4 * np.clip(sheet[..., channel], 0, 1) * (1 - np.clip(sheet[..., channel], 0, 1))
        for axis in range(2):
            weight = 0.5 * mtf(jacobian.T @ turn[axis], camera)
            if weight > 1e-3:
                ripple[..., channel] += weight * depth * np.cos(2 * np.pi * turned[..., axis])
    return np.maximum(ripple, 0)


def flicker(medium: Replay, rows: int, seed: int) -> np.ndarray:
    """Return the bands (rows, 1, 1), mean 1, that a rolling shutter makes of a display that dims in pulses."""
    phase = item_rng(seed, "flicker").uniform(0, 2 * np.pi)
    bands = 1 + medium.flicker * np.cos(2 * np.pi * medium.bands * np.arange(rows) / rows + phase)
    return bands[:, None, None].astype(np.float32)


def moire(medium: Replay, camera: Camera, points: np.ndarray) -> np.ndarray:
    """Return the grid's modulation (h, w, 3), mean 1, sampled at the photosites.

    A grid of pitch p with lit part w is 1 + sum of 2 sinc(m w) cos 2 pi m (u/p - o), across times down. Lens and
    photosite weigh the harmonic (m, n) by `mtf` at its true frequency J^T (m, n)/p; sampling the weighted
    cosines at the pixels then folds f to f - round(f) without supersampling. The weight is taken at the
    middle of the picture, since the frequency changes little over a mild tilt.
    """
    if medium.pitch_mm == 0:
        return np.ones((*points.shape[:2], 3), np.float32)
    cells = points * (medium.width_mm / medium.pitch_mm) + np.asarray(medium.phase)  # (h, w, 2), in pitches
    jacobian = _jacobian(cells)
    ripple = np.ones((*points.shape[:2], 3))
    for m, n in HARMONICS:
        frequency = jacobian.T @ (m, n)
        weight = 2 * np.sinc(m * medium.fill[0]) * np.sinc(n * medium.fill[1]) * mtf(frequency, camera)
        if abs(weight) > 1e-4:
            for channel, offset in enumerate(STRIPES):
                phase = m * (cells[..., 0] - offset) + n * cells[..., 1]
                ripple[..., channel] += weight * np.cos(2 * np.pi * phase)
    return np.maximum(ripple, 0).astype(np.float32)


def _jacobian(cells: np.ndarray) -> np.ndarray:
    """Return d(u, v) / d(x, y), 2x2, of cells (h, w, 2) in the middle of the picture."""
    row, column = cells.shape[0] // 2, cells.shape[1] // 2
    middle = cells[row, column]
    return np.stack([cells[row, column + 1] - middle, cells[row + 1, column] - middle], 1)


def lobe(points: np.ndarray, middle: tuple[float, ...], width: float) -> np.ndarray:
    """Return a Gaussian spot (h, w, 1) on the plane."""
    distance = ((points - np.asarray(middle)) ** 2).sum(-1, keepdims=True)
    return np.exp(-distance / (2 * width * width)).astype(np.float32)
