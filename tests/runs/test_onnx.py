"""No model is opened but here, and none calls home; a liveness check that looked up a stranger's host would tell it who
checks whom, and when."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import despoof
from despoof.errors import ArtefactError, ConfigError
from despoof.runs.onnx import open_onnx

SOURCE = Path(despoof.__file__).parent
OPENERS = {
    "the face detector": "from despoof.faces.detect import retinaface; retinaface(image)",
    "its file": "from despoof.faces.detect import retinaface_onnx; retinaface_onnx()",
}
WATCH = """
import sys, numpy as np
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print(event, args)
sys.addaudithook(watch)
image = np.zeros((64, 64, 3), np.uint8)
"""


def left_behind(code: str, home: Path) -> tuple[str, list[str]]:
    """Return what a process with a home of its own printed, and the files it left there."""
    given = {"PYTHONPATH": str(SOURCE.parent), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | given
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout, sorted(path.name for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize("opener", OPENERS)
def test_opening_a_model_looks_up_nothing_and_leaves_no_device_id(opener: str, tmp_path: Path) -> None:
    assert left_behind(WATCH + OPENERS[opener], tmp_path) == ("", [])


def test_the_runtime_left_alone_would_leave_one(tmp_path: Path) -> None:
    """Else the test above could not fail; its telemetry begins with the device id, before any lookup."""
    if "deviceid" not in left_behind("import onnxruntime", tmp_path)[1]:
        pytest.skip("this build of ONNX Runtime has no telemetry")


def test_nothing_else_imports_the_runtime() -> None:
    users = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            users |= {path.relative_to(SOURCE).as_posix() for name in names if name.split(".")[0] == "onnxruntime"}
    assert users == {"runs/onnx.py"}


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("no model")
    with pytest.raises(ArtefactError, match=r"a\.onnx is no ONNX model"):
        open_onnx(tmp_path / "a.onnx")
    with pytest.raises(ArtefactError, match="missing"):
        open_onnx(tmp_path / "b.onnx")
    with pytest.raises(ArtefactError, match="the wheel is no ONNX model"):
        open_onnx(b"no model", where="the wheel")


class Runtime(SimpleNamespace):
    """A runtime of an old version, with a graphics card that does not start."""

    __version__ = "1.4.0"
    SessionOptions = SimpleNamespace

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, model: str, options: object, providers: list[str]) -> SimpleNamespace:  # noqa: N802
        if providers == ["CPUExecutionProvider"]:
            raise RuntimeError("Unsupported model IR version: 10")
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])


def test_a_runtime_that_is_too_old_or_whose_provider_fails_is_told_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.onnx").write_text("a model")
    monkeypatch.setitem(sys.modules, "onnxruntime", Runtime())
    with pytest.raises(ArtefactError, match=r"onnxruntime 1\.4\.0 can open .*IR version.* pip install --upgrade"):
        open_onnx(tmp_path / "a.onnx")
    with pytest.raises(ConfigError, match="could not start CUDAExecutionProvider and went back"):
        open_onnx(tmp_path / "a.onnx", device="cuda")
    with pytest.raises(ConfigError, match="device 'tpu'; this onnxruntime has CUDAExecutionProvider"):
        open_onnx(tmp_path / "a.onnx", device="tpu")


def test_without_the_runtime_the_next_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="not installed. Run: pip install"):
        despoof.load(engine="onnx")
    with pytest.raises(ConfigError, match="cannot be imported .* pip install"):
        open_onnx(b"a model")
