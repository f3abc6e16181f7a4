"""The command line as a user meets it: help for every command, exit statuses that fail closed, one-line errors."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from despoof.cli.app import build_app
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector

COMMANDS = [
    "check", "calibrate", "demo", "simulate", "prepare", "reconstruct", "faithfulness", "cue", "evaluate", "report",
    "results", "gate", "serve", "ship", "info", "data list", "data check", "data leaks",
    "train autoencoder", "train identity", "train generator", "train student", "train detector",
]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_every_option(name: str, capsys: pytest.CaptureFixture) -> None:
    build_app()([*name.split(), "--help"], result_action="return_value")
    text = capsys.readouterr().out
    assert text.startswith("Usage: despoof")
    assert "Parameters" in text


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
