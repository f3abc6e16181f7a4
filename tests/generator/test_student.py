"""The one-step student: starts as the teacher's one call, learns the teacher's latents, resumes bit for bit; pairs
drawn from global noise, or a half-written shard taken for whole, would teach it another map."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from despoof.errors import ConfigError
from despoof.faces.align import as_tensor
from despoof.generator.config import TINY, StudentRecipe, StudentTraining
from despoof.generator.diffusion import OneStep
from despoof.generator.registry import LatentDiffusion, load_generator, save_generator
from despoof.generator.training import latents
from despoof.generator.training import student as distil

FACES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)


class KilledError(Exception):
    """Stands for a kill."""


@contextmanager
def killed_at_step_3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A training within dies before its third step; after it, trainings live again."""
    draw = distil.step_rng

    def dies(seed: int, number: int) -> torch.Generator:
        if number == 3:
            raise KilledError
        return draw(seed, number)

    with monkeypatch.context() as patched:
        patched.setattr(distil, "step_rng", dies)
        with pytest.raises(KilledError):
            yield


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "generator.safetensors"
    save_generator(path, LatentDiffusion(TINY))
    return path


def train(teacher: Path, folder: Path, steps: int = 4, **more) -> Path:
    training = StudentTraining(steps, save_every=2, log_every=1, batch=4, **more)
    return distil.train_student(StudentRecipe(training), FACES, folder, teacher=teacher)


def as_batch(faces: np.ndarray) -> torch.Tensor:
    return as_tensor(faces, 64)


