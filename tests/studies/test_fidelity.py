"""Fidelity on faces whose identity is a colour: a stranger who is the same person would hide what identity brings."""

from types import SimpleNamespace

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from despoof.data.sample import Label, Sample
from despoof.errors import InputError
from despoof.faces.store import StoredSample
from despoof.studies.fidelity import STRANGER_BELOW, fidelity, strangers, summaries

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
    measured = fidelity(store, rows, Brighter(), encode)
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
    measured = fidelity(store, rows[:4], Brighter(), encode)
    assert np.isnan(measured["stranger"]).all()
    stranger = summaries(measured)[1]
    assert (stranger.value, stranger.faces) == ("stranger", 0)  # said, and no figure
    assert np.isnan(stranger.mean.value)


def test_a_generator_without_an_autoencoder_is_refused(people) -> None:
    _, store = people
    other = SimpleNamespace(config=Brighter.config, counterpart=Brighter.counterpart)
    with pytest.raises(InputError, match="no autoencoder"):
        fidelity(store, rows_of(["a"] * 12), other, encode)
