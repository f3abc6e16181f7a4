"""The trainers learn; a killed run that resumes is the uninterrupted one bit for bit, which any random number drawn
outside a step's own would break; and no run goes on with the state of another, which would go unseen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError
from despoof.faces.store import Store, StoredSample
from despoof.generator.config import (
    TINY,
    AutoencoderRecipe,
    AutoencoderTraining,
    DenoiserTraining,
    GeneratorRecipe,
    IdentityRecipe,
    IdentityTraining,
    StudentRecipe,
    StudentTraining,
)
from despoof.generator.registry import load_generator, save_generator
from despoof.generator.training import autoencoder as ae
from despoof.generator.training import diffusion as dfg
from despoof.generator.training import identity as ident
from despoof.generator.training import latents as cached
from despoof.generator.training import student as distil
from despoof.generator.training import train_generator
from despoof.generator.training.latents import StoredFaces
from despoof.generator.training.trainer import _warm_average
from despoof.runs.checkpoint import file_hash, load_artefact

FACES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)


class KilledError(Exception):
    """Stands for a kill: nothing of the step it interrupts is kept."""


class FacesOfRows:
    """Stands for `StoredFaces`: faces in memory, of rows without images."""

    def __init__(self, faces: np.ndarray) -> None:
        self.faces, self.rows, self.size = faces, [None] * len(faces), 64

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, key: slice) -> np.ndarray:
        return self.faces[key]


def unit_targets(*given: object) -> np.ndarray:
    targets = np.eye(12, 8, dtype=np.float32) + 0.1
    return targets / np.linalg.norm(targets, axis=1, keepdims=True)


SHORT = {"batch": 4, "save_every": 2, "log_every": 1}


def train_ae(folder: Path, *, faces: np.ndarray = FACES, **changes) -> Path:
    training = AutoencoderTraining(**{"steps": 4} | SHORT | changes)
    return ae.train_autoencoder(AutoencoderRecipe(TINY, training), faces, folder)


def train_id(folder: Path, teacher: Path, *, faces: np.ndarray = FACES, **changes) -> Path:
    recipe = IdentityRecipe(TINY, IdentityTraining(**{"steps": 4} | SHORT | changes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ident, "teacher_embeddings", unit_targets)
        return ident.train_identity(recipe, FacesOfRows(faces), folder, teacher=teacher)


def train_dfg(folder: Path, parts: dict[str, Path], *, faces: np.ndarray = FACES, **changes) -> Path:
    recipe = GeneratorRecipe(TINY, DenoiserTraining(**{"steps": 4} | SHORT | changes))
    return train_generator(recipe, faces, folder, **parts)


def train_plain(folder: Path, *, faces: np.ndarray = FACES, kind: str = "bottleneck", **changes) -> Path:
    config, training = replace(TINY, kind=kind), AutoencoderTraining(**{"steps": 4} | SHORT | changes)
    return train_generator(GeneratorRecipe(config, copying=training), faces, folder)


def train_student(folder: Path, teacher: Path, *, faces: np.ndarray = FACES, **changes) -> Path:
    training = StudentTraining(**{"steps": 4} | SHORT | changes)
    return distil.train_student(StudentRecipe(training), faces, folder, teacher=teacher)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that stands for the ArcFace teacher."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    path.write_bytes(b"teacher")
    return path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parts")
    return {"autoencoder": train_ae(folder / "ae"), "identity": train_id(folder / "id", teacher)}


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


def test_an_autoencoder_learns_the_same_from_faces_read_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faces too many for memory: none is asked for at once, a killed reading goes on, and nothing is read twice."""
    monkeypatch.setattr(cached, "CHUNK", 5)
    monkeypatch.setattr(ae, "data_hash", lambda faces: "the same faces")
    asked: list[int] = []

    class Few(FacesOfRows):
        def __getitem__(self, key: slice) -> np.ndarray:
            if asked.count(key.start) == 0 and key.start == 5:
                asked.append(key.start)
                raise KilledError
            asked.append(key.start)
            assert len(self.faces[key]) <= 5
            return self.faces[key]

    with pytest.raises(KilledError):
        train_ae(tmp_path / "few", faces=Few(FACES))
    few = train_ae(tmp_path / "few", faces=Few(FACES))
    assert asked == [0, 5, 5, 10]
    assert same(few, train_ae(tmp_path / "whole"), "autoencoder")


