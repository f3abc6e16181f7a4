"""Commands that are killed at random moments end as if they had not been. The full number is for
`benchmarks/kills.py`; here a few, at moments that a seed decides, and a check that it can fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import despoof

FILE = Path(__file__).parents[2] / "benchmarks/kills.py"


def kills(*options: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(despoof.__file__).parents[1])}
    return subprocess.run([sys.executable, str(FILE), *options], env=env, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_ten_kills_change_nothing() -> None:
    done = kills("--kills", "10", "--only", "prepare", "--only", "train detector")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[:2] == ["all", "10"]


def test_a_file_that_differs_is_found(tmp_path: Path) -> None:
    sys.path.insert(0, str(FILE.parent))
    try:
        from kills import contents, differences
    finally:
        sys.path.remove(str(FILE.parent))
    for name, lines in {"one": ('{"step": 1, "seconds": 3}',), "other": ('{"step": 1, "seconds": 4}',)}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text("\n".join(lines))
        (tmp_path / name / "a").write_text("a")
    one = contents(tmp_path / "one")
    assert not differences(one, contents(tmp_path / "other"))
    (tmp_path / "other/a").write_text("b")
    (tmp_path / "other/.a-12345678.tmp").write_text("b")
    assert differences(one, contents(tmp_path / "other")) == [".a-12345678.tmp is left over", "a differs"]
    (tmp_path / "other/log.jsonl").unlink()
    assert "log.jsonl is missing" in differences(one, contents(tmp_path / "other"))
