"""A job ends the same however it came there: killed, grown, tried again, by workers that die. Judging is stood in for
by something quick, so that the job itself is what is tested."""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import despoof
import despoof.batch.shards as shards_module
from despoof.batch.job import score
from despoof.batch.judging import How
from despoof.batch.manifest import Listing
from despoof.batch.shards import Shards, schema
from despoof.errors import ArtefactError, InputError
from despoof.runs.pool import Pool
from full_disk import files_up_to
from pool_work import quick

pa = pytest.importorskip("pyarrow")
HERE = Path(__file__).parents[1]


class Here(Pool):
    """A pool whose work is done in this process."""

    def outcomes(self, function, items):
        return ((item, function(item)) for item in items)


def listing(folder: Path, names) -> Listing:
    (folder / "rows.csv").write_text("id,path\n" + "".join(f"{name},{name}.jpg\n" for name in names))
    return Listing(str(folder / "rows.csv"), id="id")


def rows(out: Path) -> dict[str, dict]:
    found = [row for batch in Shards(out).batches([*schema().names, "job"]) for row in batch.to_pylist()]
    assert len({row["id"] for row in found}) == len(found)  # none twice
    return {row["id"]: row for row in found}


def run(folder: Path, names, out: str = "out", **more) -> dict:
    return score(listing(folder, names), folder / out, pool=Here(), judging=quick, **more)


def test_rows_shards_and_summary(tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "ROWS", 100)
    summary = run(tmp_path, [*range(500), "broken"])
    found = rows(tmp_path / "out")
    assert list(found) == [*map(str, range(500)), "broken"]  # in the order of the manifest, from one worker
    judged = quick(None, "", tuple(shards_module.Row(str(i), f"{tmp_path}/{i}.jpg") for i in range(500))).to_pylist()
    assert [{**row, "job": summary["job"]} for row in judged] == list(found.values())[:-1]
    assert found["broken"]["decision"] == "NO_DECISION"
    assert found["broken"]["error"].startswith("FileNotFoundError")
    assert found["broken"]["reasons"] == ["error"]
    counted = {name: sum(row["decision"] == name for row in found.values()) for name in summary["decisions"]}
    assert summary["decisions"] == counted
    assert summary["errors"] == {"rows": 1, "share": 1 / 501, "kinds": {"FileNotFoundError": 1}}
    parts = sorted(path.name for path in (tmp_path / "out/shards").iterdir())
    assert parts == [f"part-{i:06d}.parquet" for i in range(len(parts))]
    assert len(parts) in (4, 5)
    facts = json.loads(pa.parquet.read_schema(tmp_path / "out/shards" / parts[0]).metadata[b"despoof"])
    assert facts["parents"] == despoof.load().weights
    assert json.loads((tmp_path / "out/summary.json").read_text())["job"] == summary["job"]


def test_other_tools_read_the_folder(tmp_path):
    import pyarrow.dataset

    run(tmp_path, range(10))
    (tmp_path / "out/shards/.part-000001-abcd.parquet.tmp").write_text("half")  # of a writer at work
    assert pyarrow.dataset.dataset(tmp_path / "out/shards").to_table()["id"].to_pylist() == [*map(str, range(10))]


def test_a_manifest_may_grow_anywhere(tmp_path):
    run(tmp_path, range(0, 100, 2))
    summary = run(tmp_path, range(100))
    run(tmp_path, range(100), "whole")
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")
    assert (summary["run"]["rows"], summary["rows"], summary["manifest"]) == (50, 100, 100)
    assert run(tmp_path, range(90))["not in the manifest any more"] == 10


def test_a_second_run_does_nothing(tmp_path):
    run(tmp_path, range(10))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/shards").iterdir()}
    assert run(tmp_path, range(10))["run"]["rows"] == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/shards").iterdir()} == before


def test_errors_are_tried_again_when_asked_and_a_success_wins(tmp_path, monkeypatch):
    from pyarrow import parquet

    monkeypatch.setattr(shards_module, "ROWS", 5)
    names = [f"broken{i}" if i % 3 == 0 else f"{i}" for i in range(60)]
    assert run(tmp_path, names)["errors"]["rows"] == 20
    for i in range(0, 60, 6):
        (tmp_path / f"broken{i}.jpg").touch()
    assert run(tmp_path, names)["errors"]["rows"] == 20  # not asked for
    summary = run(tmp_path, [*names, "new"], retry=True)
    assert (summary["errors"]["rows"], summary["run"]["rows"], summary["attempts"]) == (10, 21, 81)
    shards = Shards(tmp_path / "out")
    told = [shards.failed(path) for path in shards.paths()]
    read = [parquet.read_table(path)["error"].to_pylist() for path in shards.paths()]
    assert told == [len(errors) - errors.count(None) for errors in read]
    assert (sum(told), 0 in told) == (10, True)
    found = rows(tmp_path / "out")
    assert list(found) == [*names, "new"]  # each in its place
    healed = {name for name, row in found.items() if row["attempts"] == 2 and row["error"] is None}
    assert healed == {f"broken{i}" for i in range(0, 60, 6)}
    assert all(found[name]["liveness"] is not None for name in healed)


