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
from despoof.data.portrait import portrait
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.engine import by_onnx
from despoof.engine import export as exporting
from despoof.engine.by_onnx import RUNTIMES, OnnxEngine, installed
from despoof.engine.by_torch import TorchEngine, open_torch
from despoof.engine.export import TOLERANCE, export
from despoof.errors import ArtefactError, ConfigError
from despoof.generator.config import TINY as TINY_GENERATOR
from despoof.generator.registry import LatentDiffusion, build_generator, save_generator
from despoof.pair import WEIGHTS
from despoof.pipeline import Guard

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
    out = weights / "out"
    found = export(open_torch(weights), out)
    assert set(found) == set(HERE)
    assert all(0 <= value <= TOLERANCE for value in found.values())
    return out


@pytest.mark.parametrize("runtime", HERE)
def test_a_verdict_is_the_same_as_by_torch(weights: Path, exported: Path, runtime: str) -> None:
    from skimage.data import astronaut

    images = [astronaut(), np.ascontiguousarray(astronaut()[:, ::-1]), np.zeros((300, 300, 3), np.uint8)]
    plain = despoof.load(weights, engine="torch")
    fast = despoof.load(exported, engine=runtime, threads=1)
    wanted, found = plain.check_many(images), fast.check_many(images)
    for one, other in zip(wanted[:2], found[:2], strict=True):
        assert other.liveness == pytest.approx(one.liveness, abs=TOLERANCE)
        assert other.decision == one.decision
        np.testing.assert_allclose(other.embedding, one.embedding, atol=2e-3)
        assert one.embedding.shape == (TINY.embedding,)
        np.testing.assert_allclose(other.counterpart, one.counterpart, atol=2e-3)
        np.testing.assert_allclose(other.cue, one.cue, atol=2e-2)
        assert (one.engine, other.engine) == ("torch", runtime)
        assert other.as_row()["engine"] == runtime
    assert found[2].decision == "NO_DECISION"
    assert wanted[0].liveness != wanted[1].liveness
    assert fast.check(images[0]).liveness == pytest.approx(found[0].liveness, abs=1e-5)


