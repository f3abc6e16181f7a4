"""Recaptures: a picture of a face, shown on a medium that is held before a background -> picture (h, w, 3) uint8 RGB.

The background is the picture itself, so that an attack stands in the surroundings that its live twin stands in, and
what is around the face (a hand, a bezel, the edge of a sheet, somebody's shoulders) is where it belongs. A live capture
is the background alone: the same resampling, camera and encoding, as sharp or as soft as the attacks beside it.

What is drawn is wide on purpose. Real attacks are paler than live faces to one camera and more vivid to the next, so
nothing that real cameras do not agree on is drawn to one side (`despoof study simulator`).
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np

from despoof.data.image import read_image
from despoof.data.simulation.camera import Camera, blur, develop, room_light, sense, tilted, to_linear
from despoof.data.simulation.held import (
    Box,
    Held,
    cut_out,
    display_light,
    palm,
    plane_to_picture,
    points_of,
    sheet_light,
    thumb,
)
from despoof.data.simulation.media import Print, Replay
from despoof.data.simulation.shapes import cover, mottled, oval, rectangle
from despoof.errors import ConfigError
from despoof.runs.seed import item_rng

Species = Literal["live", "display", "print", "paper_mask"]  # as real attacks are called
Pair = tuple[float, float]
CENTRAL = 0.6  # share of a picture's shorter side that a face takes where nobody said where it is
HAND_MM = 260  # what is shown wider than this stands on a table
SHARES = (
    "filling", "alone", "hand", "bent", "cut", "eye_holes", "rim", "soft", "near", "low_resolution", "halftone",
    "flicker",
)  # fmt: skip


@dataclass(frozen=True)
class RecaptureOptions:
    """Ends of uniform draws, and shares of captures in 0..1; lengths are in face widths unless said otherwise."""

    side: Pair = (0.9, 1.05)  # longest side of what is taken, of the picture's
    longest: int = 352  # and at most, px
    shown: Pair = (1.15, 2.8)  # how much of the picture the medium shows
    size: Pair = (0.5, 1.05)  # width of the face that is shown, of the live one's
    room: float = 1.6  # widths of a picture; one with less shows no edge, so a live capture is left out
    filling: float = 0.1  # share of media whose edges lie outside the capture; three quarters where there is no room
    alone: float = 0.4  # share of media with nobody behind them
    hand: float = 0.6
    tilt: float = 7.0  # deviation, degrees
    bent: float = 0.5  # share of sheets
    cut: float = 0.2  # share of prints cut out along the head
    eye_holes: float = 0.35  # share of masks
    rim: float = 0.5  # share of masks whose cut edge shows white
    crisp: Pair = (0.0, 0.3)  # weight of the unsharp mask that phones and printers put over what they show
    soft: float = 0.25  # share of captures out of focus, live ones too
    soft_sigma: Pair = (0.8, 2.2)  # px
    near: float = 0.35  # share of media held too near for the focus: they are soft, the background is not
    low_resolution: float = 0.5  # share of displays that show something coarse
    coarse: Pair = (28, 90)  # px across the face that such a one has
    halftone: float = 0.4  # share of prints made of dots; the lens decides whether they are seen
    flicker: float = 0.15  # share of displays

    def __post_init__(self) -> None:
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a share in 0..1. Correct it.")


DEFAULT = RecaptureOptions()


@dataclass(frozen=True)
class _Scene:
    """What a medium is held into: the picture, as it came and as the camera sees it, with the face in both."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    box: Box
    live: np.ndarray  # (h, w, 3) float32, linear light, at the camera's size
    at: Box
    light: np.ndarray  # (h, w, 3)
    camera: Camera
    seed: int
    options: RecaptureOptions


def recapture(
    image: np.ndarray, species: Species, seed: int, *, box: Box | None = None, options: RecaptureOptions = DEFAULT
) -> np.ndarray:
    """Return a capture of a picture (H, W, 3) uint8 RGB of a live face; the same arguments give the same bytes.

    `box` is the face in the picture; in its middle where left out. The camera is drawn from the seed alone, so equal
    seeds give pairs of live and attack.
    """
    if species not in get_args(Species):
        raise ConfigError(f"species {species!r}; expected one of {', '.join(get_args(Species))}. Correct it.")
    scene = _scene(read_image(image), seed, box, options)
    rng = item_rng(seed, "scene", species)
    if species == "live":
        seen = scene.live * scene.light
    else:
        seen = _masked(scene, rng) if species == "paper_mask" else _shown(scene, species, rng)
    return develop(sense(blur(seen, scene.camera), scene.camera, seed), scene.camera)


