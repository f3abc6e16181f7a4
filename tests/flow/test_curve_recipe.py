"""recipes/curve.sh: no camera that a generator learned from is among those that it is measured on, and no attack is
learned from; its stores can be read, and its lines are commands that exist."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from despoof.cli.app import build_app
from despoof.data.sample import Label, Sample, Split
from despoof.faces.store import Store, StoredSample

RECIPE = Path(__file__).parents[2] / "recipes/curve.sh"
CAMERAS = {f"camera-{number}" for number in range(5)}


def sample(name: str, label: Label, domain: str, *, simulated: bool = False) -> StoredSample:
    attack = "none" if label is Label.LIVE else "print"
    split = None if domain else Split.TRAIN
    of = Sample(name, label, attack, name, domain, split, simulated=simulated, source="/of")
    return StoredSample(of, "face", landmarks=[[0.0, 0.0]] * 5)


@pytest.fixture
def done(tmp_path: Path) -> tuple[Path, list[list[str]]]:
    """The folder of stores that the recipe made, and what `despoof` was asked for."""
    rng = np.random.default_rng(0)
    faces = [sample(f"{number}.png", Label.LIVE, "") for number in range(3)]
    captures = [sample(f"{each}-{label}.png", label, each) for each in sorted(CAMERAS) for label in Label]
    captures += [sample(f"{each}-made.png", Label.LIVE, each, simulated=True) for each in sorted(CAMERAS)]
    captures.append(StoredSample(Sample("lost.png", Label.LIVE, domain="camera-0", source="/of"), "no_face"))
    for name, rows in (("faces", faces), ("captures", captures)):
        store = Store(tmp_path / name, about={"size": 256})
        for row in rows:
            pixels = rng.integers(0, 256, (256, 256, 3), np.uint8)
            store.add(row, pixels if row.outcome == "face" else None, None if row.outcome != "face" else AROUND)
    program = tmp_path / "despoof"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {tmp_path}/asked; echo >> {tmp_path}/asked\n')
    program.chmod(0o755)
    files = ("AUTOENCODER", "IDENTITY", "DETECTOR", "TEACHER")
    given = {"FACES": "faces", "CAPTURES": "captures", "OTHERS": "ships=g.safetensors"} | {each: each for each in files}
    env = given | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", str(RECIPE)], env=env, cwd=tmp_path, check=True)
    asked = (tmp_path / "asked").read_text().splitlines()
    return tmp_path / "store/curve", [line.rstrip("|").split("|") for line in asked]


AROUND = np.zeros((2, 160, 160, 3), np.uint8)


def test_no_generator_is_measured_on_a_camera_that_it_learned_from(done) -> None:
    stores, asked = done
    halves = {half: {row.sample.domain for row in Store(stores / f"captures-{half}").rows} for half in "ab"}
    assert not halves["a"] & halves["b"]
    assert halves["a"] | halves["b"] == CAMERAS
    for half in "ab":
        learned = Store(stores / f"with-{half}")
        assert {row.sample.domain for row in learned.rows} == halves[half] | {""}
        assert {row.sample.label for row in learned.rows} == {Label.LIVE}
        assert not any(row.sample.simulated for row in learned.rows)
        assert len(learned.rows) == 3 + len(halves[half])
        assert learned.faces(learned.rows, 64).shape == (len(learned.rows), 64, 64, 3)
    for half, other in ("ab", "ba"):
        (measured,) = [line for line in asked if line[:2] == ["study", "carriers"] and f"captures-{half}" in line[3]]
        assert measured[-1].endswith(f"with-{other}/generator.safetensors")


def test_its_lines_are_commands_and_all_arms_make_the_same_steps(done) -> None:
    app = build_app()
    for line in done[1]:
        app.parse_args(line, exit_on_error=False, print_error=False)  # an option that is not there raises
    arms = {line[3].rsplit("/", 1)[1]: line for line in done[1] if line[:2] == ["train", "student"]}
    assert set(arms) == {"all", "faces-1000", "faces-3000", "with-a", "with-b"}
    assert len({tuple(line[4:]) for name, line in arms.items() if "faces" not in name}) == 1
    assert arms["faces-1000"][4:] == [*arms["all"][4:], "--faces", "1000"]
    compared = next(line for line in done[1] if line[:2] == ["study", "carriers"])
    named = {each.partition("=")[0] for each in compared if "=" in each}
    assert named == {"1000", "3000", "ships", "untrained"}
