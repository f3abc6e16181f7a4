"""A medium where it is held: its light at every pixel of a picture, its outline, and the hand that holds it."""

from dataclasses import dataclass

import cv2
import numpy as np

from despoof.data.simulation.camera import Camera, to_linear
from despoof.data.simulation.media import Print, Replay, emission, flicker, halftone, lobe, moire, reflectance
from despoof.data.simulation.shapes import Point, cover, finger, mottled, oval, rectangle, rounded

Box = tuple[float, float, float, float]  # left, top, width, height


@dataclass(frozen=True)
class Held:
    """A medium in a picture of (h, w).

    On its plane the middle of what is shown is (0, 0), and what is shown is one wide. `rng` is of this capture.
    """

    medium: Print | Replay
    texture: np.ndarray  # (H, W, 3) uint8 RGB, what is shown
    face: Box  # on the plane
    points: np.ndarray  # (h, w, 2): the point of the plane that each pixel looks at
    scale: float  # px per width
    bend: float  # 1 / radius of the sheet, 0 = flat
    light: np.ndarray  # (h, w, 3) of the room
    rng: np.random.Generator

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and height of what is shown."""
        return 0.5, self.texture.shape[0] / self.texture.shape[1] / 2

    @property
    def middle_of_face(self) -> np.ndarray:
        """The middle (2,) of the face on the plane."""
        return np.array([self.face[0] + self.face[2] / 2, self.face[1] + self.face[3] / 2])


def plane_to_picture(face: Box, target: Point, scale: float, turn: np.ndarray) -> np.ndarray:
    """Return 3x3 from a turned plane to px that puts the middle of `face` at `target`, one width `scale` px wide."""
    x, y, w = turn @ (face[0] + face[2] / 2, face[1] + face[3] / 2, 1)
    shift = np.asarray(target) - scale * np.array([x, y]) / w
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]]) @ turn


def points_of(shape: tuple[int, ...], to_picture: np.ndarray, bend: float = 0.0) -> np.ndarray:
    """Return (h, w, 2): the point of a plane, or of a sheet bent about an upright axis, that each pixel looks at.

    On a cylinder of curvature k what is seen at x lies asin(k x) / k along the sheet.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    points = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(to_picture).T
    points = points[..., :2] / points[..., 2:]
    if bend:
        points[..., 0] = np.arcsin(np.clip(bend * points[..., 0], -0.99, 0.99)) / bend
    return points


def sheet_light(held: Held, camera: Camera, seed: int, *, around: float = 0.0) -> np.ndarray:
    """Return the light (h, w, 3) of a print that goes on for ever; bare paper beyond `around` widths of the picture."""
    medium, rng = held.medium, held.rng
    sheet = _sampled(reflectance(to_linear(held.texture), medium, seed), held)
    sheet = sheet * halftone(medium, camera, held.points, sheet)
    if around:
        printed = cover(rectangle(held.points, held.half), held.scale)[..., None]
        sheet = sheet * printed + np.asarray(medium.paper, np.float32) * (1 - printed)
    slope = held.bend * (held.points[..., :1] - held.middle_of_face[0])  # a bent sheet turns from the light on one side
    shade = np.clip(1 + rng.uniform(0.2, 0.8) * slope * rng.choice((-1, 1)) - 0.4 * slope**2, 0.3, 1.6)
    glare = medium.gloss * lobe(held.points, medium.gloss_at, medium.gloss_width)
    return (sheet * shade.astype(np.float32) + glare) * held.light * np.float32(np.exp(rng.uniform(-0.1, 0.9)))


def cut_out(held: Held, half: Point) -> np.ndarray:
    """Return the distance to what scissors cut around the face, as an oval of this size."""
    waves, phases = held.rng.normal(0, 0.02, 4), held.rng.uniform(0, 2 * np.pi, 4)
    return oval(held.points, held.middle_of_face, half, waves, phases)


