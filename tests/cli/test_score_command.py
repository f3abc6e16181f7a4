"""`despoof score` from a table to shards: its exit status is of the errors, and both pools give the same rows."""

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from despoof.batch.shards import Shards, schema
from despoof.cli.score import ERRORS, score
from despoof.errors import ConfigError
from despoof.pipeline import load

pytest.importorskip("pyarrow")


@pytest.fixture
def table(tmp_path, people) -> Path:
    """Six portraits, a file that is no picture, and one that is not there."""
    for number, image in enumerate(people[:6]):
        Image.fromarray(image.repeat(2, 0).repeat(2, 1)).save(tmp_path / f"{number}.png")
    (tmp_path / "text.jpg").write_text("no picture")
    names = [*(f"{number}.png" for number in range(6)), "text.jpg", "gone.jpg"]
    (tmp_path / "rows.csv").write_text("name,file\n" + "".join(f"n{i},{name}\n" for i, name in enumerate(names)))
    return tmp_path / "rows.csv"


def said(out: Path) -> dict[str, dict]:
    """What was said of each, but for how long it took."""
    found = [row for batch in Shards(out).batches(schema().names) for row in batch.to_pylist()]
    assert len({row["id"] for row in found}) == len(found)
    return {row.pop("id"): {name: value for name, value in row.items() if name != "milliseconds"} for row in found}


def test_from_a_table_to_shards(table, tmp_path, capsys):
    options = {"path": "file", "id": "name", "workers": 1}
    with pytest.raises(SystemExit) as stopped:
        score(str(table), tmp_path / "out", **options, explain="decision == 'NO_DECISION' or id == 'n1'")
    assert stopped.value.code == ERRORS
    found = said(tmp_path / "out")
    assert list(found) == [f"n{i}" for i in range(8)]
    guard = load(threads=1)
    for i in range(6):
        verdict = guard.check(tmp_path / f"{i}.png")
        assert (found[f"n{i}"]["decision"], found[f"n{i}"]["liveness"]) == (verdict.decision.value, verdict.liveness)
    assert found["n6"]["reasons"] == ["unreadable"]
    assert "FileNotFoundError" in found["n7"]["error"]
    assert any(path.name.startswith("n1-") for path in (tmp_path / "out/pictures").iterdir())
    assert "8 rows, 1 errors" in capsys.readouterr().out
    score(str(table), tmp_path / "out", **options, max_errors=0.125)  # as many as are allowed
    Image.open(tmp_path / "0.png").save(tmp_path / "gone.jpg")
    score(str(table), tmp_path / "out", **options, retry=True)
    assert said(tmp_path / "out")["n7"]["attempts"] == 2


def test_one_face(table, tmp_path):
    score(str(tmp_path / "0.png"), tmp_path / "out", workers=1)
    (row,) = said(tmp_path / "out").values()
    assert row["decision"] == load(threads=1).check(tmp_path / "0.png").decision.value


@pytest.mark.parametrize(
    ("options", "said"),
    [({"max_errors": 2}, "max-errors 2"), ({"explain": "decision"}, "Example"), ({"pool": "dask"}, "local, ray"),
     ({"address": "auto"}, "--pool ray")],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_written(options, said, table, tmp_path):
    with pytest.raises(ConfigError, match=said):
        score(str(table), tmp_path / "out", path="file", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_both_pools_give_the_same_rows(table, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(each for each in sys.path if each))  # workers find the package
    for pool in ("local", "ray"):
        score(str(table), tmp_path / pool, path="file", id="name", pool=pool, workers=2, max_errors=1)
    assert said(tmp_path / "local") == said(tmp_path / "ray")
    jobs = [json.loads((tmp_path / pool / "job.json").read_text())["job"] for pool in ("local", "ray")]
    assert jobs[0] == jobs[1]  # a pool changes no result, and so a job may go on in the other
