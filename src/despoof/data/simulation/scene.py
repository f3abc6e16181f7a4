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
from despoof.data.simulation.camera import Camera, blur, develop, room_light, sense, tilted, to_code, to_linear
from despoof.data.simulation.media import Print, Replay, emission, flicker, halftone, lobe, moire, reflectance
from despoof.data.simulation.shapes import cover, finger, mottled, oval, rectangle, rounded
from despoof.errors import ConfigError
from despoof.runs.seed import item_rng

Species = Literal["live", "display", "print", "paper_mask"]  # as real attacks are called
Box = tuple[float, float, float, float]  # left, top, width, height of the face
Pair = tuple[float, float]
CENTRAL = 0.6  # share of a picture's shorter side that a face takes where nobody said where it is


@dataclass(frozen=True)
class SceneOptions:
    """Ends of uniform draws, and shares of captures in 0..1; lengths are in face widths unless said otherwise."""

    side: Pair = (0.9, 1.05)  # longest side of what is taken, of the picture's
    longest: int = 352  # and at most, px
    shown: Pair = (1.15, 2.8)  # how much of the picture the medium shows
    size: Pair = (0.5, 1.05)  # width of the face that is shown, of the live one's
    filling: float = 0.2  # share of media whose edges lie outside the capture
    tight: float = 1.6  # a picture with less room than this has no edges to show; three quarters of its media fill it
    alone: float = 0.4  # share of media with nobody behind them
    hand: float = 0.6
    tilt: float = 7.0  # deviation, degrees
    bent: float = 0.5  # share of sheets
    cut: float = 0.2  # share of prints cut out along the head
    eye_holes: float = 0.5  # share of masks
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
        for name in ("filling", "alone", "hand", "near", "bent", "cut", "eye_holes", "rim", "soft", "low_resolution", "halftone"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a share in 0..1. Correct it.")


@dataclass(frozen=True)
class _Held:
    """A medium where it is held: its plane has the middle of what is shown at (0, 0) and what is shown one wide."""

    medium: Print | Replay
    texture: np.ndarray  # (H, W, 3) uint8 RGB, what is shown
    to_picture: np.ndarray  # 3x3, point of the plane -> px
    scale: float  # px per width
    bend: float  # 1 / radius of the sheet
    rng: np.random.Generator
    face: Box  # of the face, on the plane


def recapture(
    image: np.ndarray, species: Species, seed: int, *, box: Box | None = None, options: SceneOptions = SceneOptions()
) -> np.ndarray:
    """Return a capture of a picture (H, W, 3) uint8 RGB of a live face; the same arguments give the same bytes.

    `box` is the face in the picture; in its middle where left out. The camera is drawn from the seed alone, so equal
    seeds give pairs of live and attack.
    """
    if species not in get_args(Species):
        raise ConfigError(f"species {species!r}; expected one of {', '.join(get_args(Species))}. Correct it.")
    image = read_image(image)
    camera = draw_camera(image, seed, options)
    ratio = camera.side / max(image.shape[:2])
    size = tuple(max(1, round(side * ratio)) for side in image.shape[1::-1])  # width, height
    box = box or _central(image)
    live = to_linear(cv2.resize(image, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR))
    at = tuple(ratio * value for value in box)
    light = room_light(camera, live.shape[:2])
    if species == "live":
        seen = live * light
    elif species == "paper_mask":
        seen = _masked(image, box, live, at, light, camera, seed, options)
    else:
        seen = _shown(image, box, live, at, light, camera, species, seed, options)
    return develop(sense(blur(seen, camera), camera, seed), camera)


def draw_camera(image: np.ndarray, seed: int, options: SceneOptions) -> Camera:
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


def _central(image: np.ndarray) -> Box:
    height, width = image.shape[:2]
    side = CENTRAL * min(height, width)
    return (width - side) / 2, (height - 1.2 * side) / 2, side, 1.2 * side


def _behind(live: np.ndarray, at: Box, rng: np.random.Generator, options: SceneOptions) -> np.ndarray:
    """Return the light (h, w, 3) behind a medium: who holds it, or only the room, out of focus and often darker."""
    scene = live
    if rng.random() < options.alone:
        left, right = int(max(0, at[0])), int(min(live.shape[1], at[0] + at[2]))
        strips = live[:, :left], live[:, right:]
        widest = max(strips, key=lambda strip: strip.shape[1])
        if widest.shape[1] >= 8:
            scene = cv2.resize(widest, live.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            scene = cv2.GaussianBlur(scene, (0, 0), 4.0)
        else:  # no room around the face: a wall
            tone = live.reshape(-1, 3).mean(0) * rng.uniform(0.2, 1.5)
            scene = tone * (1 + 0.1 * mottled(live.shape[:2], rng, 20.0)[..., None])
    scene = scene * np.float32(np.exp(rng.uniform(-1.4, 0.0)))
    far = rng.uniform(0, 2.5)
    return cv2.GaussianBlur(scene, (0, 0), far) if far > 0.3 else scene


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


def _place(held_face: Box, target: np.ndarray, scale: float, turn: np.ndarray) -> np.ndarray:
    """Return 3x3 from a turned plane to px that puts the middle of the face at `target`, one width `scale` px wide."""
    x, y, w = turn @ (held_face[0] + held_face[2] / 2, held_face[1] + held_face[3] / 2, 1)
    shift = target - scale * np.array([x, y]) / w
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]]) @ turn


