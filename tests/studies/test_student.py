"""A faithful student passes and a lazy one does not; a check that cannot fail guards nothing."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from despoof.data.sample import Label, Sample
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow, write_scores
from despoof.faces.store import StoredSample
from despoof.runs.checkpoint import file_hash
from despoof.studies.readings import correlation
from despoof.studies.student import ScoredDetector, check_captures, check_faces, scored_detectors

SIZE = 64


class Shifted:
    """A generator that adds a fixed picture to every face; its identity is the mean colour."""

    def __init__(self, picture: torch.Tensor) -> None:
        self.config, self.picture = SimpleNamespace(face_size=SIZE), picture

    def counterpart(self, face: torch.Tensor) -> torch.Tensor:
        return (face + self.picture).clamp(-1, 1)

    def identity(self, face: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(embedding=torch.nn.functional.normalize(face.mean((2, 3)), dim=1))


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 200, (40, SIZE, SIZE, 3), np.uint8)


def _picture(seed: int) -> torch.Tensor:
    return 0.2 * torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def test_a_student_equal_to_its_teacher_passes_and_another_cue_does_not(faces):
    teacher = Shifted(_picture(0))
    same = check_faces(teacher, Shifted(_picture(0)), faces)
    assert [check.passed for check in same] == [True, True]
    assert same[1].value == pytest.approx(1, abs=1e-5)
    other = check_faces(teacher, Shifted(_picture(1)), faces)
    assert not other[1].passed
    assert abs(other[1].value) < 0.1


def test_a_student_that_draws_another_person_does_not_pass(faces):
    colour = torch.tensor([0.9, -0.9, 0.1])[:, None, None].expand(3, SIZE, SIZE)
    checks = check_faces(Shifted(_picture(0)), Shifted(colour), faces)
    assert not checks[0].passed
    assert checks[0].value == pytest.approx(checks[0].teacher - checks[0].student)


def test_correlation_is_numpys():
    first, second = torch.randn(3, 3, 8, 8), torch.randn(3, 3, 8, 8)
    wanted = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(correlation(first, second), wanted, atol=1e-6)


def _rows() -> list[StoredSample]:
    kinds = [(Label.ATTACK, "print"), (Label.LIVE, "none")] * 10
    return [
        StoredSample(Sample(f"{domain}/{i}.jpg", label, species, "", domain), "face")
        for domain in ("a", "b")
        for i, (label, species) in enumerate(kinds)
    ]


def test_a_cue_that_lost_what_separates_does_not_pass(faces, tmp_path):
    """The teacher leaves a bright cue on attacks; the student draws the face itself, so its cue is empty."""
    rows = _rows()
    attack = np.array([row.sample.label is Label.ATTACK for row in rows])
    teacher, student = faces.copy(), faces.copy()
    teacher[attack] -= 40
    torch.manual_seed(0)
    save_detector(tmp_path / "detector.safetensors", Detector(TINY))
    detectors = [ScoredDetector(tmp_path / "detector.safetensors", np.arange(20))]  # those of domain a
    alone, judged = check_captures(rows, faces, [teacher, student], detectors)
    assert alone.teacher > 0.95
    assert not alone.passed
    assert judged.value == pytest.approx(judged.teacher - judged.student)
    equal = check_captures(rows, faces, [teacher, teacher], detectors)
    assert all(check.passed for check in equal)
    assert equal[1].value == 0


@pytest.fixture
def evaluation(tmp_path) -> Path:
    """What `despoof evaluate` leaves of one detector that was tested on domain b."""
    torch.manual_seed(0)
    detector = tmp_path / "fits" / "p" / "attention" / "to-b-seed0" / "detector.safetensors"
    save_detector(detector, Detector(TINY))
    scored = tuple(ScoreRow.from_sample(row.sample, 0.5) for row in _rows() if row.sample.domain == "b")
    facts = {"protocol": "p", "cell": "to-b", "model": "attention", "seed": 0, "split": "test", "thresholds": {}}
    facts["counterparts"] = "teacher"
    facts["weights_hash"] = {"detector.safetensors": file_hash(detector)}
    write_scores(tmp_path / "scores" / "p" / "attention" / "to-b-seed0-test.csv", ScoreFile(scored, facts))
    return tmp_path


def test_a_detector_is_judged_on_what_its_score_file_says_it_was_tested_on(evaluation):
    (found,) = scored_detectors(evaluation, "attention", "teacher", _rows())
    assert found.places.tolist() == list(range(20, 40))


def test_detectors_that_are_missing_or_not_those_that_were_scored_are_refused(evaluation):
    with pytest.raises(InputError, match="no score file of model 'none'"):
        scored_detectors(evaluation, "none", "teacher", _rows())
    with pytest.raises(InputError, match="learned with counterparts of teacher; expected another"):
        scored_detectors(evaluation, "attention", "another", _rows())
    with pytest.raises(InputError, match="lacks 20 samples"):
        scored_detectors(evaluation, "attention", "teacher", _rows()[:20])
    (path,) = evaluation.rglob("detector.safetensors")
    torch.manual_seed(1)
    save_detector(path, Detector(TINY))
    with pytest.raises(InputError, match="not the detector that was scored"):
        scored_detectors(evaluation, "attention", "teacher", _rows())
