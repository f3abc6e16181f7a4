"""Exported graphs judge as torch does, at every batch size, and a folder of other weights or a graph that differs is
refused; a silent difference would move every threshold."""

import json
import pickle
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import despoof
from despoof.cli.app import build_app
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.engine import export as exporting
from despoof.engine import runtime as opening
from despoof.engine.export import TOLERANCE, export
from despoof.engine.graph import JudgeGraph
from despoof.engine.runtime import RUNTIMES, installed, open_engine
from despoof.errors import ArtefactError, ConfigError
from despoof.generator.config import TINY as TINY_GENERATOR
from despoof.generator.registry import LatentDiffusion, build_generator, save_generator

pytest.importorskip("onnx", reason="needs the extra `export`")
pytest.importorskip("onnxscript", reason="needs the extra `export`")
HERE = [name for name in RUNTIMES if installed(name)]
JUDGE = Path(__file__).parents[2] / "examples/exported/judge.py"


def detector(insertion: str = "attention") -> Detector:
    """Random weights whose attention is not the zero it starts from, and which lean: else the cue had no say."""
    torch.manual_seed(1)
    made = Detector(replace(TINY, insertion=insertion), {"thresholds": {"attack_below": 0.4, "live_from": 0.6}})
    made.facts["licence"] = "for the test alone"
    for name, parameter in made.named_parameters():
        if ".out." in name:
            torch.nn.init.normal_(parameter, std=0.5)
    made.facts |= {"temperature": 0.05, "offset": 0.1}
    return made.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    generator = build_generator(replace(TINY_GENERATOR, kind="one_step"))
    save_generator(folder / "generator.safetensors", generator)
    save_detector(folder / "detector.safetensors", detector(), facts={"parents": {"generator": generator.name}})
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights without a cue, whose graph is written in a tenth of the time."""
    folder = tmp_path_factory.mktemp("plain")
    save_detector(folder / "detector.safetensors", detector("none"))
    return folder


@pytest.fixture(scope="module")
def exported(weights: Path) -> Path:
    guard, out = despoof.load(weights), weights / "out"
    found = export(guard.generator, guard.detector, out, weights=guard.weights)
    assert set(found) == set(HERE)
    assert all(0 <= value <= TOLERANCE for value in found.values())
    return out


@pytest.mark.parametrize("runtime", HERE)
def test_a_verdict_is_the_same_as_by_torch(weights: Path, exported: Path, runtime: str) -> None:
    from skimage.data import astronaut

    images = [astronaut(), np.ascontiguousarray(astronaut()[:, ::-1]), np.zeros((300, 300, 3), np.uint8)]
    plain = despoof.load(weights, engine="torch")
    fast = despoof.load(weights, engine=open_engine(exported, runtime, threads=1, weights=plain.weights))
    wanted, found = plain.check_many(images), fast.check_many(images)
    for one, other in zip(wanted[:2], found[:2], strict=True):
        assert other.liveness == pytest.approx(one.liveness, abs=TOLERANCE)
        assert other.decision == one.decision
        torch.testing.assert_close(other.counterpart, one.counterpart, atol=1e-3, rtol=0)
        torch.testing.assert_close(other.cue, one.cue, atol=1e-2, rtol=0)
        assert (one.engine, other.engine) == ("torch", runtime)
        assert other.as_row()["engine"] == runtime
    assert found[2].decision == "NO_DECISION"
    assert wanted[0].liveness != wanted[1].liveness
    assert fast.check(images[0]).liveness == pytest.approx(found[0].liveness, abs=1e-5)


def test_the_cue_and_the_noise_have_a_say(weights: Path, exported: Path) -> None:
    engine = open_engine(exported, "onnxruntime", threads=1)
    draw = np.random.default_rng(0)
    face = draw.integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    first, second = (engine(face, draw.standard_normal((1, 4, 8, 8), np.float32)) for _ in range(2))
    assert np.abs(first.counterpart - second.counterpart).max() > 1e-3
    assert first.liveness != second.liveness
    values = first.cue.astype(np.float64)
    assert values.mean() == pytest.approx(0, abs=1e-4)  # standardised, by its definition
    assert values.std() == pytest.approx(1, abs=1e-4)


def test_a_detector_without_cue_needs_no_noise(tmp_path: Path) -> None:
    plain = detector("none")
    export(None, plain, tmp_path / "out", weights={"detector": "x"})
    engine = open_engine(tmp_path / "out", threads=1)
    face = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    found = engine(face)
    tensor = torch.from_numpy(face).permute(0, 3, 1, 2).float() / 127.5 - 1
    np.testing.assert_allclose(found.liveness, plain.liveness(tensor).numpy(), atol=TOLERANCE)
    assert found.counterpart is None


def test_openvino_format(plain: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra `export`")
    guard = despoof.load(plain)
    found = export(guard.generator, guard.detector, tmp_path / "out", weights=guard.weights, to="openvino")
    assert set(found) == {"openvino"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "model.xml", "model.bin", "faces.onnx", "despoof.json",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="onnxruntime"):
        open_engine(tmp_path / "out", "onnxruntime")


def test_what_is_written_says_what_it_is(weights: Path, exported: Path) -> None:
    about = json.loads((exported / "despoof.json").read_text())
    assert about["weights"] == despoof.load(weights).weights
    assert about["thresholds"] == {"attack_below": 0.4, "live_from": 0.6, "precision": "float32"}
    assert about["licence"] == "for the test alone"  # the weights' own, and not that of what ships
    assert about["noise"] == [4, 8, 8]
    assert np.allclose(about["template"][0], [0.3489, 0.2848])  # the release's README
    assert (exported / "faces.onnx").stat().st_size > 100_000


def test_the_example_needs_neither_torch_nor_us(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert len(JUDGE.read_text().splitlines()) <= 40
    assert "torch" not in [line.split()[1] for line in JUDGE.read_text().splitlines() if line.startswith("import")]
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "face.png")
    monkeypatch.setattr(sys, "argv", ["judge.py", str(exported), str(tmp_path / "face.png")])
    runpy.run_path(str(JUDGE), run_name="__main__")
    liveness, decision = capsys.readouterr().out.split()
    expected = "LIVE" if float(liveness) >= 0.6 else "UNCERTAIN" if float(liveness) >= 0.4 else "ATTACK"
    assert 0 <= float(liveness) <= 1
    assert decision == expected


def test_a_folder_of_other_weights_is_refused(weights: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="Export again"):
        open_engine(exported, weights={"detector": "other"})
    with pytest.raises(ArtefactError, match="does not exist"):
        despoof.load(weights, engine=tmp_path)
    (tmp_path / "despoof.json").write_text('{"format": "something"}')
    with pytest.raises(ArtefactError, match="Export again"):
        despoof.load(weights, engine=tmp_path)
    with pytest.raises(ConfigError, match="openvino"):
        open_engine(exported, "onnxruntime", precision="bfloat16")


def test_a_graph_that_changed_since_parity_is_refused(exported: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(exported, tmp_path / "copy")
    model = copy / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtefactError, match="not the file that passed parity"):
        open_engine(copy)
    model.unlink()
    with pytest.raises(ArtefactError, match="missing"):
        open_engine(copy)


def test_auto_is_the_kept_export_of_these_weights_and_runtimes(
    plain: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert despoof.load(plain, engine="auto").engine_name == "torch"
    build_app()(["export", "--weights", str(plain)], result_action="return_value")
    (kept,) = (tmp_path / "despoof/exported").iterdir()
    assert despoof.load(plain, engine="auto").engine_name == HERE[0]
    assert despoof.load(plain).engine_name == "torch"
    with monkeypatch.context() as changed:  # another version has not passed parity
        changed.setattr(opening.importlib.metadata, "version", lambda name: "99.0")
        assert despoof.load(plain, engine="auto").engine_name == "torch"
    assert despoof.load(weights, engine="auto").engine_name == "torch"  # other weights
    (kept / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(ArtefactError, match="Export again"):
        despoof.load(plain, engine="auto")


def test_without_a_home_torch_judges(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(opening.Path, "home", no_home)
    assert despoof.load(weights, engine="auto").engine_name == "torch"
    with pytest.raises(ConfigError, match="Name a folder"):
        build_app()(["export", "--weights", str(weights)], result_action="return_value")


def test_a_graph_that_differs_is_not_written(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = despoof.load(plain)
    write = exporting._write_model

    def broken(whole: JudgeGraph, folder: Path, to: str) -> str:
        other = detector("none")
        other.facts["offset"] = -0.1
        return write(JudgeGraph(None, other).eval(), folder, to)

    monkeypatch.setattr(exporting, "_write_model", broken)
    with pytest.raises(ArtefactError, match="differs from torch"):
        export(guard.generator, guard.detector, tmp_path / "out", weights=guard.weights)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train student"):
        export(LatentDiffusion(TINY_GENERATOR), detector(), tmp_path / "out", weights={})
    with pytest.raises(ArtefactError, match="exists"):
        export(None, detector("none"), tmp_path, weights={})


def test_a_counterpart_that_breaks_in_the_engine_costs_its_own_face_alone(weights: Path, exported: Path) -> None:
    from skimage.data import astronaut

    engine = open_engine(exported, "onnxruntime", threads=1)
    guard, images = despoof.load(weights, engine=engine), [astronaut(), astronaut()[:, ::-1].copy()]
    wanted, run = guard.check(images[0]), engine._run

    def second_breaks(given: dict) -> list:
        found = run(given)
        found[1][1, 0, 5, 5] = np.nan
        return found

    engine._run = second_breaks
    first, second = guard.check_many(images)
    assert first.liveness == pytest.approx(wanted.liveness, abs=1e-5)
    assert (second.decision, second.reasons[0].name) == ("NO_DECISION", "broken")


@pytest.mark.parametrize("runtime", HERE)
def test_a_guard_with_an_engine_can_be_pickled(weights: Path, exported: Path, runtime: str) -> None:
    from skimage.data import astronaut

    guard = despoof.load(weights, engine=open_engine(exported, runtime, threads=1))
    again = pickle.loads(pickle.dumps(guard))
    assert again.check(astronaut()) == guard.check(astronaut())
    assert again.engine_name == runtime
    with pytest.raises(ConfigError, match="is for the processor"):
        despoof.load(weights, engine=exported, device="cuda")
