"""Detectors of known use of the cue: one that sees nothing else must change with it, one that is blind to it never."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from despoof.data.sample import Label, Sample
from despoof.errors import InputError
from despoof.faces.store import StoredSample
from despoof.studies.reliance import DISTURBANCES, reliance
from despoof.studies.tables import Share, table

SIZE = 16


class Halved:
    """A generator whose counterpart is half the face: the signed cue is the other half."""

    def counterpart(self, face: torch.Tensor) -> torch.Tensor:
        return face / 2


class Blind:
    """A detector that finds bright faces live and never looks at the cue."""

    config = SimpleNamespace(face_size=SIZE, cue_form="signed", uses_cue=True)

    def liveness(self, face: torch.Tensor, cue: torch.Tensor) -> torch.Tensor:
        return (face.mean((1, 2, 3)) > 0).float()


class CueOnly(Blind):
    """A detector that finds bright cues live and never looks at the face."""

    def liveness(self, face: torch.Tensor, cue: torch.Tensor) -> torch.Tensor:
        return (cue.mean((1, 2, 3)) > 0).float()


def guard(detector: Blind, generator: Halved | None = None) -> SimpleNamespace:
    engine = SimpleNamespace(detector=detector, generator=generator or Halved(), config=detector.config)
    return SimpleNamespace(engine=engine, thresholds=(0.5, 0.5))


@pytest.fixture
def captures() -> tuple[list[StoredSample], np.ndarray]:
    """Twelve bright live captures and twelve dark attacks, four captures of each person."""
    rows, faces = [], []
    for i in range(24):
        label, species = (Label.LIVE, "none") if i % 2 else (Label.ATTACK, "print")
        rows.append(StoredSample(Sample(f"{i}.png", label, species, f"s{i // 4}", "a"), "face"))
        faces.append(np.full((SIZE, SIZE, 3), 200 if i % 2 else 50, np.uint8))
    return rows, np.stack(faces)


def changed(detector: Blind, captures: tuple[list[StoredSample], np.ndarray]) -> dict[str, tuple[int, int, int]]:
    found = reliance(guard(detector), *captures)
    return {
        each.given_instead: (each.decisions_changed.count, each.of_live.count, each.of_attacks.count) for each in found
    }


def test_a_detector_of_the_face_alone_changes_only_with_the_face(captures):
    found = changed(Blind(), captures)
    assert found.pop("own cue, another face, opposite label") == (24, 12, 12)
    assert set(found.values()) == {(0, 0, 0)}


def test_a_detector_of_the_cue_alone_changes_only_with_the_cue(captures):
    found = changed(CueOnly(), captures)
    assert found.pop("cue of another capture, opposite label") == (24, 12, 12)
    assert found.pop("cue of zeros") == (12, 12, 0)  # which are not above zero: an attack's
    assert set(found.values()) == {(0, 0, 0)}  # noise has the mean of the own cue


def test_counts_intervals_and_changes_of_liveness_by_hand(captures):
    found = {each.given_instead: each for each in reliance(guard(CueOnly()), *captures)}
    zeros = found["cue of zeros"]
    assert (zeros.decisions_changed, zeros.of_live, zeros.of_attacks) == (Share(12, 24), Share(12, 12), Share(0, 12))
    assert zeros.change_of_liveness == {"all": 0.5, "live": 1.0, "attacks": 0.0}
    assert list(found) == list(DISTURBANCES)
    assert "12 of 12 (73.5–100.0 %)" in table([zeros])  # Clopper-Pearson: from .025 ** (1 / 12)


def test_another_capture_is_another_persons(captures):
    rows, faces = captures
    seen: dict[str, list[int]] = {}

    class Watching(CueOnly):
        def liveness(self, face: torch.Tensor, cue: torch.Tensor) -> torch.Tensor:
            pairs = zip(face[:, 0, 0, 0].tolist(), cue[:, 0, 0, 0].tolist(), strict=True)
            seen.setdefault("pairs", []).extend((round(a, 3), round(b, 3)) for a, b in pairs)
            return super().liveness(face, cue)

    marked = np.stack([np.full((SIZE, SIZE, 3), 100 + i // 4 * 20, np.uint8) for i in range(24)])  # one grey a person
    reliance(guard(Watching()), rows, marked)
    pairs = np.array(seen["pairs"][24:48])  # the first disturbance: cue of another capture, same label
    assert (np.abs(pairs[:, 0] - 2 * pairs[:, 1]) > 0.1).all()


def test_weights_without_a_cue_and_captures_of_one_person_are_refused(captures):
    rows, faces = captures
    without = Blind()
    without.config = SimpleNamespace(face_size=SIZE, cue_form="signed", uses_cue=False)
    with pytest.raises(InputError, match="without a cue"):
        reliance(guard(without), rows, faces)
    with pytest.raises(InputError, match="another person"):
        reliance(guard(Blind()), rows[:4], faces[:4])
