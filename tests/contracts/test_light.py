"""Judging needs no torch: what `pip install despoof` brings must do for checks, pictures, clips and calibration; a
single import on the way would cost who checks one photo two gigabytes and five seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

import despoof

HEAVY = ("torch", "diffusers", "accelerate", "skimage", "sklearn", "scipy", "safetensors", "matplotlib", "openvino",
         "pyarrow", "fsspec", "ray")  # fmt: skip
BLOCKED = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
JUDGES = """
import despoof
from pathlib import Path
from despoof.data.portrait import portrait
guard = despoof.load(threads=1)
verdict = guard.with_counterpart(guard.check(portrait()))
assert verdict.liveness is not None, verdict
assert verdict.engine == "onnx"
assert verdict.cue.dtype == verdict.counterpart.dtype == "float32"
verdict.save_explanation(Path(sys.argv[1]) / "picture.png")
again, nobody = guard.check_many([portrait(), b"nothing"])
assert again.liveness == verdict.liveness and not nobody.is_live
import despoof.clip.judge, despoof.calibration, despoof.evaluation.measure, despoof.cli.demo
from despoof.metrics import proportion_interval
proportion_interval(1, 20)
"""


def without(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that cannot import what the extras bring."""
    env = {"PYTHONPATH": str(Path(despoof.__file__).parents[1]), "OMP_NUM_THREADS": "1", "HOME": "/nonexistent"}
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *arguments],
        capture_output=True, text=True, timeout=300, check=False, env=env,
    )  # fmt: skip


def test_the_block_blocks() -> None:
    assert "No module named 'torch'" in without("import torch").stderr


def test_the_default_weights_judge_and_explain(tmp_path: Path) -> None:
    done = without(JUDGES, str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.parametrize("tokens", [["--help"], ["info"], ["check", "--help"], ["check", "PHOTO", "--out", "OUT"]])
def test_commands_run(tokens: list[str], tmp_path: Path) -> None:
    photo = Path(despoof.__file__).parent / "data/portrait.png"
    given = [{"PHOTO": str(photo), "OUT": str(tmp_path)}.get(token, token) for token in tokens]
    done = without("from despoof.cli import main\nmain()", *given)
    assert done.returncode in ((0, 10, 11) if "PHOTO" in tokens else (0,)), done.stderr[-2000:]
    assert len(done.stdout) > 100


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["check", "a.jpg", "--engine", "torch"], "torch is not installed. Run: pip install 'despoof[train]'"),
        (["train", "autoencoder", "store", "run"], "this command needs torch. Run: pip install 'despoof[train]'"),
    ],
)
def test_what_needs_more_says_so_in_a_line(tokens: list[str], said: str, tmp_path: Path) -> None:
    done = without("from despoof.cli import main\nmain()", *tokens)
    assert done.returncode == 4
    assert said in done.stderr
    assert "Traceback" not in done.stderr