def _points(shape: tuple[int, ...], held: _Held) -> np.ndarray:
    """Return (h, w, 2): the point of a medium's plane, bent or not, that each pixel looks at."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    points = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(held.to_picture).T
    points = points[..., :2] / points[..., 2:]
    if held.bend:  # a cylinder about an upright axis: what is seen at x lies asin(k x) / k along the sheet
        points[..., 0] = np.arcsin(np.clip(held.bend * points[..., 0], -0.99, 0.99)) / held.bend
    return points


def _sampled(plane: np.ndarray, held: _Held, points: np.ndarray) -> np.ndarray:
    """Return a plane (H, W, 3) float32, one width wide, at points (h, w, 2); its border goes on outside."""
    if plane.shape[1] > 1.5 * held.scale:  # average before sampling, or the fine parts would alias
        width = max(8, round(1.5 * held.scale))
        height = max(8, round(width * plane.shape[0] / plane.shape[1]))
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = plane.shape[:2]
    at = (points * columns + [(columns - 1) / 2, (rows - 1) / 2]).astype(np.float32)
    return np.maximum(cv2.remap(plane, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), 0)


def _shown(
    image: np.ndarray, box: Box, live: np.ndarray, at: Box, light: np.ndarray, camera: Camera, species: str, seed: int,
    options: SceneOptions,
) -> np.ndarray:  # fmt: skip
    """Return the light (h, w, 3) of a display or a print before a background."""
    rng = item_rng(seed, "scene", species)
    room = image.shape[1] / box[2]
    fills = rng.random() < (0.75 if room < options.tight else options.filling)
    shown = room if fills else min(room, rng.uniform(*options.shown))
    texture, face = _texture(image, box, rng, shown, rng.uniform(0.9, 1.7))
    texture = _crisp(texture, rng.uniform(*options.crisp))
    size = rng.uniform(*options.size)
    scale = size * at[2] / face[2]
    if fills:  # its edges lie outside
        scale = max(scale, 1.08 * max(live.shape[1], live.shape[0] * texture.shape[1] / texture.shape[0]))
    turn = tilted(*rng.normal(0, options.tilt, 2), rng.normal(0, options.tilt), rng.uniform(2.5, 5.0))
    middle = np.array([at[0] + at[2] / 2, at[1] + at[3] / 2]) + rng.normal(0, 0.08, 2) * at[2]
    if fills:
        middle = np.array([(live.shape[1] - 1) / 2, (live.shape[0] - 1) / 2])
        turn, face = tilted(*rng.normal(0, 2, 3), 4.0), (-0.5, -0.5, 1.0, 1.0)
    bend = float(rng.normal(0, 0.5)) if species == "print" and rng.random() < options.bent else 0.0
    if species == "print":
        medium: Print | Replay = _draw_print(rng, options)
    else:
        medium = _draw_display(rng, options)
        if rng.random() < options.low_resolution:
            texture = _coarse(texture, rng.uniform(*options.coarse) * shown, int(rng.integers(35, 92)))
    held = _Held(medium, texture, _place(face, middle, scale, turn), scale, bend, rng, face)
    points = _points(live.shape, held)
    lit, body, outline = _lit(held, points, light, camera, seed, live, options)
    behind = _behind(live, at, rng, options) * light
    shadow = cv2.GaussianBlur(outline, (0, 0), max(1.0, 0.05 * scale))
    behind = behind * (1 - rng.uniform(0, 0.5) * np.roll(shadow, round(0.03 * scale), (0, 1)))[..., None]
    hand = not fills and rng.random() < options.hand and medium.width_mm < 260
    skin = _skin(live, at) * np.float32(rng.uniform(0.7, 1.4))
    if hand:
        side = rng.choice((-1, 1))
        behind = _palm(behind, points, held, body, side, skin, light)
    if rng.random() < options.near:
        sigma = rng.uniform(*options.soft_sigma)
        lit, outline = (cv2.GaussianBlur(each, (0, 0), sigma) for each in (lit, outline))
    seen = behind * (1 - outline[..., None]) + lit * outline[..., None]
    return _thumb(seen, points, held, body, side, skin, light) if hand else seen


def _lit(
    held: _Held, points: np.ndarray, light: np.ndarray, camera: Camera, seed: int, live: np.ndarray,
    options: SceneOptions,
) -> tuple[np.ndarray, tuple[float, float], np.ndarray]:  # fmt: skip
    """Return the light (h, w, 3) of a medium with its edges, half the size of its body, and its outline (h, w)."""
    rng, medium, tall = held.rng, held.medium, held.texture.shape[0] / held.texture.shape[1] / 2
    if isinstance(medium, Print):
        sheet = _sampled(reflectance(to_linear(held.texture), medium, seed), held, points)
        margin = rng.uniform(0.01, 0.12) if rng.random() < 0.6 else 0.0
        printed = cover(rectangle(points, (0.5, tall)), held.scale)[..., None]
        sheet = sheet * halftone(medium, camera, points, sheet)
        sheet = sheet * printed + np.asarray(medium.paper, np.float32) * (1 - printed)
        body, outline = (0.5 + margin, tall + margin), None
        if rng.random() < options.cut:  # along the head, with what scissors leave
            left, top, width, height = held.face
            half = width * rng.uniform(0.6, 0.8), height * rng.uniform(0.65, 0.85)
            waves, phases = rng.normal(0, 0.02, 4), rng.uniform(0, 2 * np.pi, 4)
            outline, body = oval(points, (left + width / 2, top + height / 2), half, waves, phases), half
        outline = cover(rectangle(points, body) if outline is None else outline, held.scale)
        slope = held.bend * points[..., :1]  # a bent sheet turns from the light on one side
        shade = np.clip(1 - 0.8 * slope * rng.choice((-1, 1)) - 0.3 * slope**2, 0.3, 1.6).astype(np.float32)
        glare = medium.gloss * lobe(points, medium.gloss_at, medium.gloss_width)
        return (sheet * shade + glare) * light * np.float32(np.exp(rng.uniform(-0.1, 0.9))), body, outline
    screen = [0.5, tall]
    if rng.random() < 0.35:  # bars where picture and screen differ in shape
        screen[int(rng.integers(2))] *= rng.uniform(1.05, 1.5)
    frame = np.exp(rng.uniform(np.log(0.01), np.log(0.1)))
    body = screen[0] + frame, screen[1] + frame * rng.uniform(0.8, 2.5)
    corner = rng.uniform(0, 0.1) if medium.width_mm < 120 else rng.uniform(0, 0.02)
    bars = np.float32(rng.choice((0.0, 0.0, 0.9)))
    shows = cover(rectangle(points, (0.5, tall)), held.scale)[..., None]
    panel = _sampled(emission(held.texture, medium), held, points) * shows + bars * (1 - shows)
    white = np.asarray(medium.white, np.float32) * np.float32(np.exp(rng.uniform(0.0, 1.4)))  # against the room
    panel = panel * white * moire(medium, camera, points) * flicker(medium, len(points), seed)
    lit_part = cover(rectangle(points, screen, 0.5 * corner), held.scale)[..., None]
    bezel = np.float32(rng.choice((0.01, 0.02, 0.04, 0.5)))
    lamp = medium.reflection * lobe(points, rng.uniform(-0.5, 0.5, 2), rng.uniform(0.05, 0.3))
    mirrored = cv2.GaussianBlur(live[:, ::-1], (0, 0), 3.0) * np.float32(rng.uniform(0, 0.06))
    body_light = panel * lit_part + bezel * (1 - lit_part) * light
    outline = cover(rectangle(points, body, corner), held.scale)
    return body_light + (medium.haze + lamp + mirrored) * light, body, outline


def _masked(
    image: np.ndarray, box: Box, live: np.ndarray, at: Box, light: np.ndarray, camera: Camera, seed: int,
    options: SceneOptions,
) -> np.ndarray:  # fmt: skip
    """Return the light (h, w, 3) of somebody who wears the printed face, or holds it before the own one."""
    rng = item_rng(seed, "scene", "paper_mask")
    texture, face = _texture(image, box, rng, 1.6, 1.5)
    texture = _crisp(texture, rng.uniform(*options.crisp))
    scale = rng.uniform(0.85, 1.2) * at[2] / face[2]
    turn = tilted(*rng.normal(0, 5, 3), rng.uniform(3, 6))
    middle = np.array([at[0] + at[2] / 2, at[1] + at[3] / 2]) + rng.normal(0, 0.04, 2) * at[2]
    bend = rng.uniform(0.3, 1.3)
    medium = replace(_draw_print(rng, options), width_mm=float(rng.uniform(200, 280)))
    held = _Held(medium, texture, _place(face, middle, scale, turn), scale, float(bend), rng, face)
    points = _points(live.shape, held)
    sheet = _sampled(reflectance(to_linear(texture), medium, seed), held, points)
    sheet = sheet * halftone(medium, camera, points, sheet)
    left, top, width, height = face
    centre = np.array([left + width / 2, top + height / 2])
    waves, phases = rng.normal(0, 0.025, 4), rng.uniform(0, 2 * np.pi, 4)
    half = width * rng.uniform(0.48, 0.62), height * rng.uniform(0.5, 0.62)
    edge = oval(points, centre, half, waves, phases)
    white = rng.uniform(0.002, 0.015) if rng.random() < options.rim else 0.0
    rim = cover(edge + white, scale)[..., None]
    sheet = sheet * rim + np.asarray(medium.paper, np.float32) * (1 - rim)
    outline = cover(edge, scale)
    if rng.random() < options.eye_holes:
        for side in (-1, 1):
            eye = centre + (0.21 * side * width, -0.12 * height)
            hole = cover(oval(points, eye, (0.11 * width, 0.05 * height)), scale)
            outline = outline * (1 - hole)
    slope = held.bend * (points[..., :1] - centre[0])
    shade = np.clip(1 - 0.5 * slope**2 + 0.3 * slope * rng.choice((-1, 1)), 0.3, 1.4).astype(np.float32)
    shade = shade * (1 + 0.05 * mottled(live.shape[:2], rng, max(2.0, 0.1 * scale)))[..., None]  # creases
    glare = medium.gloss * lobe(points, medium.gloss_at, medium.gloss_width)
    shadow = cv2.GaussianBlur(outline, (0, 0), max(1.0, 0.04 * scale))
    behind = live * light * (1 - rng.uniform(0.1, 0.5) * shadow)[..., None]
    lit = (sheet * shade + glare) * light * np.float32(np.exp(rng.uniform(-0.2, 0.6)))
    seen = behind * (1 - outline[..., None]) + lit * outline[..., None]
    if rng.random() < 0.4 * options.hand:
        skin = _skin(live, at) * np.float32(rng.uniform(0.6, 1.1))
        return _thumb(seen, points, held, half, int(rng.choice((-1, 1))), skin, light)
    return seen


def _draw_print(rng: np.random.Generator, options: SceneOptions) -> Print:
    glossy, paper = rng.random() < 0.4, rng.uniform(0.78, 0.95)
    dots = float(np.exp(rng.uniform(np.log(0.12), np.log(0.5))))  # 210 to 50 lines an inch
    return Print(
        saturation=float(rng.uniform(0.85, 1.75)),
        black=float(rng.uniform(0.0, 0.04)),
        paper=tuple(float(v) for v in paper * rng.uniform((0.97, 1, 0.92), (1.03, 1, 1.08))),
        grain=float(rng.uniform(0.002, 0.015)),
        gloss=float(rng.uniform(0.1, 0.7)) if glossy else 0.0,
        gloss_width=float(rng.uniform(0.05, 0.2)),
        gloss_at=tuple(float(v) for v in rng.uniform(-0.6, 0.6, 2)),
        tone=float(rng.uniform(0.75, 1.5)),
        width_mm=float(rng.uniform(35, 220)),
        dots_mm=dots if rng.random() < options.halftone else 0.0,
    )


def _draw_display(rng: np.random.Generator, options: SceneOptions) -> Replay:
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


def _skin(live: np.ndarray, at: Box) -> np.ndarray:
    """Return the colour (3,) of the middle of a face, linear RGB."""
    left, top, width, height = at
    rows = slice(int(max(0, top + 0.4 * height)), int(max(1, top + 0.7 * height)))
    patch = live[rows, int(max(0, left + 0.3 * width)) : int(max(1, left + 0.7 * width))]
    if not patch.size:
        return np.float32([0.35, 0.2, 0.14])
    return np.float32(0.75) * np.median(patch.reshape(-1, 3), 0) + np.float32([0.08, 0.05, 0.04])  # palms are paler


def _palm(
    behind: np.ndarray, points: np.ndarray, held: _Held, body: tuple[float, float], side: int, skin: np.ndarray,
    light: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return the background with the palm and the wrist of who holds a medium from its side, or from below."""
    one = 1 / held.medium.width_mm  # a millimetre
    start = np.array([side * (body[0] - 5 * one), body[1] * held.rng.uniform(-0.2, 0.9)])
    end = start + np.array([side * held.rng.uniform(10, 60), held.rng.uniform(60, 160)]) * one
    return _painted(behind, finger(points, start, end, 32 * one), 32 * one, held, skin, light)


