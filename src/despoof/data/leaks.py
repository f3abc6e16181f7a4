"""Leaks between parts: one person on both sides, or one picture twice; found by name and by a perceptual hash.

The hash is the 64-bit DCT hash: brightness shrunk to 32 x 32, the 8 x 8 lowest frequencies, one bit each for
being above their median. Two pictures are near duplicates if at most `limit` bits differ.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from despoof.data.sample import Person, Sample

LIMIT = 4  # of 64 bits; of 1.1 million pairs of aligned faces of different people, none was closer than 8


@dataclass(frozen=True)
class SubjectLeak:
    """One person of a domain who is in more than one split; `splits` maps each to a path in it."""

    domain: str
    subject: str
    splits: dict[str, str]


@dataclass(frozen=True)
class ImageLeak:
    """Two near-duplicate pictures, `distance` bits apart, of different parts or of different people."""

    one: Sample
    other: Sample
    distance: int

    @property
    def kind(self) -> str:
        """Say what the pair crosses: ``split``, ``domain`` or ``subject``."""
        if self.one.person[0] != self.other.person[0]:
            return "domain"
        return "split" if self.one.split is not self.other.split else "subject"


def image_hash(image: np.ndarray) -> int:
    """Return the 64-bit DCT hash of (H, W, 3) uint8 RGB."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])  # the mean brightness, low[0], would pull the median
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def subject_leaks(samples: Sequence[Sample]) -> list[SubjectLeak]:
    """Return the people of a domain who stand in more than one split; samples without a split stand in none."""
    where: dict[Person, dict[str, str]] = defaultdict(dict)
    for sample in samples:
        if sample.split is not None and sample.subject:
            where[sample.person].setdefault(sample.split.value, sample.path)
    return [SubjectLeak(*who, splits) for who, splits in sorted(where.items()) if len(splits) > 1]


def image_leaks(samples: Sequence[Sample], hashes: Sequence[int], *, limit: int = LIMIT) -> list[ImageLeak]:
    """Return near duplicates across splits, domains or people, closest first.

    People count too: whoever splits by person puts such a pair on both sides.
    """
    found = []
    for i, j, distance in near_pairs(hashes, limit):
        one, other = samples[i], samples[j]
        if (one.person, one.split) != (other.person, other.split):
            found.append(ImageLeak(one, other, distance))
    return sorted(found, key=lambda leak: (leak.distance, leak.one.path, leak.other.path))


def near_pairs(hashes: Sequence[int], limit: int) -> Iterator[tuple[int, int, int]]:
    """Yield (i, j, distance) of every pair i < j at most `limit` bits apart; 100,000 hashes take some ten seconds."""
    values = np.array(hashes, np.uint64)
    for i in range(len(values) - 1):
        apart = np.bitwise_count(values[i + 1 :] ^ values[i])
        yield from ((i, i + 1 + int(k), int(apart[k])) for k in np.flatnonzero(apart <= limit))
