"""The trainers learn, and a killed run that resumes is the uninterrupted one bit for bit; any random number drawn
outside a step's own generator would break that."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from despoof.generator.config import TINY
from despoof.generator.training import autoencoder as ae
from despoof.generator.training import diffusion as dfg
from despoof.generator.training import identity as ident
from despoof.runs.checkpoint import load_artefact
from despoof.runs.loop import LoopConfig

FACES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)


class KilledError(Exception):
    """Stands for a kill: nothing of the step it interrupts is kept."""


def loop(steps: int) -> LoopConfig:
    return LoopConfig(steps, save_every=2, log_every=1)


def train_ae(folder: Path, steps: int = 4) -> Path:
    return ae.train_autoencoder(TINY, ae.AutoencoderTraining(loop(steps), batch=4), FACES, folder)


def train_id(folder: Path, steps: int = 4) -> Path:
    targets = np.eye(12, 8, dtype=np.float32) + 0.1
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    return ident.train_identity(TINY, ident.IdentityTraining(loop(steps), batch=4), FACES, targets, folder)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("parts")
    return train_ae(folder / "ae"), train_id(folder / "id")


def same(first: Path, second: Path, kind: str) -> bool:
    a, b = load_artefact(first, kind).tensors, load_artefact(second, kind).tensors
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def killed_at(monkeypatch: pytest.MonkeyPatch, module: object, step: int, run) -> None:
    """Run until the given step's draw, then die there."""
    draw = module.step_rng

    def dies(seed: int, number: int):
        if number == step:
            raise KilledError
        return draw(seed, number)

    monkeypatch.setattr(module, "step_rng", dies)
    with pytest.raises(KilledError):
        run()
    monkeypatch.setattr(module, "step_rng", draw)


def test_autoencoder_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(monkeypatch, ae, 3, lambda: train_ae(tmp_path / "killed"))
    assert same(train_ae(tmp_path / "killed"), train_ae(tmp_path / "straight"), "autoencoder")
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed/log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_identity_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(monkeypatch, ident, 3, lambda: train_id(tmp_path / "killed"))
    assert same(train_id(tmp_path / "killed"), train_id(tmp_path / "straight"), "identity")


def test_generator_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: tuple[Path, Path]
) -> None:
    def run(name: str) -> Path:
        return dfg.train_generator(TINY, dfg.GeneratorTraining(loop(4), batch=4), FACES, parts, tmp_path / name)

    killed_at(monkeypatch, dfg, 3, lambda: run("killed"))
    assert same(run("killed"), run("straight"), "generator")


def test_training_the_generator_leaves_its_parts_alone(tmp_path: Path, parts: tuple[Path, Path]) -> None:
    path = dfg.train_generator(TINY, dfg.GeneratorTraining(loop(2), batch=4), FACES, parts, tmp_path / "g")
    whole, part = load_artefact(path, "generator").tensors, load_artefact(parts[0], "autoencoder").tensors
    assert all(torch.equal(whole[f"autoencoder.{name}"], tensor) for name, tensor in part.items())


def test_autoencoder_learns_to_copy(tmp_path: Path) -> None:
    training = ae.AutoencoderTraining(LoopConfig(60, save_every=60, log_every=20), batch=8, rate=3e-3)
    ramps = np.linspace(0, 255, 64)[None, :, None, None] * np.linspace(0.2, 1, 12)[:, None, None, None]
    ae.train_autoencoder(TINY, training, np.broadcast_to(ramps, (12, 64, 64, 3)).astype(np.uint8), tmp_path)
    errors = [json.loads(line)["l1"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert errors[-1] < 0.8 * errors[0]


def test_pyramid_error_is_zero_only_for_equal_faces() -> None:
    face = torch.rand(2, 3, 16, 16)
    assert ae.pyramid_error(face, face) == 0
    # a constant shift has no gradient error: three levels of the mean absolute error alone
    assert float(ae.pyramid_error(face + 0.1, face)) == pytest.approx(0.3, abs=1e-5)


def test_another_seed_gives_another_model(tmp_path: Path) -> None:
    training = ae.AutoencoderTraining(loop(2), batch=4)
    first = ae.train_autoencoder(TINY, training, FACES, tmp_path / "a")
    second = ae.train_autoencoder(TINY, replace(training, seed=1), FACES, tmp_path / "b")
    assert not same(first, second, "autoencoder")