def _scene(image: np.ndarray, seed: int, box: Box | None, options: RecaptureOptions) -> _Scene:
    camera = draw_camera(image, seed, options)
    ratio = camera.side / max(image.shape[:2])
    size = tuple(max(1, round(side * ratio)) for side in image.shape[1::-1])  # width, height
    box = box or _central(image)
    live = to_linear(cv2.resize(image, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR))
    light = np.broadcast_to(room_light(camera, live.shape[:2]), live.shape)
    return _Scene(image, box, live, tuple(ratio * value for value in box), light, camera, seed, options)


def draw_camera(image: np.ndarray, seed: int, options: RecaptureOptions) -> Camera:
    """Draw a camera whose live capture is much like the picture itself: it knows the picture's size and exposure."""
    rng = item_rng(seed, "scene camera")
    warmth = rng.uniform(-0.08, 0.08)
    shot = float(np.exp(rng.uniform(np.log(1e-5), np.log(4e-4))))
    soft = rng.random() < options.soft
    sigma = rng.uniform(*options.soft_sigma) if soft else rng.uniform(0.2, 0.45)
    return Camera(
        side=round(min(options.longest, max(image.shape[:2]) * rng.uniform(*options.side))),
        lens_sigma=float(sigma),
        light=(float(np.exp(-warmth)), 1.0, float(np.exp(warmth))),
        gradient=float(rng.uniform(-0.3, 0.3)),
        metering=float(rng.uniform(0.3, 0.9)),
        target=float(np.clip(to_linear(image).mean() * np.exp(rng.uniform(-0.25, 0.25)), 0.02, 0.6)),
        shot_noise=shot,
        read_noise=float(np.exp(2.18 * np.log(shot) + 1.20)),
        white_balance=float(rng.uniform(0.6, 1.0)),
        contrast=float(rng.uniform(-0.2, 0.2)),
        sharpen=float(rng.uniform(0.1, 0.7)) if not soft else 0.0,
        quality=int(rng.integers(82, 97)),
    )


def room_of(image: np.ndarray, box: Box) -> float:
    """Return how many face widths a picture (H, W, 3) is wide."""
    return image.shape[1] / max(box[2], 1e-6)


def _central(image: np.ndarray) -> Box:
    height, width = image.shape[:2]
    side = CENTRAL * min(height, width)
    return (width - side) / 2, (height - 1.2 * side) / 2, side, 1.2 * side


