"""Fidelity on faces whose identity is a colour: a stranger who is the same person would hide what identity brings.

Fréchet's distance beside scipy's matrix root, and on crowds whose distance is known.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.linalg import sqrtm
from skimage.metrics import peak_signal_noise_ratio

from despoof.data.sample import Label, Sample
from despoof.errors import InputError
from despoof.faces.store import StoredSample
from despoof.studies.fidelity import (
    STRANGER_BELOW,
    Pictures,
    distances,
    fidelity,
    frechet,
    pictures,
    strangers,
    summaries,
)

COLOURS = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200)], np.uint8)


def rows_of(subjects: list[str]) -> list[StoredSample]:
    return [StoredSample(Sample(f"{i}.png", Label.LIVE, subject=name), "face") for i, name in enumerate(subjects)]


def encode(crops: np.ndarray) -> np.ndarray:
    """Identity is the mean colour less grey."""
    means = crops.reshape(len(crops), -1, 3).mean(1) - crops.mean((1, 2, 3))[:, None]
    return means / np.linalg.norm(means, axis=1, keepdims=True)


class Brighter:
    """A generator that keeps the colour and adds 16 grey levels, whose autoencoder returns the face."""

    config = SimpleNamespace(face_size=32, kind="test")
    autoencoder = SimpleNamespace(encode=lambda face: face, decode=lambda latents: latents)

    def counterpart(self, face, **options):
        return (face + 16 / 127.5).clamp(-1, 1)


@pytest.fixture
def people():
    """Four neighbouring pictures of each of three people; the store is what gives their faces."""
    faces = np.repeat(COLOURS, 4, axis=0)[:, None, None].repeat(32, 1).repeat(32, 2)
    return faces, SimpleNamespace(faces=lambda rows, size: faces)


def test_a_stranger_is_another_person(people) -> None:
    faces, store = people
    rows = rows_of(["anna"] * 4 + ["ben"] * 4 + ["cleo"] * 4)
    for seed in range(3):
        found = strangers(rows, encode(faces), seed)
        assert all(rows[other].sample.subject != row.sample.subject for row, other in zip(rows, found, strict=True))
    measured = fidelity(rows, pictures(store, rows, Brighter()), encode)
    np.testing.assert_allclose(measured["cosine"], 1, atol=1e-6)
    np.testing.assert_allclose(measured["stranger"], -0.5, atol=1e-6)  # of two of three colours less grey
    np.testing.assert_allclose(measured["psnr"], peak_signal_noise_ratio(faces, faces + 16), atol=1e-6)
    assert (measured["autoencoder psnr"] > 100).all()


def test_faces_without_a_subject_are_strangers_where_identity_says_so(people) -> None:
    faces, store = people
    rows = rows_of([""] * 12)
    identity = encode(faces)
    found = strangers(rows, identity)
    assert all(identity[i] @ identity[other] < STRANGER_BELOW for i, other in enumerate(found))
    assert strangers(rows[:4], identity[:4]) == [None] * 4  # one person only
    store.faces = lambda rows, size: faces[:4]
    measured = fidelity(rows[:4], pictures(store, rows[:4], Brighter()), encode)
    assert np.isnan(measured["stranger"]).all()
    stranger = summaries(measured)[1]
    assert (stranger.value, stranger.faces) == ("stranger", 0)  # said, and no figure
    assert np.isnan(stranger.mean.value)


def test_a_generator_without_an_autoencoder_is_refused(people) -> None:
    _, store = people
    other = SimpleNamespace(config=Brighter.config, counterpart=Brighter.counterpart)
    with pytest.raises(InputError, match="no autoencoder"):
        pictures(store, rows_of(["a"] * 12), other)


def test_distance_is_frechets() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (300, 6)) @ rng.normal(0, 1, (6, 6)), rng.normal(0.5, 2, (200, 6))
    a, b, apart = np.cov(first.T), np.cov(second.T), first.mean(0) - second.mean(0)
    np.testing.assert_allclose(frechet(first, second), apart @ apart + np.trace(a + b - 2 * sqrtm(a @ b).real))
    np.testing.assert_allclose(frechet(first, first + 3), 6 * 9, rtol=1e-6)  # moved, and no more
    np.testing.assert_allclose(frechet(first, 2 * first - first.mean(0)), np.trace(a), rtol=1e-6)  # twice as wide
    few = rng.normal(0, 1, (4, 6))  # fewer than features: covariances without full rank
    np.testing.assert_allclose(frechet(few, few), 0, atol=1e-6)


def test_the_floor_is_real_against_other_real_faces_and_what_was_made_lies_above() -> None:
    """Features of three numbers; the autoencoder adds a little noise to a face, the generator moves it."""
    rng = np.random.default_rng(1)
    faces = rng.integers(60, 180, (400, 1, 1, 3)).astype(np.uint8)
    shown = Pictures(faces, faces + 20, faces + rng.integers(0, 3, faces.shape).astype(np.uint8))
    real, made, passed = distances(shown, lambda some: some.reshape(len(some), 3) / 10)
    assert (real.of, made.of, passed.of) == ("faces", "counterparts", "autoencoded")
    assert real.faces == 200
    assert 0 < real.percentile["5"] <= real.mean <= real.percentile["95"] < 2  # of other faces, so not nothing
    np.testing.assert_allclose(made.mean - real.mean, 3 * 2**2, atol=1)
    np.testing.assert_allclose(passed.mean, real.mean, atol=0.5)
