"""Seeds that belong to items, so that results depend on neither batch nor order."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np


def content_seed(data: bytes, salt: int = 0) -> int:
    """Return a 63-bit seed that depends only on the bytes and the salt."""
    digest = hashlib.blake2b(data, digest_size=8, salt=salt.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") >> 1


def content_noise(pixels: np.ndarray, shape: Sequence[int], salt: int = 0) -> np.ndarray:
    """Return standard normal float32 noise seeded by pixels uint8 and a salt; `shape` holds a multiple of 16 numbers.

    The numbers are those of `torch.randn` by a generator of that seed (up to rounding), so that whoever makes a
    counterpart, with torch or without, starts from the same ones: a Mersenne twister's, of 24 bits, in sixteens by Box
    and Muller.
    """
    count = math.prod(shape)
    twister = np.random.RandomState(content_seed(pixels.tobytes(), salt) & 0xFFFFFFFF)
    drawn = np.frombuffer(twister.bytes(4 * count), "<u4") & 0xFFFFFF
    first, second = (drawn * np.float32(2**-24)).astype(np.float32).reshape(-1, 2, 8).swapaxes(0, 1)
    radius, angle = np.sqrt(-2 * np.log(1 - first)), np.float32(2 * np.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(shape)


def item_rng(*parts: object) -> np.random.Generator:
    """Return NumPy's random numbers keyed by the text of `parts`, for example (seed, epoch, sample path)."""
    return np.random.default_rng(content_seed("|".join(map(str, parts)).encode()))
