"""recipes/generator.sh: its lines are commands that exist, in the order in which files are made, and a line that its
minutes stop ends the recipe with a status that says so, since a caller could otherwise take it for done."""

import os
import subprocess
from pathlib import Path

import pytest

from despoof.cli.app import build_app

RECIPE = Path(__file__).parents[2] / "recipes/generator.sh"


@pytest.fixture
def run(tmp_path: Path):
    """Run the recipe where `despoof` and `timeout` only say what they were asked for."""

    def program(name: str, text: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def run(**given: str) -> tuple[int, list[list[str]]]:
        program("despoof", f'printf "%s|" "$@" >> {tmp_path}/asked; echo >> {tmp_path}/asked')
        program("timeout", 'case "$*" in *"train generator"*) exit 124;; esac; shift; exec "$@"')
        (tmp_path / "asked").write_text("")
        own = {"FACES": "a.csv b.csv", "TEACHER": "t.onnx", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", str(RECIPE)], env=own | given, capture_output=True, text=True)
        asked = (tmp_path / "asked").read_text().splitlines()
        return done.returncode, [line.rstrip("|").split("|") for line in asked]

    return run


def test_its_lines_are_commands_in_the_order_of_their_files(run) -> None:
    status, lines = run()
    assert status == 0
    names = ["autoencoder", "identity", "generator", "student", "student"]
    assert [line[0] for line in lines] == ["prepare", "prepare", *["train"] * 5, "study"]
    assert [line[1] for line in lines[2:7]] == names
    app = build_app()
    for line in lines:
        app.parse_args(line, exit_on_error=False, print_error=False)  # an option that is not there raises
    made = {line[3] for line in lines[2:7]}
    asked = {token.rsplit("/", 1)[0] for line in lines for token in line[4:] if token.endswith(".safetensors")}
    assert asked <= made


def test_it_goes_on_from_a_generator_that_is_there(run) -> None:
    status, lines = run(START="shipped.safetensors")
    assert status == 0
    trained = [line for line in lines if line[0] == "train"]
    assert [line[1] for line in trained] == ["student"]
    assert "shipped.safetensors" in trained[0]


def test_minutes_that_are_over_end_it_as_not_done(run) -> None:
    status, lines = run(MINUTES="10")
    assert status == 75
    assert [line[:2] for line in lines if line[0] == "train"] == [["train", "autoencoder"], ["train", "identity"]]
