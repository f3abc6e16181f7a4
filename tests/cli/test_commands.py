"""The command line as a user meets it: help for every command, exit statuses that fail closed, one-line errors."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from despoof import cli
from despoof.cli.app import COMMANDS, GROUPS, build_app
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector


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
    assert exit_status("check", selfie, tmp_path / "text.jpg", "--weights", weights) == 3


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
