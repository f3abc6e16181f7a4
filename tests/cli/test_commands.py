"""The command line as a user meets it: help for every command, exit statuses that fail closed, one-line errors."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from despoof import cli
from despoof.cli.app import COMMANDS, GROUPS, build_app
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.errors import InputError


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_every_option(name: str, capsys: pytest.CaptureFixture) -> None:
    build_app()([*name.split(), "--help"], result_action="return_value")
    text = capsys.readouterr().out
    assert text.startswith("Usage: despoof")
    assert "Parameters" in text


def test_every_command_lies_in_one_file_that_no_other_table_forgets() -> None:
    """A file of cli/ that holds no command would be one that nobody can call."""
    folder = Path(cli.__file__).parent
    used = {place.partition(":")[0] for place in COMMANDS.values()}
    assert used == {path.stem for path in folder.glob("*.py")} - {"__init__", "app", "options"}
    assert set(GROUPS) >= {name.rpartition(" ")[0] for name in COMMANDS} - {""}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 0.0}}
    save_detector(tmp_path / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    return tmp_path


@pytest.fixture
def selfie(tmp_path: Path) -> Path:
    from PIL import Image
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "selfie.png")
    return tmp_path / "selfie.png"


def exit_status(*tokens: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        build_app()([str(token) for token in tokens], result_action="return_value")
    return stopped.value.code


def test_check_exits_zero_only_if_all_are_live(weights: Path, selfie: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    assert exit_status("check", selfie, "--weights", weights) == 0
    assert exit_status("check", selfie, tmp_path / "text.jpg", "--weights", weights) == 12


@pytest.mark.parametrize(("low", "status"), [(1.0, 10), (0.0, 11)])
def test_verdicts_have_exit_statuses_that_no_error_has(weights: Path, selfie: Path, low: float, status: int) -> None:
    facts = {"thresholds": {"attack_below": low, "live_from": 1.0}}
    save_detector(weights / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    assert exit_status("check", selfie, "--weights", weights) == status
    assert status not in {cli.USAGE, cli.FAILED, cli.INTERRUPTED, cli.CLOSED_PIPE, 1}


@pytest.mark.parametrize(("again", "status", "asked"), [('["NO_DECISION"]', 0, 2), ("[]", 12, 1)])
def test_a_camera_is_asked_as_often_as_the_policy_says(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, again: str, status: int, asked: int
) -> None:
    from skimage.data import astronaut

    from despoof.clip.frame import Frame

    shown = iter([2, 8])  # frames: too few, then enough
    monkeypatch.setattr(
        "despoof.clip.frame.read_camera", lambda number, rule: [Frame(i / 4, astronaut()) for i in range(next(shown))]
    )
    policy = tmp_path / "policy.toml"
    policy.write_text(f"most = 2\nseconds = 500\nagain = {again}\n")
    assert exit_status("check", "--camera", 0, "--weights", weights, "--attempts", policy) == status
    assert capsys.readouterr().out.count("camera 0:") == asked


def test_check_takes_folders_patterns_and_standard_input(
    weights: Path, selfie: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    for name in ("a.png", "below/b.JPG", "notes.txt"):
        shutil.copy(selfie, folder / name)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(selfie.read_bytes())))
    given = ["check", folder, folder / "*.png", "-", "--weights", weights]
    status = exit_status(*given, "--as-json", "--out", tmp_path / "o")
    said = capsys.readouterr()
    assert status == 0
    names = [json.loads(line)["image"] for line in said.out.splitlines()]
    assert names == [str(folder / "a.png"), str(folder / "below/b.JPG"), str(folder / "a.png"), "standard input"]
    assert "4 judged: LIVE 4" in said.err
    assert len(list((tmp_path / "o").glob("*.png"))) == 4
    for nothing in (tmp_path / "o" / "none-*", tmp_path / "in" / "empty*"):
        with pytest.raises(InputError, match="holds no photo"):
            build_app()(["check", str(nothing), "--weights", str(weights)], result_action="return_value")


def test_rows_of_what_is_not_judged_say_by_whom_and_why(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from PIL import Image

    Image.new("RGB", (200, 200)).save(tmp_path / "black.png")
    exit_status("check", tmp_path / "black.png", "--weights", weights, "--as-json")
    row = json.loads(capsys.readouterr().out)
    assert (row["engine"], row["thresholds"], row["liveness"]) == ("torch", [0.0, 0.0], None)
    assert row["reasons"][0] == {"name": "no_face", "value": 0, "limit": 1, "sentence": row["reasons"][0]["sentence"]}


def test_a_clip_without_pyav_is_said_at_once(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"despoof\[video\]"):
        build_app()(["check", str(tmp_path / "a.mp4"), "--weights", str(weights)], result_action="return_value")


def test_check_writes_pictures_and_json(
    weights: Path, selfie: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    exit_status("check", selfie, "--weights", weights, "--out", tmp_path / "why", "--as-json")
    assert json.loads(capsys.readouterr().out)["decision"] == "LIVE"
    assert len(list((tmp_path / "why").glob("*.png"))) == 1


def test_installed_command_prints_one_line_errors() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "despoof", "check", "a.jpg", "--weights", "no-such-folder"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.startswith("despoof: 'no-such-folder' is no preset")
    assert "Traceback" not in done.stderr


def ends_with(tokens: list[str], code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `main` in a process of its own, `code` before it."""
    program = f"import sys, despoof.cli as cli\nsys.argv[1:] = {tokens!r}\n{code}\ncli.main()"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.parametrize("tokens", [["chek"], ["prepare"], ["check", "a.jpg", "--ouut", "why"]])
def test_a_command_that_is_not_understood_has_a_status_of_its_own(tokens: list[str]) -> None:
    done = ends_with(tokens)
    assert done.returncode == cli.USAGE
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        ("KeyboardInterrupt", cli.INTERRUPTED, "despoof: interrupted; run the same command again to go on."),
        ("BrokenPipeError", cli.CLOSED_PIPE, ""),
    ],
)
def test_an_interrupt_and_a_closed_pipe_are_no_tracebacks(raised: str, status: int, said: str) -> None:
    code = f"import despoof.cli.info as info\ndef info_(*a, **k): raise {raised}\ninfo.info = info_"
    done = ends_with(["info"], code)
    assert done.returncode == status
    assert done.stderr.strip() == said


def test_a_file_name_that_the_terminal_cannot_write_is_no_traceback() -> None:
    code = "import despoof.cli.info as info\ninfo.info = lambda: print(chr(0x444))"
    done = ends_with(["info"], code, PYTHONIOENCODING="ascii:strict")
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout == "\\u0444\n"
