"""The gate lets a faithful student through and stops a lazy one; a gate that cannot close guards nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from despoof.data.sample import Label, Sample
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.errors import InputError
from despoof.faces.store import StoredSample
from despoof.studies.student import Limits, captures_checks, correlation, faces_checks

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
    same = faces_checks(teacher, Shifted(_picture(0)), faces, Limits())
    assert [check.passed for check in same] == [True, True]
    assert same[1].value == pytest.approx(1, abs=1e-5)
    other = faces_checks(teacher, Shifted(_picture(1)), faces, Limits())
    assert not other[1].passed
    assert abs(other[1].value) < 0.1


def test_a_student_that_draws_another_person_does_not_pass(faces):
    colour = torch.tensor([0.9, -0.9, 0.1])[:, None, None].expand(3, SIZE, SIZE)
    checks = faces_checks(Shifted(_picture(0)), Shifted(colour), faces, Limits())
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
    made = {"teacher": faces.copy(), "student": faces.copy()}
    made["teacher"][attack] -= 40
    torch.manual_seed(0)
    save_detector(tmp_path / "to-a-seed0" / "detector.safetensors", Detector(TINY))
    alone, judged = captures_checks(rows, faces, made, tmp_path, Limits())
    assert alone.teacher > 0.95
    assert not alone.passed
    assert judged.value == pytest.approx(judged.teacher - judged.student)
    equal = captures_checks(rows, faces, made | {"student": made["teacher"]}, tmp_path, Limits())
    assert all(check.passed for check in equal)
    assert equal[1].value == 0


def test_missing_detectors_are_an_error(faces, tmp_path):
    with pytest.raises(InputError, match="to-DOMAIN-seedK"):
        captures_checks(_rows(), faces, {"teacher": faces, "student": faces}, tmp_path, Limits())
