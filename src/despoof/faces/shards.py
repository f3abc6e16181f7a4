"""A prepared store as a few large files that are read from first to last: Parquet shards.

    FOLDER/store.json              the store's
    FOLDER/shard-NUMBER.parquet    some rows in the manifest's order: its lines, and the PNG bytes of their pictures
    FOLDER/shards.json             written last: how many rows and shards there are, and their hash

`Store` reads such a folder as it reads any, so all that reads stores does, and gets the same pixels. Rows are to be
asked for in their order: of others, each is read with the `GROUP` rows that it lies among. The folder may be one of an
object store, which has no locks: two who write the same there write the same files, and a mixture is not read.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from despoof.data.place import Remote, arrow, place, whole_file
from despoof.errors import ArtefactError, DespoofError, InputError
from despoof.runs.folder import held, read_json, remove_left, write_json
from despoof.runs.progress import track

if TYPE_CHECKING:
    from despoof.faces.store import Store, StoredSample

GROUP = 32  # rows that are read together, some 4 MB
ROWS = 2048  # of a shard, some 240 MB
SEAL = "shards.json"
PICTURES = ("face", "surroundings")
TOLD = ("key", "label", "attack_type", "subject", "domain", "split")  # columns for others to filter by

Folder = Path | Remote


def write_shards(store: "Store", folder: str | Path, *, rows: int = ROWS) -> Folder:
    """Write a store's rows and pictures as shards of so many rows; return the folder, which may be at a URI.

    Run again, it goes on where it was killed, and adds what the store has grown by. Equal stores give equal bytes.
    Raises ArtefactError where a picture is lost or damaged, or where the folder holds shards of something else.
    """
    if rows < 1 or rows % GROUP:
        raise InputError(f"{rows} rows a shard; expected a multiple of {GROUP}. Choose one.")
    where = place(folder)
    with held(where) if isinstance(where, Path) else nullcontext():
        _write_shards(store, where, rows)
    return where


def _write_shards(store: "Store", folder: Folder, rows: int) -> None:
    if (folder / "store.json").exists() and read_json(folder / "store.json") != store.about:
        raise ArtefactError(f"{folder} is of another store. Use another folder.")
    if isinstance(folder, Path):
        remove_left(folder)
    parts = [store.rows[first : first + rows] for first in range(0, len(store.rows), rows)]
    hashes = [store.data_hash(part) for part in parts]
    kept = [_hash_of(path) for path in sorted(folder.glob("shard-*.parquet"), key=str)]
    last = len(kept) - 1
    if len(kept) > len(parts) or any(kept[i] != hashes[i] for i in range(last)):
        raise ArtefactError(f"{folder} holds other shards than those of {store.root}. Use another folder.")
    _write_json(folder / "store.json", store.about)
    fresh = [i for i in range(len(parts)) if i > last or kept[i] != hashes[i]]
    if fresh:
        (folder / SEAL).unlink(missing_ok=True)
    for number in track(fresh, "write shards", len(fresh)):
        _write(_shard(folder, number), store, parts[number], hashes[number])
    _write_json(folder / SEAL, {"rows": len(store.rows), "shards": len(parts), "data": store.data_hash(store.rows)})


def has_shards(folder: Folder) -> bool:
    """Say whether a folder holds shards, or what a killed writer of them left; one at a URI holds nothing else."""
    return isinstance(folder, Remote) or (folder / SEAL).exists() or any(folder.glob("shard-*.parquet"))


class Shards:
    """Lines and pictures of a folder of shards; a few groups of rows are in memory at a time."""

    def __init__(self, folder: Folder) -> None:
        """Raise ArtefactError where shards were not written to their end."""
        if not (folder / SEAL).exists():
            raise ArtefactError(
                f"{folder} has no file {SEAL}, which is written when all shards are there. Check the address, or run "
                "`despoof data shards` to its end."
            )
        sealed = read_json(folder / SEAL)
        self.folder, self._data = folder, sealed.get("data")
        self.paths = [_shard(folder, number) for number in range(sealed.get("shards", 0))]
        self._places: dict[str, tuple[int, int]] = {}  # key -> shard, row in it
        self._file = lru_cache(2)(_opened)
        self._group = lru_cache(4)(self._read_group)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield where a line of the manifest stands, and the line."""
        for shard, path in enumerate(self.paths):
            for row, (key, line) in enumerate(_texts(path)):
                self._places[key] = shard, row
                yield f"{path}, row {row}", line

    def require(self, data: str) -> None:
        """Raise ArtefactError unless the rows that were read, by their hash, are those that were written."""
        if data != self._data:
            raise ArtefactError(
                f"the shards of {self.folder} hold other rows than {SEAL} says: one is old, or of another store. Run "
                "`despoof data shards` again."
            )

    def picture(self, kind: str, key: str) -> bytes | None:
        """Return the PNG bytes of the "face" or the "surroundings" of a row."""
        shard, row = self._places[key]
        return self._group(self.paths[shard], row // GROUP, kind)[row % GROUP]

    def path_of(self, key: str) -> Folder:
        """Return the shard that a row lies in."""
        return self.paths[self._places[key][0]]

    def _read_group(self, path: Folder, group: int, kind: str) -> list[bytes | None]:
        with _reading(path):
            return self._file(path).read_row_group(group, columns=[kind]).column(0).to_pylist()


def _shard(folder: Folder, number: int) -> Folder:
    return folder / f"shard-{number:05d}.parquet"


def _write_json(path: Folder, value: object) -> None:
    with whole_file(path) as temporary:
        write_json(temporary, value)


def _write(path: Folder, store: "Store", rows: "list[StoredSample]", content: str) -> None:
    pa = arrow()
    texts = [pa.field(name, pa.string()) for name in (*TOLD, "row")]
    schema = pa.schema([*texts, *(pa.field(name, pa.binary()) for name in PICTURES)])
    schema = schema.with_metadata({"despoof": json.dumps({"data": content})})
    names = [field.name for field in texts]
    options = {  # PNG is compressed, and statistics of pictures would be pictures
        "use_dictionary": list(TOLD[1:]), "write_statistics": names,
        "compression": {name: "zstd" if name in names else "none" for name in schema.names},
    }  # fmt: skip
    with whole_file(path) as temporary, pa.parquet.ParquetWriter(temporary, schema, **options) as writer:
        for first in range(0, len(rows), GROUP):
            group = [_record(store, row) for row in rows[first : first + GROUP]]
            writer.write_table(pa.Table.from_pylist(group, schema), row_group_size=GROUP)


def _record(store: "Store", row: "StoredSample") -> dict[str, Any]:
    told = row.sample.as_row() | {"key": row.key}
    record: dict[str, Any] = {name: told[name] for name in TOLD} | {"row": store.line(row)}
    pictures = {"face": (row.outcome == "face", store.face), "surroundings": (bool(row.around), store.around)}
    for kind, (there, read) in pictures.items():
        if there and read(row) is None:
            raise ArtefactError(f"the {kind} of {row.sample.file} is missing or damaged. Run `despoof prepare` again.")
        record[kind] = store.png(row, kind) if there else None
    return record


def _texts(path: Folder) -> Iterator[tuple[str, str]]:
    """Return key and line of the rows of a shard; from elsewhere, these columns alone come, many at a time."""
    columns = ["key", "row"]
    with _reading(path):
        if isinstance(path, Remote):
            from fsspec.parquet import open_parquet_file

            with open_parquet_file(path.path, fs=path.fs, columns=columns, engine="pyarrow") as file:
                table = arrow().parquet.read_table(file, columns=columns)
        else:
            table = _opened(path).read(columns=columns)
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _hash_of(path: Folder) -> str | None:
    return json.loads((_opened(path).schema_arrow.metadata or {}).get(b"despoof", b"{}")).get("data")


def _opened(path: Folder) -> Any:
    with _reading(path):
        return arrow().parquet.ParquetFile(path if isinstance(path, Path) else path.open())


@contextmanager
def _reading(path: Folder) -> Iterator[None]:
    try:
        yield
    except DespoofError:
        raise
    except Exception as error:  # pyarrow's are ValueErrors, those of object stores of no common kind
        raise ArtefactError(
            f"shard {path} cannot be read ({error}). Delete it and run `despoof data shards`."
        ) from None
