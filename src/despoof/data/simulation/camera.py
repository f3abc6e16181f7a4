"""The camera of the simulator: radiance of a plane (H, W, 3) -> picture (h, w, 3) uint8 RGB.

Linear light is float32, 1.0 = the brightest diffuse white of the scene. Stages, each a pure function:
geometry -> optics -> sensor -> development -> codec. No stage is told what is in front of the camera, so a
live face and an attack drawn with one seed are taken by one and the same camera.

Simplified against a real camera: no colour filter array, no rolling shutter, no motion, no denoising.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from despoof.runs.seed import item_rng

MTF50_SIGMA = 0.1874  # a Gaussian of standard deviation s px halves the contrast at 0.1874 / s cycles per px


@dataclass(frozen=True)
class Camera:
    """One camera and its stand. The defaults are an ideal one: no tilt, no noise, fixed exposure."""

    side: int = 256  # longest side of the picture, px
    distance: float = 3.0  # from lens to plane, in widths of the plane
    yaw: float = 0.0  # tilt of the plane, degrees
    pitch: float = 0.0
    roll: float = 0.0
    lens_sigma: float = 0.0  # blur of lens and focus, px
    photosite: float = 0.95  # light-sensitive part of a pixel's side
    light: tuple[float, ...] = (1.0, 1.0, 1.0)  # colour of the room's light, linear RGB, green = 1
    gradient: float = 0.0  # fall-off of the room's light from left to right
    metering: float = 0.0  # 0 = fixed exposure, 1 = the mean is brought to `target`
    target: float = 0.2
    shot_noise: float = 0.0  # variance = shot_noise * signal + read_noise
    read_noise: float = 0.0
    white_balance: float = 1.0  # share of the light's colour that is taken out again
    contrast: float = 0.0  # weight of an S-curve after the sRGB curve
    sharpen: float = 0.0  # weight of an unsharp mask of 1 px
    quality: int = 100  # JPEG


def draw_camera(seed: int) -> Camera:
    """Draw a plausible webcam or phone. Ranges: widths of four published capture set-ups, taken together."""
    rng = item_rng(seed, "camera")
    shot = float(np.exp(rng.uniform(np.log(1e-4), np.log(4e-3))))
    warmth = rng.uniform(-0.25, 0.12)  # roughly 2,900 to 7,000 K in log gain of red against blue
    return Camera(
        side=int(rng.integers(192, 385)),
        distance=float(rng.uniform(1.5, 4.0)),
        yaw=float(rng.normal(0, 4)),
        pitch=float(rng.normal(0, 4)),
        roll=float(rng.normal(0, 3)),
        lens_sigma=float(rng.uniform(0.35, 0.9)),
        light=(float(np.exp(-warmth)), 1.0, float(np.exp(warmth))),
        gradient=float(rng.uniform(-0.4, 0.4)),
        metering=float(rng.uniform(0.7, 1.0)),
        target=float(rng.uniform(0.14, 0.26)),
        shot_noise=shot,
        # log r = 2.18 log s + 1.20: read against shot noise of real sensors (unprocessing, CVPR 2019)
        read_noise=float(np.exp(2.18 * np.log(shot) + 1.20)),
        white_balance=float(rng.uniform(0.5, 0.98)),
        contrast=float(rng.uniform(0.0, 0.4)),
        sharpen=float(rng.uniform(0.0, 0.8)),
        quality=int(rng.integers(60, 97)),
    )


def to_linear(image: np.ndarray) -> np.ndarray:
    """Return uint8 sRGB codes as float32 linear light in 0..1 (IEC 61966-2-1)."""
    code = np.arange(256) / 255
    table = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return table.astype(np.float32)[image]


def to_code(linear: np.ndarray) -> np.ndarray:
    """Return linear light as sRGB codes in 0..1, the inverse of `to_linear`."""
    clipped = np.clip(linear, 0, 1)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


def picture_shape(camera: Camera, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (h, w) of the picture that the camera takes of a plane with this (H, W)."""
    scale = camera.side / max(shape[:2])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def tilted(yaw: float, pitch: float, roll: float, distance: float) -> np.ndarray:
    """Return 3x3: point (a, b, 1) of a plane turned by these degrees -> where a pinhole sees it, both in plane widths.

    The camera stands `distance` widths before (0, 0), which stays where it is, at its own size: K [r1 r2 t].
    """
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    turn_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turn = turn_z @ turn_x @ turn_y
    return np.diag([distance, distance, 1]) @ np.column_stack([turn[:, 0], turn[:, 1], (0, 0, distance)])