def test_student_resumes_bit_for_bit(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at_step_3(monkeypatch):
        train(teacher, tmp_path / "killed", pixel_weight=0.5)
    killed = load_generator(train(teacher, tmp_path / "killed", pixel_weight=0.5))
    straight = load_generator(train(teacher, tmp_path / "straight", pixel_weight=0.5))
    assert isinstance(killed, OneStep)
    assert killed.name == straight.name


def test_student_comes_nearer_to_its_teacher(teacher: Path, tmp_path: Path) -> None:
    path = train(teacher, tmp_path, steps=25, rate=6e-3, average=0.5, precision="no")
    source, student = load_generator(teacher), load_generator(path)
    untrained = distil.student_of(source, 501, teacher).eval()
    face = as_batch(FACES)
    wanted = source.counterpart(face)
    before, after = ((one.counterpart(face) - wanted).abs().mean() for one in (untrained, student))
    assert after < 0.8 * before


def test_one_call_gives_the_latents_of_a_perfect_velocity(teacher: Path) -> None:
    source = load_generator(teacher)
    student = distil.student_of(source, 501, teacher).eval()
    clean, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    steps = torch.full((2,), 501)
    noised = source.schedule.add_noise(clean, noise, steps)
    velocity = source.schedule.get_velocity(clean, noise, steps)
    torch.testing.assert_close(student.clean_of(noised, velocity), clean, rtol=1e-4, atol=1e-4)


def test_pairs_are_the_teachers_own_and_are_made_once(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load_generator(teacher)

    def pairs_of(label: str = "run") -> latents.Latents:
        return distil.teacher_pairs(source, FACES, tmp_path, label, start=501, noises=2)

    pairs = pairs_of()
    assert pairs.arrays["clean"].shape == (12, 2, 4, 8, 8)
    mirrored = as_batch(FACES).flip(3)
    torch.manual_seed(9)
    made = source.autoencoder.decode(pairs.pick("clean", torch.arange(6, 12), torch.tensor(1))).clamp(-1, 1)
    torch.testing.assert_close(made, source.counterpart(mirrored, salt=1), rtol=0, atol=0.02)
    monkeypatch.setattr(latents, "_of_views", None)  # a second making would call it
    assert np.array_equal(pairs_of().arrays["noised"], pairs.arrays["noised"])
    with pytest.raises(TypeError):
        pairs_of("another run")


def test_another_start_and_a_student_as_teacher_are_refused(teacher: Path, tmp_path: Path) -> None:
    path = train(teacher, tmp_path, steps=2)
    with pytest.raises(ConfigError, match="distilled at 501 only"):
        load_generator(path).counterpart(as_batch(FACES[:1]), start_step=801)
    with pytest.raises(ConfigError, match="expected 'diffusion'"):
        train(path, tmp_path / "again")


def on_faces(teacher: Path, folder: Path, **more) -> Path:
    return train(teacher, folder, target="face", **{"pixel_weight": 0.5, "identity_weight": 0.5} | more)


def test_on_faces_a_student_goes_on_and_resumes_bit_for_bit(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = train(teacher, tmp_path / "student", steps=2)
    with killed_at_step_3(monkeypatch):
        on_faces(student, tmp_path / "killed", noise="pair")
    killed = load_generator(on_faces(student, tmp_path / "killed", noise="pair"))
    straight = load_generator(on_faces(student, tmp_path / "straight", noise="pair"))
    assert killed.config.diffusion.noise == "pair"
    assert load_generator(student).config.diffusion.noise == "content"
    assert killed.name == straight.name


@pytest.mark.parametrize("looked_at", [None, "pixel", "identity"])
def test_on_faces_a_student_comes_nearer_to_the_faces(teacher: Path, tmp_path: Path, looked_at: str | None) -> None:
    weights = {f"{name}_weight": float(name == looked_at) for name in ("pixel", "identity")}
    path = on_faces(teacher, tmp_path, steps=25, rate=6e-3, average=0.5, precision="no", **weights)
    before, after = distil.student_of(load_generator(teacher), 501, teacher).eval(), load_generator(path)
    face = as_batch(FACES)
    latents, identity = after.autoencoder.encode(face), after.identity(face)
    steps, noise = torch.full((6,), 501), after.noise(face, latents.shape[1:], 7)  # a draw it never saw
    first, second = (
        (one.denoised(one.add_noise(latents, noise, steps), identity, 501) - latents).square().mean()
        for one in (before, after)
    )
    assert second < 0.9 * first
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert [name for name in ("pixel", "identity") if f"{name}_error" in line] == [looked_at] * bool(looked_at)


def test_of_changed_faces_the_unchanged_ones_are_learned(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of each batch is noised from the latents of a changed face; what is wanted stays that of the face itself."""
    source, seen = load_generator(teacher), []
    add = OneStep.add_noise

    def watched(self: OneStep, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        seen.append(latents)
        return add(self, latents, noise, steps)

    wanted, errors = [], distil._errors
    with monkeypatch.context() as patched:
        patched.setattr(OneStep, "add_noise", watched)
        patched.setattr(distil, "_errors", lambda *given: (wanted.append(given[2]), errors(*given))[1])
        on_faces(teacher, tmp_path / "watched", steps=40, changed=0.5, precision="no")
    own = source.autoencoder.encode(torch.cat([as_batch(FACES), as_batch(FACES).flip(3)])).detach()
    seen, wanted = torch.cat(seen), torch.cat(wanted)
    nearest = (wanted[:, None] - own).abs().amax((2, 3, 4)).min(1)
    assert nearest.values.max() < 2e-3
    changed = (seen - wanted).abs().amax((1, 2, 3)) > 2e-3
    assert 0.35 < changed.float().mean() < 0.65
    held = distil.changed_faces(source, FACES, tmp_path / "held", "run", changes=2)
    again = distil.changed_faces(source, FACES, tmp_path / "again", "run", changes=2)
    assert np.array_equal(held.arrays["latents"], again.arrays["latents"])
    assert held.arrays["latents"].shape[:2] == (12, 2)
    apart = np.abs(held.arrays["latents"].astype(float) - own[:, None].numpy()).max((2, 3, 4))
    assert (apart > 2e-3).mean() > 0.8  # more than rounding to 16 bits
    assert (apart[:, 0] != apart[:, 1]).all()


def test_changed_faces_need_the_faces_as_target(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="changed is 0.5"):
        train(teacher, tmp_path, changed=0.5)


def test_on_faces_another_t_may_be_learned(teacher: Path, tmp_path: Path) -> None:
    student = train(teacher, tmp_path / "student", steps=2)
    path = on_faces(student, tmp_path / "earlier", start_step=301, changed=0.5)
    assert load_generator(path).config.diffusion.start_step == 301


def test_log_holds_one_loss_per_step(teacher: Path, tmp_path: Path) -> None:
    train(teacher, tmp_path, steps=3)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(line["loss"] > 0 for line in lines)
