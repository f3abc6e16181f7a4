"""The commands that train and use generators, on a tiny store: options reach the config, attacks and test faces are
left out, and what one command writes the next reads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from despoof.cli.reconstruct import reconstruct
from despoof.cli.train import generator as train_generator
from despoof.cli.train import student as train_student
from despoof.data.sample import Label, Sample, Split
from despoof.errors import ConfigError, InputError
from despoof.faces.counterparts import read_counterparts
from despoof.faces.store import Store, StoredSample
from despoof.generator.autoencoders import Autoencoder
from despoof.generator.config import TINY
from despoof.generator.identity import IdentityEncoder
from despoof.generator.registry import LatentDiffusion, build_generator, load_generator, save_generator
from despoof.generator.training.diffusion import encode_faces
from despoof.generator.training.latents import StoredFaces
from despoof.runs import processes
from despoof.runs.checkpoint import save_artefact
from despoof.runs.config import to_dict


def tiny(**more) -> dict:
    short = {"steps": 2, "batch": 4}
    return {"preset": "tiny", "flags": {"training": short, "copying": short} | more, "threads": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store", about={"size": 256})
    for number, split in enumerate([Split.TRAIN, Split.TRAIN, Split.TEST, Split.TRAIN]):
        label, attack = (Label.ATTACK, "print") if number == 3 else (Label.LIVE, "none")
        sample = Sample(f"{number}.png", label, attack, f"s{number}", "a", split)
        face = np.random.default_rng(number).integers(0, 256, (256, 256, 3), np.uint8)
        opened.add(StoredSample(sample, "face", landmarks=[[0.0, 0.0]] * 5), face)
    return opened


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    torch.manual_seed(0)
    models = {"autoencoder": Autoencoder(TINY.autoencoder), "identity": IdentityEncoder(TINY.identity)}
    for kind, model in models.items():
        save_artefact(tmp_path / f"{kind}.safetensors", kind, to_dict(TINY), model.state_dict())
    return tmp_path / "autoencoder.safetensors", tmp_path / "identity.safetensors"


def test_generator_then_student_then_counterparts(
    store: Store, parts: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    train_generator(store.root, tmp_path / "teacher", *parts, **tiny(generator={"condition": "embedding"}))
    teacher = Path(capsys.readouterr().out.strip())
    assert load_generator(teacher).config.condition == "embedding"
    assert np.load(tmp_path / "teacher/latents/latents.npy").shape[0] == 4  # two live faces, mirrored
    train_student(store.root, tmp_path / "student", teacher, flags={"training": {"steps": 2, "batch": 4}}, threads=1)
    student = Path(capsys.readouterr().out.strip())
    assert load_generator(student).config.kind == "one_step"
    reconstruct(store.root, student, threads=1, device="cpu")
    folder = Path(capsys.readouterr().out.strip())
    assert read_counterparts(folder, store.rows, 64).shape == (4, 64, 64, 3)


@pytest.mark.parametrize("kind", ["flow", "autoencoder", "bottleneck"])
def test_rivals_train_by_the_same_command(
    kind: str, store: Store, parts: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    taken = {"flow": parts, "autoencoder": parts[:1], "bottleneck": ()}[kind]
    train_generator(store.root, tmp_path / "run", *taken, **tiny(generator={"kind": kind}))
    assert load_generator(capsys.readouterr().out.strip()).config.kind == kind


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bottleneck", "not use the parts autoencoder, identity"),
        ("one_step", "train student"),
        ("x", "expected one of"),
    ],
)
def test_a_kind_is_refused_what_it_cannot_use(
    kind: str, message: str, store: Store, parts: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        train_generator(store.root, tmp_path / "run", *parts, **tiny(generator={"kind": kind}))
    assert not (tmp_path / "run").exists()


def test_fewer_faces_are_a_part_of_more(store: Store, parts: tuple[Path, Path], tmp_path: Path) -> None:
    train_generator(store.root, tmp_path / "run", *parts, faces=1, **tiny())
    assert np.load(tmp_path / "run/latents/latents.npy").shape[0] == 2
    on_faces = {"steps": 2, "batch": 4, "target": "face"}
    teacher, one, both = (tmp_path / name for name in ("run/generator.safetensors", "one", "both"))
    train_student(store.root, one, teacher, faces=1, flags={"training": on_faces}, threads=1)
    train_student(store.root, both, teacher, flags={"training": on_faces}, threads=1)
    learned, every = (np.load(run / "latents/latents.npy") for run in (one, both))
    assert len(learned) == 2  # a face and its mirror image
    assert [sum(np.allclose(own, each, atol=1e-2) for each in every) for own in learned] == [1, 1]
    with pytest.raises(InputError, match="Ask for 1 to 2"):
        train_generator(store.root, tmp_path / "more", *parts, faces=3, **tiny())


def test_a_device_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device 'quantum' cannot be used"):
        reconstruct(store.root, tmp_path / "generator.safetensors", device="quantum")


def test_reconstruct_computes_where_it_is_told_to(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    save_generator(tmp_path / "generator.safetensors", build_generator(TINY))
    there, taken = torch.device("meta"), []

    def make(self: LatentDiffusion, face: torch.Tensor, start: int, salt: int, lap: object) -> torch.Tensor:
        taken.append((face.device, self.device))
        return torch.zeros(face.shape)

    monkeypatch.setattr(processes, "choose_device", {"there": there}.get)
    monkeypatch.setattr(LatentDiffusion, "make", make)
    monkeypatch.setattr(LatentDiffusion, "name", "of weights that lie elsewhere")
    reconstruct(store.root, tmp_path / "generator.safetensors", device="there", threads=1)
    assert taken == [(there, there)]


def test_missing_parts_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs an autoencoder and an identity encoder"):
        train_generator(store.root, tmp_path / "run", **tiny())


def test_encoding_goes_on_where_it_was_killed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import despoof.generator.training.latents as module

    monkeypatch.setattr(module, "CHUNK", 1)
    torch.manual_seed(0)
    generator, faces = build_generator(TINY).eval(), StoredFaces(store, store.rows, 64)
    codes, calls = module._of_views, []

    def dies_at_third(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return codes(*arguments)

    monkeypatch.setattr(module, "_of_views", dies_at_third)
    with pytest.raises(KeyboardInterrupt):
        encode_faces(generator, faces, tmp_path / "killed", "run")
    killed = encode_faces(generator, faces, tmp_path / "killed", "run")
    assert len(calls) == 5  # two before the death, the death, two after
    straight = encode_faces(generator, faces[:], tmp_path / "straight", "run")
    for name in ("latents", "tokens"):
        assert np.array_equal(killed.arrays[name], straight.arrays[name])