def test_identity_resumes_bit_for_bit(tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(monkeypatch, ident, 3, lambda: train_id(tmp_path / "killed", teacher))
    assert same(train_id(tmp_path / "killed", teacher), train_id(tmp_path / "straight", teacher), "identity")


def test_generator_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Path]) -> None:
    killed_at(monkeypatch, dfg, 3, lambda: train_dfg(tmp_path / "killed", parts))
    assert same(train_dfg(tmp_path / "killed", parts), train_dfg(tmp_path / "straight", parts), "generator")


def test_a_generator_starts_from_another_ones_weights_and_parts(tmp_path: Path, parts: dict[str, Path]) -> None:
    first = train_dfg(tmp_path / "first", parts)
    again = train_dfg(tmp_path / "again", {"start_from": first}, rate=0.0)
    assert same(first, again, "generator")
    assert load_artefact(again, "generator").facts["identity"]["parents"] == {"start_from": file_hash(first)}
    fresh = train_dfg(tmp_path / "fresh", parts, rate=0.0)
    assert not same(first, fresh, "generator")


def test_no_trainer_goes_on_with_another_run(
    tmp_path: Path, parts: dict[str, Path], teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is finished, then asked for again with one thing changed; all must refuse before any work."""
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other teacher")
    dfg_file = train_dfg(tmp_path / "dfg", parts)
    others = {"autoencoder": train_ae(tmp_path / "ae2", seed=1), "identity": train_id(tmp_path / "id2", other)}
    second = train_dfg(tmp_path / "dfg2", parts, seed=1)
    runs = {
        "ae": lambda **more: train_ae(tmp_path / "ae", **more),
        "id": lambda teacher=teacher, **more: train_id(tmp_path / "id", teacher, **more),
        "dfg": lambda parts=parts, **more: train_dfg(tmp_path / "dfg", parts, **more),
        "plain": lambda **more: train_plain(tmp_path / "plain", **more),
        "student": lambda teacher=dfg_file, **more: train_student(tmp_path / "student", teacher, **more),
    }
    changes = [{"seed": 1}, {"steps": 5}, {"rate": 1e-4}, {"faces": FACES[:11]}, {"faces": FACES[::-1]}]
    own = {
        "id": [{"teacher": other}],
        "dfg": [{"parts": parts | {role: path}} for role, path in others.items()]
        + [{"condition_dropout": 0.5}, {"snr_limit": 0.0}],
        "plain": [{"kind": "autoencoder"}, {"latent_noise": 0.0}],
        "student": [{"teacher": second}, {"noises": 2}, {"start_step": 301}, {"pixel_weight": 1.0}, {"target": "face"}],
    }
    for name, run in runs.items():
        before = run().read_bytes()
        with pytest.MonkeyPatch.context() as patch:  # whoever starts to work fails otherwise
            patch.setattr(torch.optim.AdamW, "__init__", None)
            for change in changes + own.get(name, []):
                with pytest.raises(ArtefactError, match="holds another run: .+ was .+, now "):
                    run(**change)
        assert run().read_bytes() == before


def test_a_killed_run_is_not_gone_on_with_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(monkeypatch, ae, 1, lambda: train_ae(tmp_path))  # before its first state
    with pytest.raises(ArtefactError, match="training.seed was 0, now 1"):
        train_ae(tmp_path, seed=1)


def test_weights_name_run_parents_data_and_versions(tmp_path: Path, parts: dict[str, Path]) -> None:
    made = train_dfg(tmp_path / "dfg", parts)
    facts = load_artefact(train_student(tmp_path / "student", made), "generator").facts
    assert facts["identity"]["parents"] == {"teacher": file_hash(made)}
    assert facts["identity"]["data"] == load_artefact(made, "generator").facts["identity"]["data"]
    assert facts["identity"]["config"]["training"]["steps"] == 4
    assert {"commit", "versions"} <= set(facts)
    parents = load_artefact(made, "generator").facts["identity"]["parents"]
    assert parents == {role: file_hash(path) for role, path in parts.items()}
    save_generator(tmp_path / "half.safetensors", load_generator(made), bits=16)
    assert load_artefact(tmp_path / "half.safetensors", "generator").facts["identity"]["parents"] == parents


def test_teacher_embeddings_are_kept_for_one_teacher_and_one_order_of_rows(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    store = Store(tmp_path / "store", about={"size": 256})
    rng = np.random.default_rng(0)
    for number in range(3):
        image = rng.integers(0, 256, (256, 256, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        sample = Sample(f"{number}.png", Label.LIVE, subject=f"s{number}", domain="a", source=str(tmp_path))
        landmarks = [[90.0, 100.0], [160.0, 100.0], [125.0, 140.0], [95.0, 180.0], [155.0, 180.0]]
        store.add(StoredSample(sample, "face", landmarks=landmarks), image)
    calls = []

    def encoder(path: Path):
        scale = len(path.read_bytes())

        def encode(crops: np.ndarray) -> np.ndarray:
            calls.append(path)
            return np.stack([[crop.mean(), scale] for crop in crops]).astype(np.float32)

        return encode

    monkeypatch.setattr(ident, "teacher_encoder", encoder)
    other = tmp_path / "other.onnx"
    other.write_bytes(b"longer than the first teacher")
    cache, faces = tmp_path / "teacher.safetensors", StoredFaces(store, store.rows, 64)
    turned = replace(faces, rows=faces.rows[::-1])
    first = ident.teacher_embeddings(faces, teacher, cache)
    assert np.array_equal(ident.teacher_embeddings(faces, teacher, cache), first)
    assert len(calls) == 3  # the second time from the cache
    assert np.array_equal(ident.teacher_embeddings(turned, teacher, cache), first[::-1])
    assert np.all(ident.teacher_embeddings(turned, other, cache)[:, 1] == len(other.read_bytes()))
    assert len(calls) == 9


def test_latents_of_another_run_are_made_again(tmp_path: Path, parts: dict[str, Path]) -> None:
    generator = load_generator(train_dfg(tmp_path / "dfg", parts))
    dfg.encode_faces(generator, FACES, tmp_path / "latents", "one run")
    turned = dfg.encode_faces(generator, FACES[::-1], tmp_path / "latents", "another")
    fresh = dfg.encode_faces(generator, FACES[::-1], tmp_path / "fresh", "another")
    assert np.array_equal(turned.arrays["latents"], fresh.arrays["latents"])


def test_training_the_generator_leaves_its_parts_alone(tmp_path: Path, parts: dict[str, Path]) -> None:
    path = train_dfg(tmp_path / "g", parts, steps=2)
    whole, part = load_artefact(path, "generator").tensors, load_artefact(parts["autoencoder"], "autoencoder").tensors
    assert all(torch.equal(whole[f"autoencoder.{name}"], tensor) for name, tensor in part.items())


def test_autoencoder_learns_to_copy(tmp_path: Path) -> None:
    ramps = np.linspace(0, 255, 64)[None, :, None, None] * np.linspace(0.2, 1, 12)[:, None, None, None]
    faces = np.broadcast_to(ramps, (12, 64, 64, 3)).astype(np.uint8)
    train_ae(tmp_path, faces=faces, steps=60, save_every=60, log_every=20, batch=8, rate=3e-3)
    errors = [json.loads(line)["l1"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert errors[-1] < 0.8 * errors[0]


def test_pyramid_error_is_zero_only_for_equal_faces() -> None:
    face = torch.rand(2, 3, 16, 16)
    assert ae.pyramid_error(face, face) == 0
    # a constant shift has no gradient error: three levels of the mean absolute error alone
    assert float(ae.pyramid_error(face + 0.1, face)) == pytest.approx(0.3, abs=1e-5)


def test_another_seed_gives_another_model(tmp_path: Path) -> None:
    first, second = train_ae(tmp_path / "a", steps=2), train_ae(tmp_path / "b", steps=2, seed=1)
    assert not same(first, second, "autoencoder")


def test_the_running_mean_is_that_of_its_definition() -> None:
    """m_1 = w_1; m_n = d m_(n-1) + (1 - d) w_n with d = min(decay, 1 - n^(-2/3)), n counted from 1."""
    network = torch.nn.Linear(1, 1, bias=False)
    average = AveragedModel(network, multi_avg_fn=_warm_average(0.6))
    expected = 0.0
    for n, weight in enumerate([3.0, -1.0, 2.0, 5.0, 5.0], 1):
        network.weight.data.fill_(weight)
        average.update_parameters(network)
        d = min(0.6, 1 - n ** (-2 / 3))
        expected = d * expected + (1 - d) * weight
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
