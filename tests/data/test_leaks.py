"""Near duplicates and people on both sides are found: pairs against brute force, hashes against changed pictures."""

import random
import statistics

import cv2
import numpy as np
import pytest

from despoof.data.leaks import image_hash, image_leaks, near_pairs, subject_leaks
from despoof.data.sample import Label, Sample, Split


def sample(path: str, subject: str, split: Split | None = None, domain: str = "d") -> Sample:
    return Sample(path, Label.LIVE, subject=subject, domain=domain, split=split)


@pytest.mark.parametrize("limit", [0, 1, 4, 7, 16])
def test_pairs_against_brute_force(limit):
    rng = random.Random(limit)
    hashes = [rng.getrandbits(64) for _ in range(60)]
    hashes += [one ^ sum(1 << bit for bit in rng.sample(range(64), rng.randint(0, limit + 2))) for one in hashes]
    hashes += hashes[:3]  # three times the same
    count = len(hashes)
    expected = {
        (i, j, (hashes[i] ^ hashes[j]).bit_count())
        for i in range(count)
        for j in range(i + 1, count)
        if (hashes[i] ^ hashes[j]).bit_count() <= limit
    }
    found = list(near_pairs(hashes, limit))
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("hashes", [[], [5]])
def test_nothing_to_compare(hashes):
    assert list(near_pairs(hashes, 4)) == []


def plain_hash(image: np.ndarray) -> int:
    """The same hash from its definition: cosine sums written out, Python's own median."""
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA).astype(float)
    wave = np.cos(np.pi * (2 * np.arange(32)[None] + 1) * np.arange(8)[:, None] / 64)
    wave[0] /= np.sqrt(2)
    low = (wave @ grey @ wave.T / 16).ravel()
    middle = statistics.median(low[1:].tolist())
    return int("".join("1" if value > middle else "0" for value in low), 2)


def test_hash_against_its_definition(people):
    for image in people:
        assert (image_hash(image) ^ plain_hash(image)).bit_count() <= 1  # a value at the median may round over


def changed(image: np.ndarray) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return {
        "smaller": cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "darker": (image * 0.8).astype(np.uint8),
        "jpeg": cv2.imdecode(jpeg, cv2.IMREAD_COLOR),
        "noisy": np.clip(image + noise, 0, 255).astype(np.uint8),
    }


def test_a_changed_picture_is_near_and_another_is_far(people):
    for image in people:
        for name, picture in changed(image).items():
            assert (image_hash(image) ^ image_hash(picture)).bit_count() <= 4, name
    mirrored = (image_hash(people[0]) ^ image_hash(people[0][:, ::-1].copy())).bit_count()
    assert mirrored > 16


def test_only_pairs_across_parts_or_people_are_leaks():
    samples = [
        sample("a", "1", Split.TRAIN), sample("b", "1", Split.TRAIN), sample("c", "2", Split.TRAIN),
        sample("d", "3", Split.TEST), sample("e", "1", domain="other"), sample("far", "9", Split.TEST),
    ]  # fmt: skip
    hashes = [0, 1, 3, 0, 0, (1 << 40) - 1]
    leaks = image_leaks(samples, hashes, limit=2)
    found = {(leak.one.path + leak.other.path, leak.kind, leak.distance) for leak in leaks}
    assert found == {
        ("ac", "subject", 2), ("bc", "subject", 1), ("ad", "split", 0), ("bd", "split", 1), ("cd", "split", 2),
        ("ae", "domain", 0), ("be", "domain", 1), ("ce", "domain", 2), ("de", "domain", 0),
    }  # fmt: skip
    assert [leak.distance for leak in leaks] == sorted(leak.distance for leak in leaks)


def test_people_in_two_splits():
    samples = [
        sample("a", "1", Split.TRAIN), sample("b", "1", Split.TEST), sample("c", "2", Split.TRAIN),
        sample("d", "2", Split.TEST, "other"), sample("e", "3"), sample("f", "3", Split.TEST),
    ]  # fmt: skip
    (leak,) = subject_leaks(samples)
    assert (leak.domain, leak.subject, leak.splits) == ("d", "1", {"train": "a", "test": "b"})
