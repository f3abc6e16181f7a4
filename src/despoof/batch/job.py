"""A job: manifest -> OUT, by the workers of a pool; killed and run again it goes on, and another job is refused.

OUT/job.json        what the job is: its identity (whatever changes a result), versions, how it was called
OUT/shards/         what was scored, see `despoof.batch.shards`
OUT/summary.json    counts, errors and rate, when a run has ended
OUT/pictures/       of the rows that were asked for
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from despoof.batch.judging import How, error_values, identity_of, judge
from despoof.batch.manifest import Listing
from despoof.batch.plan import PREFIX, Plan
from despoof.batch.selection import parse, save_pictures
from despoof.batch.shards import Row, Shards, table
from despoof.runs.folder import held, read_json, remove_left, write_json
from despoof.runs.identity import Identity, provenance
from despoof.runs.pool import Lost, Pool
from despoof.runs.progress import track

if TYPE_CHECKING:
    import pyarrow

FORMAT = "despoof-score/1"
CHUNK = 32  # rows that a worker is given together, at most: a few seconds of photos
SHARES = 4  # that each worker gets at least of a small job, so that none waits long for the last


class _Task(NamedTuple):
    """Rows for one worker; of rows that are tried again their shard, and how many of it are."""

    rows: tuple[Row, ...]
    shard: Path | None = None
    of: int = 0


def score(
    listing: Listing, out: str | Path, how: How | None = None, *, pool: Pool | None = None, retry: bool = False,
    shown: str | None = None, judging: Callable[[How, str, tuple[Row, ...]], "pyarrow.Table"] = judge,
) -> dict[str, Any]:  # fmt: skip
    """Score every row of the manifest that `out` has none of yet, and return the summary as JSON values.

    With `retry`, rows that ended as errors are tried again before. `shown` is an expression of the rows of which
    pictures are made in the end, see `despoof.batch.selection.parse`. `judging` is what a worker does. A folder that
    holds another job (other weights, thresholds, profile, engine or versions) is an ArtefactError that names what
    differs; so is one in which another process works.
    """
    out, how, pool, where = Path(out), how or How(), pool or Pool(), shown and parse(shown)
    identity = identity_of(how.guard(), how.device)
    with held(out):
        shards = _claimed(out, identity, how)
        with Plan(listing, shards.done(), out) as plan:
            again = sum(map(shards.failed, shards.paths())) if retry else 0
            chunk = min(CHUNK, max(1, plan.rest // (SHARES * pool.workers)))
            tasks = chain(_retried(shards) if retry else (), _new(plan, chunk))
            wanted = json.dumps(identity.as_dict(), sort_keys=True)
            work = partial(_run, judging, how, wanted)
            started = time.monotonic()
            for _ in track(_written(pool, work, tasks, shards), "score", again + plan.rest):
                pass
            seconds = time.monotonic() - started
            listed = {"manifest": plan.rows, "not in the manifest any more": plan.gone}
        found = again + plan.rest
        run = {"rows": found, "seconds": round(seconds, 1), "rows_a_second": round(found / max(seconds, 1e-9), 2)}
        summary = {"format": FORMAT, "job": identity.label} | listed | shards.counts()
        summary["run"] = run | {"pool": asdict(pool)}
        write_json(out / "summary.json", summary | provenance(identity))
        if where is not None:
            summary["pictures"] = sum(1 for _ in save_pictures(where, shards, how, wanted, pool))
    return summary


def _claimed(out: Path, identity: Identity, how: How) -> Shards:
    """Return the shards of a folder that is this job's, without what killed writers left there."""
    path = out / "job.json"
    if path.exists():
        identity.require(read_json(path).get("identity"), path)
    else:
        write_json(path, {"format": FORMAT, "job": identity.label, "how": asdict(how)} | provenance(identity))
    for left in out.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    for folder in (out, out / "shards", out / "pictures"):
        remove_left(folder)
    return Shards(out, identity.label, {"format": FORMAT} | identity.as_dict())


def _run(judging: Callable, how: How, wanted: str, task: _Task) -> "pyarrow.Table":
    return judging(how, wanted, task.rows)


def _new(plan: Plan, chunk: int) -> Iterator[_Task]:
    rows = (Row(name, uri) for name, uri in plan.left())
    while some := tuple(islice(rows, chunk)):
        yield _Task(some)


def _retried(shards: Shards) -> Iterator[_Task]:
    for path, rows in shards.errors():
        for first in range(0, len(rows), CHUNK):
            yield _Task(tuple(rows[first : first + CHUNK]), path, len(rows))


def _written(
    pool: Pool, work: Callable[[_Task], "pyarrow.Table"], tasks: Iterable[_Task], shards: Shards
) -> Iterator[Row]:
    """Yield each row when it is scored. What is finished is written whatever happens."""
    back: dict[Path, list[pyarrow.Table]] = {}
    try:
        while tasks:
            apart: list[_Task] = []
            for task, found in pool.outcomes(work, tasks):
                if isinstance(found, Lost):
                    if len(task.rows) > 1:  # one of them kills its worker: each alone, when the others are done
                        apart += [_Task((row,), task.shard, task.of) for row in task.rows]
                        continue
                    found = table([(task.rows[0], error_values(found))])
                if task.shard is None:
                    shards.add(found)
                else:
                    _put_back(shards, task, found, back)
                yield from task.rows
            tasks = apart
    finally:
        shards.flush()


def _put_back(shards: Shards, task: _Task, found: "pyarrow.Table", back: dict[Path, list["pyarrow.Table"]]) -> None:
    """Put rows that were tried again into their shard once all of it have come."""
    there = back.setdefault(task.shard, [])
    there.append(found)
    if sum(map(len, there)) == task.of:
        shards.replace(task.shard, back.pop(task.shard))
