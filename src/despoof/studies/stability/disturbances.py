"""What may happen to a picture on its way: functions image -> image, (H, W, 3) uint8 RGB, each of some strength.

`DISTURBANCES` lists them by name, in families that share a curve. Whatever is drawn comes from the random numbers that
are handed over, so that one capture is always disturbed alike.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from despoof.errors import InputError
from despoof.faces.detect import FoundFace
from despoof.runs.seed import item_rng

TINY = 32  # px a side, the least that is read as an image
MIDDLE = 128  # of the grey border
DIM, GRAIN = 20, 6  # mean and deviation of the dim border, as a dark room in a cheap camera: not blank to any search


@dataclass(frozen=True)
class Given:
    """What a disturbance may use beside the picture: the face in it, another picture, and what seeds its draws."""

    face: FoundFace | None
    other: np.ndarray
    seed: str


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """Return the image with both sides times a factor, averaged where shrunk and cubic where enlarged."""
    size = [max(TINY, round(side * factor)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def with_face_across(image: np.ndarray, face: FoundFace | None, pixels: float) -> np.ndarray:
    """Return the image in the size at which its face's box is so many pixels wide; as it is without a face."""
    return image if face is None else resized(image, pixels / face.box[2])


def cut(image: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """Return the image less a random share, at most `most`, at each of its four edges."""
    height, width = image.shape[:2]
    left, top, right, bottom = (rng.uniform(0, most, 4) * (width, height, width, height)).astype(int)
    return image[top : height - bottom, left : width - right]


def compressed(image: np.ndarray, quality: int, suffix: str = ".jpg") -> np.ndarray:
    """Return the image through a JPEG, or a WebP for the suffix ``.webp``, and back."""
    flag = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}[suffix]
    data = cv2.imencode(suffix, image[..., ::-1], [flag, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def exposed(image: np.ndarray, stops: float) -> np.ndarray:
    """Return the image with its linear light times 2 to the power of `stops`."""
    levels = np.arange(256) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    light = np.clip(light * 2.0**stops, 0, 1)
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return _levels(255 * shown)[image]


def clipped(image: np.ndarray, face: FoundFace | None, share: float) -> np.ndarray:
    """Return the image brightened until this share of the face's luma would reach white; of all without a face."""
    left, top, width, height = (0, 0, *image.shape[1::-1]) if face is None else map(round, face.box)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[max(0, top) : top + height, max(0, left) : left + width]
    luma = np.quantile(luma, 1 - share)
    return _levels(np.arange(256) * max(1.0, 255 / max(1.0, float(luma))))[image]


def with_gamma(image: np.ndarray, exponent: float) -> np.ndarray:
    """Return every value, as a share of white, to the power of an exponent."""
    return _levels(255 * (np.arange(256) / 255) ** exponent)[image]


def warmed(image: np.ndarray, share: float) -> np.ndarray:
    """Return the image with red times 1 + share and blue times 1 - share: warm light above 0, cold below."""
    return _levels(image * np.array([1 + share, 1, 1 - share]))


def grey(image: np.ndarray) -> np.ndarray:
    """Return the luma of the image in all three channels, as from infrared or a monochrome camera."""
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def noisy(image: np.ndarray, rng: np.random.Generator, deviation: float) -> np.ndarray:
    """Return the image with independent normal noise on every value, its deviation in grey levels."""
    return _levels(image + rng.normal(0, deviation, image.shape))


def blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    """Return the image under a Gaussian blur; deviation in pixels."""
    return cv2.GaussianBlur(image, (0, 0), deviation)


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """Return the image turned clockwise about its middle, in its old frame, reflected outside."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def quarter_turned(image: np.ndarray, turns: int) -> np.ndarray:
    """Return the image after so many quarter turns clockwise, as a phone without orientation delivers it."""
    return np.rot90(image, -turns)


def mirrored(image: np.ndarray) -> np.ndarray:
    """Return the image with left and right exchanged."""
    return image[:, ::-1]


def bordered(image: np.ndarray, share: float, level: int) -> np.ndarray:
    """Return the same pixels inside a border of one grey level, as wide as a share of the image on each side."""
    down, across = _border(image, share)
    return cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_CONSTANT, value=(level,) * 3)


def dimmed(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Return the same pixels inside a border that is nearly black and noisy, as a bezel or a dark room is."""
    dark = rng.normal(DIM, GRAIN, bordered(image, share, 0).shape)
    return framed(image, _levels(dark), share)


def framed(image: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Return the same pixels in the middle of another picture, of which a strip of that share is seen on each side."""
    (down, across), (height, width) = _border(image, share), image.shape[:2]
    around = cv2.resize(other, (width + 2 * across, height + 2 * down), interpolation=cv2.INTER_AREA)
    around[down : down + height, across : across + width] = image
    return around


def _border(image: np.ndarray, share: float) -> tuple[int, int]:
    return max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share))


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).round().astype(np.uint8)


@dataclass(frozen=True)
class Disturbance:
    """A disturbance of some strength in its family, and how it is made; `shown` stands under the family's curve."""

    family: str
    shown: str
    make: Callable[[np.ndarray, Given], np.ndarray]

    @property
    def name(self) -> str:
        """Family and strength."""
        return f"{self.family} {self.shown}"

    def __call__(self, image: np.ndarray, given: Given) -> np.ndarray:
        """Return the disturbed image, a new array (H, W, 3) uint8."""
        return np.ascontiguousarray(self.make(image, given))


def _plain(family: str, shown: str, change: Callable[..., np.ndarray], **strength: float | str) -> Disturbance:
    return Disturbance(family, shown, lambda image, given: change(image, **strength))


def _of_face(family: str, shown: str, change: Callable[..., np.ndarray], strength: float) -> Disturbance:
    return Disturbance(family, shown, lambda image, given: change(image, given.face, strength))


def _drawn(family: str, shown: str, change: Callable[..., np.ndarray], strength: float) -> Disturbance:
    def make(image: np.ndarray, given: Given) -> np.ndarray:
        return change(image, item_rng(given.seed, family, shown), strength)

    return Disturbance(family, shown, make)


def _of_other(family: str, shown: str, change: Callable[..., np.ndarray], strength: float) -> Disturbance:
    return Disturbance(family, shown, lambda image, given: change(image, given.other, strength))


SHARES = (0.1, 0.2, 0.3)  # of a border
LEVELS = {"black": 0, "grey": MIDDLE, "white": 255}
_ALL = (
    *(_of_face("face", f"{pixels} px", with_face_across, pixels) for pixels in (40, 60, 80, 120, 160, 240, 400)),
    *(_drawn("cut", f"{100 * most:g} %", cut, most) for most in (0.01, 0.02, 0.05, 0.1)),
    *(_plain("coding", f"JPEG {quality}", compressed, quality=quality) for quality in (95, 85, 75, 50, 30)),
    *(_plain("coding", f"WebP {quality}", compressed, quality=quality, suffix=".webp") for quality in (80, 50)),
    *(_plain("detail", f"×{factor:g}", resized, factor=factor) for factor in (0.5, 2)),
    *(_plain("detail", f"blur {deviation:g} px", blurred, deviation=deviation) for deviation in (0.6, 1.2)),
    *(_drawn("detail", f"noise {deviation}", noisy, deviation) for deviation in (3, 8)),
    *(_plain("light", f"{stops:+g} EV", exposed, stops=stops) for stops in (-1, -0.5, 0.5, 1)),
    *(_plain("light", f"gamma {exponent:g}", with_gamma, exponent=exponent) for exponent in (0.8, 1.25)),
    *(_of_face("light", f"{100 * share:g} % white", clipped, share) for share in (0.06, 0.12, 0.24)),
    *(_plain("colour", f"warm {100 * share:+g} %", warmed, share=share) for share in (-0.25, -0.1, 0.1, 0.25)),
    _plain("colour", "grey", grey),
    *(_plain("turn", f"{degrees:+d}°", turned, degrees=degrees) for degrees in (-10, -3, 3, 10)),
    *(_plain("turn", f"by {90 * turns}°", quarter_turned, turns=turns) for turns in (1, 2, 3)),
    _plain("turn", "mirrored", mirrored),
    *(
        _plain(f"border {name}", f"{100 * share:g} %", bordered, share=share, level=level)
        for name, level in LEVELS.items()
        for share in SHARES
    ),
    *(_drawn("border dim", f"{100 * share:g} %", dimmed, share) for share in SHARES),
    *(_of_other("border picture", f"{100 * share:g} %", framed, share) for share in SHARES),
)
DISTURBANCES: dict[str, Disturbance] = {each.name: each for each in _ALL}


def named(words: Iterable[str]) -> list[str]:
    """Return the names of disturbances that are called so, or whose family is; all of no word.

    Unknown words raise InputError.
    """
    words = list(words)
    families = list(dict.fromkeys(each.family for each in DISTURBANCES.values()))
    if unknown := [word for word in words if word not in DISTURBANCES and word not in families]:
        raise InputError(
            f"no disturbance {unknown[0]!r}; expected a family ({', '.join(families)}) or one with its strength, such "
            f"as {next(iter(DISTURBANCES))!r}."
        )
    return [name for name, each in DISTURBANCES.items() if not words or name in words or each.family in words]
