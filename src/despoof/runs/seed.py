"""Seeds that belong to items, so that results depend on neither batch nor order."""

import hashlib

import numpy as np


def content_seed(data: bytes, salt: int = 0) -> int:
    """Return a 63-bit seed that depends only on the bytes and the salt."""
    digest = hashlib.blake2b(data, digest_size=8, salt=salt.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") >> 1


def item_rng(*parts: object) -> np.random.Generator:
    """Return NumPy's random numbers keyed by the text of `parts`, for example (seed, epoch, sample path)."""
    return np.random.default_rng(content_seed("|".join(map(str, parts)).encode()))
