"""Robustness and the audit of hard faces on hand-made cases; a disturbance that did nothing, or a group of the wrong
faces, would look like a steady cue."""

import numpy as np
import pytest
import torch

from despoof.data.sample import Label, Sample
from despoof.faces.store import StoredSample
from despoof.studies import robustness as steady
from despoof.studies.hard_faces import hard_faces
from despoof.studies.readings import scores_across
from despoof.studies.robustness import DISTURBANCES, brightened, shrunk
from despoof.studies.tables import Share


def rows_of(count: int) -> list[StoredSample]:
    labels = (Label.LIVE, Label.ATTACK)
    samples = [Sample(f"{i}.png", labels[i % 2], domain="ab"[i // 2 % 2], subject=str(i)) for i in range(count)]
    marks = np.array([[30, 30], [70, 30], [50, 50], [35, 70], [65, 70]], float)
    return [StoredSample(sample, "face", landmarks=(marks + [[0, 0]] * 5).tolist()) for sample in samples]


@pytest.mark.parametrize("name", DISTURBANCES)
def test_every_disturbance_changes_a_face_and_keeps_its_form(name: str) -> None:
    face = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    other = DISTURBANCES[name](face)
    assert other.shape == face.shape
    assert other.dtype == np.uint8
    assert (other != face).mean() > 0.5


def test_disturbances_by_hand() -> None:
    face = np.full((8, 8, 3), 100, np.uint8)
    assert (brightened(face, 1.3) == 130).all()
    assert (brightened(face, 0.7) == 70).all()
    assert (brightened(face, 3.0) == 255).all()
    face[:, ::2] = 200  # stripes of one pixel, which half the size cannot hold
    assert (shrunk(face, 0.5) == 150).all()


class Copies:
    """A generator that adds the salt's stripes: two salts give cues of known correlation."""

    class config:  # noqa: N801
        face_size = 128

    def counterpart(self, face: torch.Tensor, salt: int = 0) -> torch.Tensor:
        pattern = torch.ones(128, 128)
        pattern[:, ::2] = -1
        return (face * 0.5 + 0.2 * (pattern if salt == 0 else pattern.T)).clamp(-1, 1)


def test_the_plain_cue_agrees_with_itself_and_other_noise_less() -> None:
    rows = rows_of(16)
    faces = np.full((16, 128, 128, 3), 128, np.uint8) + np.arange(16, dtype=np.uint8)[:, None, None, None]
    found = {one.disturbance: one for one in steady.robustness(Copies(), rows, faces, salts=1)}
    assert found["plain"].correlation == pytest.approx(1, abs=1e-3)
    assert found["noise 1"].correlation == pytest.approx(0, abs=1e-2)  # stripes across stripes
    assert set(found) == {"plain", "noise 1", *DISTURBANCES}
    assert set(found["plain"].auc) == {"a", "b"}


def test_other_values_are_judged_by_the_fit_on_plain_ones() -> None:
    rows = rows_of(40)
    sign = np.array([1.0 if row.sample.label is Label.LIVE else -1.0 for row in rows])[:, None]
    plain = scores_across(rows, sign)
    assert ((plain - 0.5) * sign[:, 0] > 0).all()
    np.testing.assert_allclose(scores_across(rows, sign, judged=-sign), 1 - plain, atol=1e-6)


def test_groups_hold_the_extreme_tenth() -> None:
    rows = rows_of(20)
    faces = np.stack([np.full((16, 16, 3), 10 * i, np.uint8) for i in range(20)])
    residual, cosine = np.arange(20.0), np.ones(20)
    live = np.arange(20) != 19
    found = {group.group: group for group in hard_faces(rows, faces, residual, cosine, live)}
    assert found["all"].not_live == Share(1, 20)
    assert found["dark"].residual.value == 0.5  # faces 0 and 1
    assert found["dark"].not_live == Share(0, 2)
    assert found["bright"].residual.value == 18.5
    assert found["bright"].not_live == Share(1, 2)