def test_another_job_is_refused_with_what_differs(tmp_path):
    run(tmp_path, range(10))
    with pytest.raises(ArtefactError, match=r"config\.thresholds was .*, now"):
        run(tmp_path, range(10), how=How(point="strict"))
    job = tmp_path / "out/job.json"
    job.write_text(job.read_text().replace('"pillow": "', '"pillow": "0.'))
    with pytest.raises(ArtefactError, match=r"config\.versions\.pillow was '0\."):
        run(tmp_path, range(10))


def test_a_worker_with_other_weights_stops_the_job():
    from despoof.batch.judging import judge

    with pytest.raises(ArtefactError, match="task was 'score'|config.* was"):
        judge(How(point="strict"), json.dumps({"task": "score", "config": {}, "data": "", "parents": {}}), ())


def test_a_row_that_kills_its_worker_is_an_error_and_takes_no_other_along(tmp_path):
    names = [*range(20), "deadly", *range(20, 60)]
    summary = score(listing(tmp_path, names), tmp_path / "out", pool=Pool(workers=2), judging=quick)
    found = rows(tmp_path / "out")
    assert set(found) == {*map(str, names)}
    assert summary["errors"]["kinds"] == {"Lost": 1}
    assert found["deadly"]["decision"] == "NO_DECISION"


@pytest.mark.slow
def test_a_job_that_is_killed_goes_on_and_ends_as_an_unbroken_one(tmp_path):
    """Only whole shards count; meanwhile another reader sees no row twice and no half of a shard."""
    names = [*range(400), "broken"]
    run(tmp_path, names, "whole")
    program = (
        "import sys; from pathlib import Path; import despoof.batch.shards as shards; shards.ROWS = 10\n"
        "from pool_work import slow; from test_job import Here; from despoof.batch.job import score\n"
        "from despoof.batch.manifest import Listing\n"
        f"score(Listing({str(tmp_path / 'rows.csv')!r}, id='id'), {str(tmp_path / 'out')!r}, pool=Here(), judging=slow)"
    )
    paths = [str(Path(despoof.__file__).parents[1]), str(HERE), str(HERE / "batch")]
    start = partial(subprocess.Popen, [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(paths)})
    chance = random.Random(0)
    for _ in range(3):
        child, before = start(), len(rows(tmp_path / "out"))
        while child.poll() is None and len(rows(tmp_path / "out")) < before + 40:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 0.5))
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert 120 <= len(rows(tmp_path / "out")) < 401
    assert start().wait() == 0
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")
    assert not list((tmp_path / "out").rglob(".*"))


def test_two_processes_do_not_write_to_one_folder(tmp_path, monkeypatch):
    import despoof.runs.folder as folder

    monkeypatch.setattr(folder, "PATIENCE", 0.1)
    program = (
        f"import sys, time; sys.path.insert(0, {str(Path(despoof.__file__).parents[1])!r})\n"
        "from despoof.runs.folder import held\n"
        f"with held({str(tmp_path / 'out')!r}): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(ArtefactError, match="another process"):
            run(tmp_path, range(10))
        other.kill()
    run(tmp_path, range(10))


def test_a_full_disk_leaves_whole_shards_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "ROWS", 40)
    run(tmp_path, range(40))
    more = listing(tmp_path, range(400))
    with files_up_to(3000), pytest.raises(ArtefactError, match="could not write"):
        score(more, tmp_path / "out", pool=Here(), judging=quick)
    assert len(rows(tmp_path / "out")) == 40
    assert run(tmp_path, range(400))["rows"] == 400


def test_ids_that_come_twice_are_refused_before_anything_is_judged(tmp_path):
    with pytest.raises(InputError, match="id '3' of row 11 is that of row 4 too"):
        run(tmp_path, [*range(10), 3])
    assert not (tmp_path / "out/shards").exists()


def test_pools_are_written_down(tmp_path):
    run(tmp_path, range(3))
    told = json.loads((tmp_path / "out/summary.json").read_text())["run"]["pool"]
    assert told == vars(replace(Pool(), workers=2))