def display_light(held: Held, camera: Camera, seed: int, room: np.ndarray) -> tuple[np.ndarray, Point, np.ndarray]:
    """Return the light (h, w, 3) of a display with its frame, half the size of its body, and the distance to it.

    `room` (h, w, 3) is what the glass mirrors.
    """
    medium, rng, screen = held.medium, held.rng, list(held.half)
    if rng.random() < 0.35:  # bars where picture and screen differ in shape
        screen[int(rng.integers(2))] *= rng.uniform(1.05, 1.5)
    frame = np.exp(rng.uniform(np.log(0.01), np.log(0.1)))
    body = screen[0] + frame, screen[1] + frame * rng.uniform(0.8, 2.5)
    corner = rng.uniform(0, 0.1) if medium.width_mm < 120 else rng.uniform(0, 0.02)
    shows = cover(rectangle(held.points, held.half), held.scale)[..., None]
    bars = np.float32(rng.choice((0.0, 0.0, 0.9)))
    panel = _sampled(emission(held.texture, medium), held) * shows + bars * (1 - shows)
    white = np.asarray(medium.white, np.float32) * np.float32(np.exp(rng.uniform(0.0, 1.4)))  # against the room
    panel = panel * white * moire(medium, camera, held.points) * flicker(medium, len(held.points), seed)
    lit = cover(rectangle(held.points, screen, 0.5 * corner), held.scale)[..., None]
    bezel = np.float32(rng.choice((0.01, 0.02, 0.04, 0.5)))
    lamp = medium.reflection * lobe(held.points, rng.uniform(-0.5, 0.5, 2), rng.uniform(0.05, 0.3))
    mirrored = cv2.GaussianBlur(room[:, ::-1], (0, 0), 3.0) * np.float32(rng.uniform(0, 0.06))
    glass = (medium.haze + lamp + mirrored) * held.light
    return panel * lit + bezel * (1 - lit) * held.light + glass, body, rectangle(held.points, body, corner)


def palm(seen: np.ndarray, held: Held, body: Point, side: int, skin: np.ndarray) -> np.ndarray:
    """Return a picture (h, w, 3) with the palm and wrist, of colour `skin` (3,), of who will hold a medium."""
    one = 1 / held.medium.width_mm  # a millimetre
    start = np.array([side * (body[0] - 5 * one), body[1] * held.rng.uniform(-0.2, 0.9)])
    end = start + np.array([side * held.rng.uniform(10, 60), held.rng.uniform(60, 160)]) * one
    return _painted(seen, finger(held.points, start, end, 32 * one), 32 * one, held, skin)


def thumb(seen: np.ndarray, held: Held, body: Point, side: int, skin: np.ndarray) -> np.ndarray:
    """Return the picture with a thumb over the edge of a medium, and often with finger tips over the other edge."""
    rng, one = held.rng, 1 / held.medium.width_mm
    edge = np.array([side * body[0], body[1] * rng.uniform(-0.3, 0.9)])
    tip = edge + np.array([-side * rng.uniform(4, 14), -rng.uniform(5, 25)]) * one
    seen = _painted(
        seen, finger(held.points, edge + np.array([side * 22, 30]) * one, tip, 10 * one), 10 * one, held, skin
    )
    if rng.random() < 0.5:
        for number in range(int(rng.integers(2, 5))):
            tip = np.array([-side * (body[0] - rng.uniform(2, 9) * one), edge[1] + (number * 19 - 20) * one])
            away = tip + np.array([-side * 30, rng.uniform(-4, 8)]) * one
            seen = _painted(seen, finger(held.points, tip, away, 8 * one), 8 * one, held, skin)
    return seen


def _painted(seen: np.ndarray, distance: np.ndarray, radius: float, held: Held, skin: np.ndarray) -> np.ndarray:
    """Return the picture with a rod of skin over it."""
    inside = cover(distance, held.scale)[..., None]
    shade = rounded(distance, radius) * (1 + 0.06 * mottled(distance.shape, held.rng, 2.0))
    return (seen * (1 - inside) + skin * shade[..., None] * held.light * inside).astype(np.float32)


def _sampled(plane: np.ndarray, held: Held) -> np.ndarray:
    """Return a plane (H, W, 3) float32, one width wide, at the points; its border goes on outside."""
    if plane.shape[1] > 1.5 * held.scale:  # average before sampling, or the fine parts would alias
        width = max(8, round(1.5 * held.scale))
        height = max(8, round(width * plane.shape[0] / plane.shape[1]))
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = plane.shape[:2]
    at = (held.points * columns + [(columns - 1) / 2, (rows - 1) / 2]).astype(np.float32)
    return np.maximum(cv2.remap(plane, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), 0)
