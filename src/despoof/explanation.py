"""What a person is shown of a verdict: pictures side by side, the map in colours, one sentence. Read without torch.

The map says where and how far a face departs from its counterpart, `despoof.departure`. Nobody is told that it decided.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from despoof.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

PANEL, BAR = 256, 26  # px of a sheet: side of a panel, height of the lines of text above and below
DEPARTURE = "departure"  # name of the panel that shows the map
GROUND, INK, QUIET = (16, 18, 22), (240, 240, 240), (170, 176, 186)
LEGEND = (96, 10)  # px of the colours beside the map's name

# The means of maps of live captures, quantiles in steps of 5 %, of cameras that the maps had not learned from. Printed
# by `despoof train departure`, which writes them into weights/departure-default.safetensors as well.
LIVE = (
    0.0059, 0.0247, 0.0372, 0.0463, 0.0569, 0.067, 0.0762, 0.0842, 0.089, 0.097, 0.1041,
    0.1135, 0.1232, 0.1344, 0.1437, 0.1527, 0.1662, 0.1779, 0.1946, 0.2173, 0.3122,
)  # fmt: skip

# Regions of an aligned face, the first that holds a place is its name: left, top, right, bottom as shares of the side.
# They follow `faces.align.TEMPLATE`: eyes at .28 of the height, nose at .50, mouth at .72.
REGIONS = {
    "eyes": (0.18, 0.19, 0.82, 0.37),
    "nose": (0.38, 0.37, 0.62, 0.6),
    "mouth": (0.3, 0.6, 0.7, 0.85),
    "forehead": (0.14, 0.05, 0.86, 0.19),
    "cheeks": (0.14, 0.37, 0.86, 0.85),
}
ELSEWHERE = "border"

# Ends of the colours in Oklab (Ottosson 2020): dark blue and light yellow. Lightness grows evenly between them and is
# what carries the number, so those who tell few colours apart, and a print in grey, show the same order.
DARK, LIGHT = (0.22, -0.01, -0.09), (0.95, -0.01, 0.15)
OKLAB = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
LMS = np.array(
    [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
     [-0.0041960863, -0.7034186147, 1.7076147010]]
)  # fmt: skip


@cache
def colours() -> np.ndarray:
    """Return 256 colours (256, 3) uint8 RGB from dark blue through grey to light yellow."""
    lab = np.linspace(DARK, LIGHT, 256)
    linear = np.clip((lab @ OKLAB.T) ** 3 @ LMS.T, 0, 1)
    code = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * code).round().astype(np.uint8)


def heat(departs: np.ndarray) -> np.ndarray:
    """Return a map (S, S) in 0..1 as a picture (S, S, 3) uint8 RGB; equal numbers have equal colours everywhere."""
    if departs.ndim != 2 or not (np.min(departs) >= 0 and np.max(departs) <= 1):
        raise InputError(
            f"map of shape {departs.shape}; expected (S, S) in 0..1. Make it with despoof.departure.departure."
        )
    return colours()[(255 * departs).round().astype(np.uint8)]


def region(departs: np.ndarray) -> str:
    """Return the name of the part of an aligned face where a map (S, S) is highest."""
    row, column = np.unravel_index(int(departs.argmax()), departs.shape)
    x, y = (column + 0.5) / departs.shape[1], (row + 0.5) / departs.shape[0]
    inside = (name for name, (left, top, right, low) in REGIONS.items() if left <= x < right and top <= y < low)
    return next(inside, ELSEWHERE)


def share_below(departs: np.ndarray) -> float:
    """Return the share of live captures whose map has a lower mean, 0..1."""
    return float(np.interp(departs.mean(), LIVE, np.linspace(0, 1, len(LIVE))))


def where(departs: np.ndarray) -> str:
    """Return in words where a face departs from its counterpart, and how far as a whole against live captures."""
    beyond = round(100 * share_below(departs))
    return (
        f"departs from its counterpart most at the {region(departs)}, overall more than {beyond} of 100 live captures"
    )


def caption(decision: str, liveness: float | None, departs: np.ndarray | None) -> str:
    """Return one sentence of measured values: what was decided, and where and how far the face departs."""
    judged = f"{decision}, not judged" if liveness is None else f"{decision}, liveness {liveness:.3f}"
    if departs is None:
        return f"{judged}."
    return f"{judged}; {where(departs)}."


def sheet(sentence: str, panels: Mapping[str, np.ndarray]) -> "Image.Image":
    """Return pictures (H, W, 3) uint8 side by side, each over its name, under a sentence.

    Under the panel `DEPARTURE` stand the colours of `heat` from 0 to 1.
    """
    from PIL import Image, ImageDraw, ImageFont

    drawn = Image.new("RGB", (PANEL * len(panels), PANEL + 2 * BAR), GROUND)
    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(13)
    draw.text((8, 6), sentence, INK, font)
    for place, (name, pixels) in enumerate(panels.items()):
        panel = Image.fromarray(np.ascontiguousarray(pixels)).resize((PANEL, PANEL), Image.Resampling.BICUBIC)
        drawn.paste(panel, (place * PANEL, BAR))
        draw.text((place * PANEL + 8, PANEL + BAR + 6), name, QUIET, font)
        if name == DEPARTURE:
            left, top = (place + 1) * PANEL - LEGEND[0] - 20, PANEL + BAR + 9
            drawn.paste(Image.fromarray(colours()[None]).resize(LEGEND), (left, top))
            draw.text((left - 12, top - 3), "0", QUIET, font)
            draw.text((left + LEGEND[0] + 4, top - 3), "1", QUIET, font)
    return drawn