def test_the_cue_has_a_say_and_follows_from_the_noise(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OnnxEngine(exported, threads=1)
    face = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    first = engine.judge(face, None, print)
    monkeypatch.setattr(by_onnx, "content_noise", lambda pixels, shape: np.zeros(shape, np.float32))
    second = engine.judge(face, None, print)
    assert np.abs(first.pictures.counterpart - second.pictures.counterpart).max() > 1e-3
    assert first.liveness != second.liveness
    values = first.pictures.cue.astype(np.float64)
    assert values.mean() == pytest.approx(0, abs=1e-4)  # standardised, by its definition
    assert values.std() == pytest.approx(1, abs=1e-4)


def test_a_detector_without_cue_is_explained_when_asked(weights: Path, plain: Path, tmp_path: Path) -> None:
    export(open_torch(plain), tmp_path / "alone")
    assert not (tmp_path / "alone/explain.onnx").exists()
    engine = OnnxEngine(tmp_path / "alone", threads=1)
    face = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    found = engine.judge(face, None, print)
    tensor = torch.from_numpy(face).permute(0, 3, 1, 2).float() / 127.5 - 1
    np.testing.assert_allclose(found.liveness, detector("none").liveness(tensor).numpy(), atol=TOLERANCE)
    assert (found.pictures, engine.explain(face)) == (None, None)


def test_what_is_written_says_what_it_is(weights: Path, exported: Path) -> None:
    about = json.loads((exported / "despoof.json").read_text())
    assert about["weights"] == open_torch(weights).weights
    assert about["thresholds"] == {"attack_below": 0.4, "live_from": 0.6, "precision": "float32"}
    assert about["licence"] == "for the test alone"  # the weights' own, and not that of what ships
    assert about["noise"] == [4, 8, 8]
    assert np.allclose(about["template"][0], [0.3489, 0.2848])  # the release's README
    assert (exported / "faces.onnx").stat().st_size > 100_000


def test_the_example_needs_neither_torch_nor_us(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert len(JUDGE.read_text().splitlines()) <= 45
    assert "torch" not in [line.split()[1] for line in JUDGE.read_text().splitlines() if line.startswith("import")]
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "face.png")
    monkeypatch.setattr(sys, "argv", ["judge.py", str(exported), str(tmp_path / "face.png")])
    runpy.run_path(str(JUDGE), run_name="__main__")
    liveness, decision = capsys.readouterr().out.split()
    expected = "LIVE" if float(liveness) >= 0.6 else "UNCERTAIN" if float(liveness) >= 0.4 else "ATTACK"
    assert 0 <= float(liveness) <= 1
    assert decision == expected


def test_an_export_of_other_weights_is_refused(weights: Path, exported: Path, tmp_path: Path) -> None:
    beside = shutil.copytree(exported, tmp_path / "beside")
    shutil.copy(weights / "detector.safetensors", beside)
    assert despoof.load(beside).engine_name == "onnx"
    save_detector(beside / "detector.safetensors", detector(), facts={"temperature": 0.06})
    with pytest.raises(ArtefactError, match="not the file that the export beside it was made from"):
        despoof.load(beside)
    with pytest.raises(ArtefactError, match="no export lies"):
        despoof.load(weights, engine="onnx")
    (tmp_path / "despoof.json").write_text('{"format": "something"}')
    with pytest.raises(ArtefactError, match="Export again"):
        despoof.load(tmp_path)


def test_engines_are_named_and_none_is_taken_for_another(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="expected one of auto, onnx"):
        despoof.load(exported, engine=str(exported))
    with pytest.raises(ConfigError, match="'onnx/bfloat16'; expected"):
        OnnxEngine(exported, precision="bfloat16")
    with pytest.raises(ArtefactError, match="missing"):
        despoof.load(exported, engine="torch")  # no safetensors there
    about = json.loads((exported / "despoof.json").read_text()) | {"parity": {}}
    with monkeypatch.context() as changed:
        changed.setattr(by_onnx, "read_description", lambda folder, files: about)
        with pytest.raises(ConfigError, match="'onnx' was not there when"):
            despoof.load(exported)
    monkeypatch.setattr(by_onnx, "installed", lambda runtime: False)
    with pytest.raises(ConfigError, match="'onnx' is not installed. Run: pip install"):
        despoof.load(exported)


@pytest.mark.parametrize("broken", ["judge", "explain"])
def test_a_runtime_that_fails_is_an_error_with_the_next_step(exported: Path, broken: str) -> None:
    from skimage.data import astronaut

    def fails(given: dict) -> list:
        raise RuntimeError("out of memory")

    engine = OnnxEngine(exported, threads=1)
    setattr(engine, f"_{broken}", fails)
    with pytest.raises(ConfigError, match="'onnx' failed .out of memory.. Use another of auto, openvino"):
        Guard(engine).check(astronaut())


def test_a_graph_that_changed_since_parity_is_refused(exported: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(exported, tmp_path / "copy")
    model = copy / "judge.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtefactError, match="not the file that passed parity"):
        despoof.load(copy)
    model.unlink()
    with pytest.raises(ArtefactError, match="missing"):
        despoof.load(copy)


def test_what_explains_is_checked_before_it_is_used(exported: Path, tmp_path: Path) -> None:
    """Where it decides, when it is opened; where it is only shown, when it is first asked for, and a verdict stands."""
    copy = shutil.copytree(exported, tmp_path / "copy")
    (copy / "explain.onnx").write_bytes(b"another")
    with pytest.raises(ArtefactError, match="explain.onnx is missing or not the file that passed parity"):
        despoof.load(copy)
    shown = shutil.copytree(WEIGHTS, tmp_path / "shown")
    (shown / "explain.onnx").write_bytes(b"another")
    guard = despoof.load(shown, threads=1)
    verdict = guard.check(portrait())
    assert verdict.liveness is not None
    with pytest.raises(ArtefactError, match="explain.onnx is missing or not the file that passed parity"):
        guard.with_counterpart(verdict)


def test_auto_is_the_export_beside_the_weights_and_torch_without_one(
    plain: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = shutil.copytree(plain, tmp_path / "folder")
    assert despoof.load(folder).engine_name == "torch"
    build_app()(["export", "--weights", str(folder)], result_action="return_value")
    assert "of liveness at most" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {
        "detector.safetensors", "judge.onnx", "faces.onnx", "despoof.json",
    }  # fmt: skip
    assert despoof.load(folder).engine_name == "onnx"
    assert despoof.load(folder, engine="torch").engine_name == "torch"
    assert despoof.load(folder).weights == despoof.load(folder, engine="torch").weights
    (folder / "judge.onnx").write_bytes(b"damaged")
    with pytest.raises(ArtefactError, match="[Ee]xport again"):
        despoof.load(folder)


def test_a_graph_that_differs_is_not_written(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, write = open_torch(plain), exporting.write_graph

    def broken(whole: torch.nn.Module, *rest: object) -> None:
        other = detector("none")
        other.facts["offset"] = -0.1
        write(exporting.JudgeGraph(other).eval(), *rest)

    monkeypatch.setattr(exporting, "write_graph", broken)
    with pytest.raises(ArtefactError, match="differs from torch"):
        export(engine, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train student"):
        export(TorchEngine(detector(), LatentDiffusion(TINY_GENERATOR)), tmp_path / "out")


def test_a_counterpart_that_breaks_in_the_engine_costs_its_own_face_alone(exported: Path) -> None:
    from skimage.data import astronaut

    engine = OnnxEngine(exported, threads=1)
    guard, images = Guard(engine), [astronaut(), astronaut()[:, ::-1].copy()]
    wanted, run = guard.check(images[0]), engine._explain

    def second_breaks(given: dict) -> list:
        found = run(given)
        found[0][1, 0, 5, 5] = np.nan
        return found

    engine._explain = second_breaks
    first, second = guard.check_many(images)
    assert first.liveness == pytest.approx(wanted.liveness, abs=1e-5)
    assert (second.decision, second.reasons[0].name) == ("NO_DECISION", "broken")


@pytest.mark.parametrize("runtime", HERE)
def test_a_guard_with_an_engine_can_be_pickled(exported: Path, runtime: str) -> None:
    from skimage.data import astronaut

    guard = despoof.load(exported, engine=runtime, threads=1)
    again = pickle.loads(pickle.dumps(guard))
    assert again.check(astronaut()) == guard.check(astronaut())
    assert again.engine_name == runtime
    with pytest.raises(ConfigError, match="device 'cuda'"):
        despoof.load(exported, engine=runtime, device="cuda")
