"""What was scored, as Parquet files that are written whole: OUT/shards/part-NNNNNN.parquet.

Readers of the folder see a row once, or not yet: a shard appears under its name when it is complete, and rows that were
tried again take the place of the old ones within it, by the same rename. What is the same for all rows of a job stands
in the metadata of each shard under `despoof` and in OUT/job.json, and each row says by `job` whose it is.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from despoof.data.place import arrow
from despoof.errors import ArtefactError
from despoof.runs.folder import atomic_path

if TYPE_CHECKING:
    import pyarrow

ROWS = 10_000  # of a shard: 1.3 MB, and 100,000 shards a billion rows
SECONDS = 60.0  # after which a shard is written, however few its rows: what a kill may cost
KINDS = 20  # kinds of errors that a summary lists
QUALITY = ("size", "room", "sharpness", "luma", "clipped")  # see `Verdict.quality`


class Row(NamedTuple):
    """What is to be scored, and how often that was tried before."""

    id: str
    uri: str
    attempts: int = 0


def schema() -> "pyarrow.Schema":
    """Return the columns of a shard.

    id, uri: as in the manifest, the URI absolute. decision: of `Decision`; of an error NO_DECISION. liveness: 0..1 or
    null. reasons: names, see `Reason`; of an error `error`. quality: of the judged face, null without one. error: what
    went wrong, null of a row that was scored. attempts: how often it was tried. milliseconds: of each stage. A shard
    has `job` beside them, twelve digits of the job's identity.
    """
    pa = arrow()
    return pa.schema(
        [
            ("id", pa.string()),
            ("uri", pa.string()),
            ("decision", pa.string()),
            ("liveness", pa.float64()),
            ("reasons", pa.list_(pa.string())),
            ("quality", pa.struct([(name, pa.float64()) for name in QUALITY])),
            ("error", pa.string()),
            ("attempts", pa.int32()),
            ("milliseconds", pa.map_(pa.string(), pa.float32())),
        ]
    )


def table(judged: Iterable[tuple[Row, dict[str, Any]]]) -> "pyarrow.Table":
    """Return rows and what is said of each as a table; what is not said is null."""
    rows = [{"id": row.id, "uri": row.uri, "attempts": row.attempts + 1, **values} for row, values in judged]
    for row in rows:
        row["milliseconds"] = list((row.get("milliseconds") or {}).items())
    return arrow().Table.from_pylist(rows, schema())


class Shards:
    """The shards of one job below a folder; any number may read while one writes."""

    def __init__(self, folder: str | Path, label: str = "", facts: dict | None = None) -> None:
        """Open the folder; a writer gives the job's label, and what each shard is to say of the job."""
        self.folder, self.label, self.facts = Path(folder) / "shards", label, facts or {}
        self._held: list[pyarrow.Table] = []
        self._next = max((int(path.stem.partition("-")[2]) for path in self.paths()), default=-1) + 1
        self._last = time.monotonic()

    def paths(self) -> list[Path]:
        """Return the whole shards, oldest first."""
        return sorted(self.folder.glob("part-*.parquet"))

    def batches(
        self, columns: list[str], where: Any = None, paths: Iterable[Path] | None = None
    ) -> "Iterator[pyarrow.RecordBatch]":
        """Yield columns of what was scored, where an expression of `pyarrow.dataset` holds, of these shards or all.

        One shard after the other: a dataset of all would read ahead as far as there is memory.
        """
        pa = arrow()
        for path in self.paths() if paths is None else paths:
            with _reading(path):
                yield from pa.dataset.dataset(path).scanner(columns, filter=where, use_threads=False).to_batches()

    def done(self) -> Iterator[list[tuple[str, str]]]:
        """Yield (id, URI) of what was scored, errors too."""
        for batch in self.batches(["id", "uri"]):
            yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))

    def errors(self) -> Iterator[tuple[Path, list[Row]]]:
        """Yield each shard that has errors, and the rows of it that are to be tried again."""
        failed = arrow().compute.field("error").is_valid()
        for path in filter(self.failed, self.paths()):
            found = self.batches(list(Row._fields), failed, [path])
            if rows := [Row(**row) for batch in found for row in batch.to_pylist()]:
                yield path, rows

    def failed(self, path: Path) -> int:
        """Return how many rows of a shard are errors; its footer says so, and no row is read."""
        with _reading(path):
            footer = arrow().parquet.read_metadata(path)
        groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
        columns = [group.column(i) for group in groups for i in range(group.num_columns)]
        return sum(c.num_values - c.statistics.null_count for c in columns if c.path_in_schema == "error")

    def add(self, rows: "pyarrow.Table") -> None:
        """Take rows, and write a shard when there are enough or the last is long ago."""
        self._held.append(rows)
        if sum(map(len, self._held)) >= ROWS or time.monotonic() - self._last > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            self._write(self.folder / f"part-{self._next:06d}.parquet", arrow().concat_tables(self._held))
            self._held, self._next = [], self._next + 1
        self._last = time.monotonic()

    def replace(self, path: Path, rows: "list[pyarrow.Table]") -> None:
        """Put rows that were tried again in the place of those of the same ids; the shard is written anew."""
        pa = arrow()
        new, old = pa.concat_tables(rows), pa.parquet.read_table(path, columns=schema().names)
        kept = old.filter(pa.compute.invert(pa.compute.is_in(old["id"], value_set=new["id"].combine_chunks())))
        both = pa.concat_tables([kept, new])
        places = pa.compute.index_in(both["id"], value_set=old["id"].combine_chunks())
        self._write(path, both.take(pa.compute.sort_indices(places)))

    def counts(self) -> dict[str, Any]:
        """Return how often each decision, reason and kind of error occurs, the most frequent first."""
        found = {name: Counter() for name in ("decision", "reasons", "error")}
        attempts = rows = 0
        for batch in self.batches(["decision", "reasons", "error", "attempts"]):
            rows += len(batch)
            attempts += sum(batch["attempts"].to_pylist())
            found["decision"].update(batch["decision"].to_pylist())
            found["reasons"].update(name for names in batch["reasons"].to_pylist() for name in names)
            found["error"].update(text.partition(":")[0] for text in batch["error"].to_pylist() if text is not None)
        kinds = dict(found["error"].most_common(KINDS))
        errors = found["error"].total()
        return {
            "rows": rows,
            "decisions": dict(found["decision"].most_common()),
            "reasons": dict(found["reasons"].most_common()),
            "errors": {"rows": errors, "share": errors / rows if rows else 0.0, "kinds": kinds},
            "attempts": attempts,
        }

    def _write(self, path: Path, rows: "pyarrow.Table") -> None:
        pa = arrow()
        whole = rows.append_column("job", pa.array([self.label] * len(rows), pa.string()))
        with atomic_path(path) as temporary:
            told = whole.replace_schema_metadata({"despoof": json.dumps(self.facts)})
            pa.parquet.write_table(told, temporary, compression="zstd")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's errors are among them
        raise ArtefactError(f"{path} cannot be read ({error}). Move it away, then run again.") from None
