"""The folder for the browser: whole or not at all, every file known by its hash, every number Python's own."""

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from despoof.detector.config import CAMERAS, DetectorConfig
from despoof.engine.by_onnx import EXPLAIN, FACES, FORMAT, JUDGE
from despoof.errors import ArtefactError, ConfigError
from despoof.faces.quality import CHECKS, QualityLimits
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import to_dict
from despoof.web import runtime
from despoof.web.export import PAGE, export_web

FAKE = {name: name.encode() for name in (runtime.SCRIPT, runtime.WASM, *runtime.LICENCES)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as `despoof export` writes it, of bytes that are no models."""
    (tmp_path / "onnx").mkdir()
    for name in (JUDGE, EXPLAIN, FACES):
        (tmp_path / "onnx" / name).write_bytes(name.encode())
    describe(tmp_path / "onnx")
    return tmp_path / "onnx"


def describe(folder: Path, config: DetectorConfig = CAMERAS) -> None:
    description = {
        "format": FORMAT, "files": {path.name: file_hash(path) for path in folder.glob("*.onnx")},
        "weights": {"detector": "1c7fb64d733d"}, "parity": {}, "noise": [8, 16, 16], "surroundings": [2, 160, 160, 3],
        "face_size": 128, "licence": "research use only", "detector": to_dict(config), "generator": {}, "facts": {},
        "thresholds": {"attack_below": 0.2, "live_from": 0.7, "precision": "float32"},
    }  # fmt: skip
    (folder / "despoof.json").write_text(json.dumps(description))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despoof.web.export.runtime_files", lambda path: FAKE)


@pytest.mark.usefixtures("given")
def test_the_folder_holds_the_page_the_models_the_runtime_and_its_licence(folder, tmp_path):
    out = export_web(folder, tmp_path / "site")
    for path in PAGE.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert (out / "models/judge.onnx").read_bytes() == b"judge.onnx"
    assert (out / "runtime/LICENSE").exists()
    about = json.loads((out / "despoof.json").read_text())
    for name, told in about["files"].items():
        data = (out / name).read_bytes()
        assert told == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    named = {about["runtime"]["script"], about["runtime"]["wasm"], about["finder"]["file"], about["judge"]["file"]}
    named.add(about["explain"]["file"])
    assert named == set(about["files"])  # all that is run has a hash
    assert {"index.html", "offline.js", "page.js"} <= set(about["page"])  # what a browser keeps
    assert all((out / name).is_file() for name in about["page"])
    assert about["judge"]["thresholds"] == {"attack_below": 0.2, "live_from": 0.7}
    assert about["gate"]["limits"]["yaw"] == QualityLimits().yaw
    assert [one["sentence"] for one in about["gate"]["checks"]] == [check[3] for check in CHECKS]


@pytest.mark.usefixtures("given")
def test_without_a_generator_there_is_nothing_to_explain_by(folder, tmp_path):
    (folder / EXPLAIN).unlink()
    describe(folder)
    about = json.loads((export_web(folder, tmp_path / "site") / "despoof.json").read_text())
    assert about["explain"] is None
    assert not (tmp_path / "site/models/explain.onnx").exists()


@pytest.mark.usefixtures("given")
def test_what_is_there_is_not_written_over(folder, tmp_path):
    (tmp_path / "site").mkdir()
    with pytest.raises(ArtefactError, match="exists"):
        export_web(folder, tmp_path / "site")


@pytest.mark.usefixtures("given")
def test_a_detector_that_takes_a_cue_is_refused(folder, tmp_path):
    describe(folder, replace(CAMERAS, insertion="features"))
    with pytest.raises(ConfigError, match="cue"):
        export_web(folder, tmp_path / "site")


@pytest.mark.usefixtures("given")
def test_a_model_that_did_not_pass_parity_is_refused_and_nothing_is_left(folder, tmp_path):
    (folder / JUDGE).write_bytes(b"another")
    with pytest.raises(ArtefactError, match="passed parity"):
        export_web(folder, tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.usefixtures("given")
def test_a_write_that_fails_leaves_nothing(folder, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr("despoof.web.export.write_json", fails)
    with pytest.raises(OSError, match="disk full"):
        export_web(folder, tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]


def test_another_tarball_is_refused_by_its_hash(tmp_path):
    (tmp_path / "a.tgz").write_bytes(b"another")
    with pytest.raises(ArtefactError, match=r"expected sha512-.*--runtime-from"):
        runtime.runtime_files(tmp_path / "a.tgz")


def test_a_tarball_that_is_missing_is_named(tmp_path):
    with pytest.raises(ArtefactError, match=r"a\.tgz cannot be read"):
        runtime.runtime_files(tmp_path / "a.tgz")


def test_without_npm_the_next_step_is_said(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"npm is not installed.*npm pack onnxruntime-web@.*--runtime-from"):
        runtime.runtime_files()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (subprocess.CalledProcessError(1, "npm", stderr="network unreachable"), "network unreachable"),
        (subprocess.TimeoutExpired("npm", 1), "within"),
    ],
)
def test_an_npm_that_fails_is_told_with_the_next_step(monkeypatch, error, said):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.run", fails)
    with pytest.raises(ConfigError, match=rf"{said}.*--runtime-from"):
        runtime.runtime_files()


def test_a_fetched_tarball_is_checked_too(monkeypatch):
    def writes(command, **_):
        (Path(command[-1]) / runtime.TARBALL).write_bytes(b"another")

    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.run", writes)
    with pytest.raises(ArtefactError, match="expected sha512-"):
        runtime.runtime_files()


def test_the_licences_are_those_of_the_project():
    found = runtime._licences()
    assert b"MIT License" in found["LICENSE"]
    assert b"Microsoft" in found["LICENSE"]