def _thumb(
    seen: np.ndarray, points: np.ndarray, held: _Held, body: tuple[float, float], side: int, skin: np.ndarray,
    light: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return the picture with a thumb over the edge of a medium, and often with finger tips over the other edge."""
    rng, one = held.rng, 1 / held.medium.width_mm
    at = body[1] * rng.uniform(-0.3, 0.9)
    edge = np.array([side * body[0], at])
    inward = np.array([-side * rng.uniform(4, 14), -rng.uniform(5, 25)]) * one
    seen = _painted(
        seen, finger(points, edge + np.array([side * 22, 30]) * one, edge + inward, 10 * one), 10 * one, held, skin, light
    )
    if rng.random() < 0.5:
        for number in range(int(rng.integers(2, 5))):
            tip = np.array([-side * (body[0] - rng.uniform(2, 9) * one), at + (number * 19 - 20) * one])
            away = tip + np.array([-side * 30, rng.uniform(-4, 8)]) * one
            seen = _painted(seen, finger(points, tip, away, 8 * one), 8 * one, held, skin, light)
    return seen


def _painted(
    seen: np.ndarray, distance: np.ndarray, radius: float, held: _Held, skin: np.ndarray, light: np.ndarray
) -> np.ndarray:
    """Return the picture (h, w, 3) with a rod of skin over it."""
    inside = cover(distance, held.scale)[..., None]
    shade = rounded(distance, radius) * (1 + 0.06 * mottled(distance.shape, held.rng, 2.0))
    return (seen * (1 - inside) + skin * shade[..., None] * light * inside).astype(np.float32)
