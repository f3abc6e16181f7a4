"""A portrait that may be shipped: what the demo judges, the service warms up with, and exports are tried on.

Head and shoulders of the astronaut Eileen Collins, cut from NASA's official portrait of 1999, in the public domain.
"""

from pathlib import Path

import numpy as np

from despoof.data.image import read_image

FILE = Path(__file__).parent / "portrait.png"
FACE = (117.5, 57.5, 96.0, 119.0)  # left, top, width, height of the face, px


def portrait() -> np.ndarray:
    """Return (340, 340, 3) uint8 RGB with one face."""
    return read_image(FILE)