def homography(camera: Camera, shape: tuple[int, ...]) -> np.ndarray:
    """Return 3x3: plane point (a, b, 1) -> picture pixel; (0, 0) is the middle, a spans one width."""
    height, width = picture_shape(camera, shape)
    pixels = np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1]])
    return pixels @ tilted(camera.yaw, camera.pitch, camera.roll, camera.distance)


def look(plane: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the plane (H, W, C) float32 as the camera sees it, (h, w, C); edges are reflected."""
    height, width = picture_shape(camera, plane.shape)
    if width < plane.shape[1] / 2:  # average before sampling, or the fine parts would alias
        plane = cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_AREA)
    rows, columns = plane.shape[:2]
    to_pixels = np.array([[columns, 0, (columns - 1) / 2], [0, columns, (rows - 1) / 2], [0, 0, 1]])
    matrix = homography(camera, plane.shape) @ np.linalg.inv(to_pixels)
    return cv2.warpPerspective(
        plane, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def plane_points(camera: Camera, shape: tuple[int, ...]) -> np.ndarray:
    """Return (h, w, 2): the plane point that each pixel's centre looks at, in widths of the plane."""
    height, width = picture_shape(camera, shape)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    points = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(homography(camera, shape)).T
    return points[..., :2] / points[..., 2:]


def room_light(camera: Camera, shape: tuple[int, int]) -> np.ndarray:
    """Return the room's light on the plane, (1, w, 3), mean near 1."""
    across = 1 + camera.gradient * np.linspace(-0.5, 0.5, shape[1])
    return (across[None, :, None] * np.asarray(camera.light)).astype(np.float32)


def mtf(frequency: np.ndarray, camera: Camera) -> float:
    """Return the contrast left at a frequency (2,), cycles per px, of lens and photosite aperture.

    The lens falls with power 1.5, a longer tail than a Gaussian of the same half-contrast frequency.
    """
    lens = np.exp(-np.log(2) * (np.hypot(*frequency) * camera.lens_sigma / MTF50_SIGMA) ** 1.5)
    return float(lens * np.prod(np.sinc(frequency * camera.photosite)))


def blur(radiance: np.ndarray, camera: Camera) -> np.ndarray:
    """Return what the lens leaves of the radiance."""
    if camera.lens_sigma == 0:
        return radiance
    return cv2.GaussianBlur(radiance, (0, 0), camera.lens_sigma, borderType=cv2.BORDER_REFLECT_101)


def sense(radiance: np.ndarray, camera: Camera, seed: int) -> np.ndarray:
    """Return the exposed and noisy signal in 0..1; metering knows the mean and nothing else."""
    gain = (camera.target / max(float(radiance.mean()), 1e-6)) ** camera.metering if camera.metering else 1.0
    signal = radiance * gain
    spread = np.sqrt(np.maximum(camera.shot_noise * signal + camera.read_noise, 0))
    grain = item_rng(seed, "sensor noise").standard_normal(signal.shape, dtype=np.float32)
    return np.clip(signal + spread * grain, 0, 1)


def develop(signal: np.ndarray, camera: Camera) -> np.ndarray:
    """Return uint8: white balance, sRGB curve, S-curve, unsharp mask, JPEG."""
    balanced = signal / np.asarray(camera.light, np.float32) ** camera.white_balance
    code = to_code(balanced)
    code = (1 - camera.contrast) * code + camera.contrast * code * code * (3 - 2 * code)
    code = code.astype(np.float32)
    if camera.sharpen:
        code = code + camera.sharpen * (code - cv2.GaussianBlur(code, (0, 0), 1.0))
    pixels = (np.clip(code, 0, 1) * 255).round().astype(np.uint8)
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].copy()