def _behind(scene: _Scene, rng: np.random.Generator) -> np.ndarray:
    """Return the light (h, w, 3) behind a medium: who holds it, or only the room, out of focus and often darker."""
    live, at = scene.live, scene.at
    seen = live
    if rng.random() < scene.options.alone:
        left, right = int(max(0, at[0])), int(min(live.shape[1], at[0] + at[2]))
        widest = max((live[:, :left], live[:, right:]), key=lambda strip: strip.shape[1])
        if widest.shape[1] >= 8:
            seen = cv2.resize(widest, live.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            seen = cv2.GaussianBlur(seen, (0, 0), 4.0)
        else:  # no room around the face: a wall
            tone = live.reshape(-1, 3).mean(0) * rng.uniform(0.2, 1.5)
            seen = tone * (1 + 0.1 * mottled(live.shape[:2], rng, 20.0)[..., None])
    seen = seen * np.float32(np.exp(rng.uniform(-1.1, 0.1))) * scene.light
    far = rng.uniform(0, 2.5)
    return cv2.GaussianBlur(seen, (0, 0), far) if far > 0.3 else seen


def _texture(
    image: np.ndarray, box: Box, rng: np.random.Generator, shown: float, aspect: float
) -> tuple[np.ndarray, Box]:
    """Return the part of a picture that a medium shows, and where the face is on its plane."""
    left, top, width, height = box
    wide = min(shown * width, image.shape[1])
    tall = min(wide * aspect, image.shape[0])
    x = np.clip(left + width / 2 - wide * rng.uniform(0.4, 0.6), 0, image.shape[1] - wide)
    y = np.clip(top + height / 2 - tall * rng.uniform(0.35, 0.55), 0, image.shape[0] - tall)
    part = image[int(y) : max(int(y) + 2, round(y + tall)), int(x) : max(int(x) + 2, round(x + wide))]
    return part, (
        (left - x) / wide - 0.5, (top - y) / wide - tall / wide / 2, width / wide, height / wide,
    )  # fmt: skip


def _coarse(texture: np.ndarray, across: float, quality: int) -> np.ndarray:
    """Return what is left of a picture of `across` px width, encoded, and shown at its own size again."""
    width = int(np.clip(across, 16, texture.shape[1]))
    small = cv2.resize(texture, (width, max(8, round(width * texture.shape[0] / texture.shape[1]))), interpolation=3)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    small = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return cv2.resize(small, texture.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def _crisp(texture: np.ndarray, weight: float) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 under an unsharp mask."""
    soft = cv2.GaussianBlur(texture, (0, 0), 1.0)
    return cv2.addWeighted(texture, 1 + weight, soft, -weight, 0)


def _shown(scene: _Scene, species: str, rng: np.random.Generator) -> np.ndarray:
    """Return the light (h, w, 3) of a display or a print before a background."""
    options, live, at = scene.options, scene.live, scene.at
    room = room_of(scene.image, scene.box)
    fills = rng.random() < (0.75 if room < options.room else options.filling)
    shown = room if fills else min(room, rng.uniform(*options.shown))
    texture, face = _texture(scene.image, scene.box, rng, shown, rng.uniform(0.9, 1.7))
    texture = _crisp(texture, rng.uniform(*options.crisp))
    scale = rng.uniform(*options.size) * at[2] / face[2]
    if fills:  # its edges lie outside, and what is shown is centred
        scale = max(scale, 1.08 * max(live.shape[1], live.shape[0] * texture.shape[1] / texture.shape[0]))
        target, turn = (np.array(live.shape[1::-1]) - 1) / 2, tilted(*rng.normal(0, 2, 3), 4.0)
        to_picture = plane_to_picture((-0.5, -0.5, 1.0, 1.0), target, scale, turn)
    else:
        target = _middle(at) + rng.normal(0, 0.08, 2) * at[2]
        turn = tilted(*rng.normal(0, options.tilt, 3), rng.uniform(2.5, 5.0))
        to_picture = plane_to_picture(face, target, scale, turn)
    bend = float(rng.normal(0, 0.5)) if species == "print" and rng.random() < options.bent else 0.0
    medium: Print | Replay = _draw_print(rng, options) if species == "print" else _draw_display(rng, options)
    if species == "display" and rng.random() < options.low_resolution:
        texture = _coarse(texture, rng.uniform(*options.coarse) * shown, int(rng.integers(35, 92)))
    held = Held(medium, texture, face, points_of(live.shape, to_picture, bend), scale, bend, scene.light, rng)
    if species == "display":
        lit, body, edge = display_light(held, scene.camera, scene.seed, live)
    else:
        margin = rng.uniform(0.01, 0.12) if rng.random() < 0.6 else 0.0
        lit = sheet_light(held, scene.camera, scene.seed, around=margin)
        body = held.half[0] + margin, held.half[1] + margin
        edge = rectangle(held.points, body)
        if rng.random() < options.cut:  # along the head
            body = face[2] * rng.uniform(0.6, 0.8), face[3] * rng.uniform(0.65, 0.85)
            edge = cut_out(held, body)
    hand = not fills and rng.random() < options.hand and medium.width_mm < HAND_MM
    return _composed(scene, held, lit, edge, body if hand else None)


def _composed(
    scene: _Scene, held: Held, lit: np.ndarray, edge: np.ndarray, in_hand: tuple[float, float] | None
) -> np.ndarray:
    """Return the light (h, w, 3) of a medium before its background; `in_hand` is half the body that a hand holds."""
    rng, options, outline = held.rng, scene.options, cover(edge, held.scale)
    skin, side = _skin(scene) * np.float32(rng.uniform(0.7, 1.4)), int(rng.choice((-1, 1)))
    behind = _shadowed(_behind(scene, rng), outline, held, rng.uniform(0, 0.5))
    if in_hand:
        behind = palm(behind, held, in_hand, side, skin)
    if rng.random() < options.near:
        sigma = rng.uniform(*options.soft_sigma)
        lit, outline = (cv2.GaussianBlur(each, (0, 0), sigma) for each in (lit, outline))
    seen = behind * (1 - outline[..., None]) + lit * outline[..., None]
    return thumb(seen, held, in_hand, side, skin) if in_hand else seen


def _masked(scene: _Scene, rng: np.random.Generator) -> np.ndarray:
    """Return the light (h, w, 3) of somebody who wears the printed face, or holds it before the own one."""
    options, at = scene.options, scene.at
    texture, face = _texture(scene.image, scene.box, rng, 1.6, 1.5)
    texture = _crisp(texture, rng.uniform(*options.crisp))
    scale, bend = rng.uniform(0.85, 1.2) * at[2] / face[2], float(rng.uniform(0.3, 1.3))
    target = _middle(at) + rng.normal(0, 0.04, 2) * at[2]
    to_picture = plane_to_picture(face, target, scale, tilted(*rng.normal(0, 5, 3), rng.uniform(3, 6)))
    medium = replace(_draw_print(rng, options), width_mm=float(rng.uniform(200, 280)))
    points = points_of(scene.live.shape, to_picture, bend)
    held = Held(medium, texture, face, points, scale, bend, scene.light, rng)
    lit = sheet_light(held, scene.camera, scene.seed)
    creases = mottled(scene.live.shape[:2], rng, max(2.0, 0.1 * scale))
    lit = lit * (1 + 0.05 * creases)[..., None]
    half = face[2] * rng.uniform(0.48, 0.62), face[3] * rng.uniform(0.5, 0.62)
    edge = cut_out(held, half)
    if rng.random() < options.rim:  # the cut edge shows the white of the paper
        inner = cover(edge + rng.uniform(0.002, 0.015), scale)[..., None]
        lit = lit * inner + np.asarray(medium.paper, np.float32) * scene.light * (1 - inner)
    outline = cover(edge, scale * rng.uniform(0.3, 1.0))  # paper bends away before it ends
    if rng.random() < options.eye_holes:
        for side in (-1, 1):
            eye = held.middle_of_face + (0.21 * side * face[2], -0.12 * face[3])
            outline = outline * (1 - cover(oval(points, eye, (0.11 * face[2], 0.05 * face[3])), scale))
    behind = _shadowed(scene.live * scene.light, outline, held, rng.uniform(0.1, 0.5))
    seen = behind * (1 - outline[..., None]) + lit * outline[..., None]
    if rng.random() < 0.4 * options.hand:
        return thumb(seen, held, half, int(rng.choice((-1, 1))), _skin(scene) * np.float32(rng.uniform(0.7, 1.4)))
    return seen


def _shadowed(behind: np.ndarray, outline: np.ndarray, held: Held, depth: float) -> np.ndarray:
    """Return a background (h, w, 3) with the soft shadow of what is before it."""
    shadow = cv2.GaussianBlur(outline, (0, 0), max(1.0, 0.05 * held.scale))
    return behind * (1 - depth * np.roll(shadow, round(0.03 * held.scale), (0, 1)))[..., None].astype(np.float32)


def _draw_print(rng: np.random.Generator, options: RecaptureOptions) -> Print:
    glossy, paper = rng.random() < 0.4, rng.uniform(0.78, 0.95)
    dots = float(np.exp(rng.uniform(np.log(0.12), np.log(0.5))))  # 210 to 50 lines an inch
    return Print(
        saturation=float(rng.uniform(0.85, 1.75)),
        black=float(rng.uniform(0.0, 0.03)),
        paper=tuple(float(v) for v in paper * rng.uniform((0.97, 1, 0.92), (1.03, 1, 1.08))),
        grain=float(rng.uniform(0.002, 0.015)),
        gloss=float(rng.uniform(0.1, 0.7)) if glossy else 0.0,
        gloss_width=float(rng.uniform(0.05, 0.2)),
        gloss_at=tuple(float(v) for v in rng.uniform(-0.6, 0.6, 2)),
        tone=float(rng.uniform(0.85, 1.6)),
        width_mm=float(rng.uniform(35, 220)),
        dots_mm=dots if rng.random() < options.halftone else 0.0,
    )


def _draw_display(rng: np.random.Generator, options: RecaptureOptions) -> Replay:
    warmth, phone = rng.uniform(-0.05, 0.3), rng.random() < 0.65
    return Replay(
        width_mm=float(rng.uniform(55, 80) if phone else rng.uniform(120, 500)),
        pitch_mm=float(rng.choice([0.096, 0.078, 0.055] if phone else [0.294, 0.25, 0.192, 0.156, 0.112])),
        fill=(float(rng.uniform(0.22, 0.31)), float(rng.uniform(0.62, 0.92))),
        phase=tuple(float(v) for v in rng.random(2)),
        gamma=float(rng.uniform(1.7, 3.0)),
        black=float(rng.uniform(0, 0.008)),
        white=(float(np.exp(-warmth)), 1.0, float(np.exp(warmth))),
        self_lit=1.0,
        haze=float(rng.uniform(0, 0.03)),
        reflection=float(rng.uniform(0, 0.4)) if rng.random() < 0.4 else 0.0,
        saturation=float(rng.uniform(0.8, 1.9)),
        flicker=float(rng.uniform(0.03, 0.2)) if rng.random() < options.flicker else 0.0,
        bands=float(rng.uniform(2, 14)),
    )


def _middle(box: Box) -> np.ndarray:
    return np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])


def _skin(scene: _Scene) -> np.ndarray:
    """Return the colour (3,) of a hand, linear RGB: that of the middle of the face, paler, as palms are."""
    left, top, width, height = scene.at
    rows = slice(int(max(0, top + 0.4 * height)), int(max(1, top + 0.7 * height)))
    patch = scene.live[rows, int(max(0, left + 0.3 * width)) : int(max(1, left + 0.7 * width))]
    if not patch.size:  # the box lies outside
        return np.float32([0.35, 0.2, 0.14])
    return np.float32(0.75) * np.median(patch.reshape(-1, 3), 0) + np.float32([0.08, 0.05, 0.04])
