"""The wheel as a stranger gets it: all that the package needs lies in it, and it judges where nothing else is
installed; a checkout has its files and its extras at hand, and hides what a wheel lacks."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import despoof
from despoof.data.portrait import FILE

ROOT = Path(despoof.__file__).parents[2]
pytestmark = pytest.mark.slow
JUDGE = """
import importlib.metadata, json, sys
import despoof
verdict = despoof.load(threads=1).check(sys.argv[1])
names = sorted(each.name.lower() for each in importlib.metadata.distributions())
print(json.dumps([despoof.__file__, verdict.decision, verdict.liveness, names]))
"""


def run(*command: object, **options: object) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=500, env=env, **options
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout, built of a copy, so that no older build's files come in."""
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("the package is installed, and no checkout")
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "src", folder / "copy/src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder / "copy" / name)
    try:
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, folder / "copy")
    except AssertionError as error:
        if "No matching distribution" in str(error) or "connection" in str(error).lower():
            pytest.skip(f"setuptools cannot be fetched: {str(error)[-200:]}")
        raise
    return next(folder.glob("*.whl"))


def test_every_file_of_the_package_is_in_it(wheel: Path) -> None:
    folder = ROOT / "src/despoof"
    wanted = {
        f"despoof/{path.relative_to(folder).as_posix()}"
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    found = set(zipfile.ZipFile(wheel).namelist())
    assert wanted <= found, f"not in package-data of pyproject.toml: {sorted(wanted - found)}"
    assert not [name for name in found if not name.startswith(("despoof/", "despoof-"))]


def test_it_judges_in_an_environment_with_nothing_else(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    try:
        run(python, "-m", "pip", "install", "-q", wheel)
    except AssertionError as error:
        pytest.skip(f"what judging stands on cannot be fetched: {str(error)[-200:]}")
    place, decision, liveness, names = json.loads(run(python, "-c", JUDGE, FILE, cwd=tmp_path))
    assert Path(place).is_relative_to(tmp_path)
    assert not {"torch", "diffusers", "accelerate", "scipy", "scikit-image", "safetensors", "openvino"} & set(names)
    verdict = despoof.load(threads=1).check(FILE)
    assert (decision, liveness) == (verdict.decision, pytest.approx(verdict.liveness, abs=1e-3))
    assert "check" in run(python, "-m", "despoof", "--help", cwd=tmp_path)
