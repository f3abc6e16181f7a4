"""What is to be scored, read in blocks, however long it is: CSV, Parquet or JSONL, a folder, a pattern, one file.

Everything may lie wherever fsspec reaches: on disk, s3://, gs://, https://, memory://.
"""

import csv
import json
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import has_magic
from itertools import islice
from pathlib import PurePath
from typing import IO, Any
from urllib.parse import urlsplit

from despoof.data.image import require_readable
from despoof.data.manifest import DELIMITERS, SUFFIXES
from despoof.data.place import arrow, filesystem, uri_of
from despoof.data.video import is_video, require_pyav
from despoof.errors import DespoofError, InputError

BLOCK = 4096  # rows that are read together
AHEAD = 2**17  # bytes of a CSV that pyarrow parses together, and a row may have; it reads 32 times as much ahead
TABLES = {".csv", ".tsv", ".parquet", ".jsonl", ".ndjson"}

Entry = tuple[str, str]  # id, URI: an absolute path or with its protocol


@dataclass(frozen=True)
class Listing:
    """What is to be scored; read anew by each call of `blocks`.

    Args:
        source: path or URI of a table, a folder (everything below it, in order of names), a pattern or one file.
        path: the column of a table that holds paths or URIs; those without protocol are relative to the table.
        id: the column that names each; without one the text of the path is the name. Of a folder the path below it.
    """

    source: str
    path: str = "path"
    id: str | None = None

    def blocks(self) -> Iterator[list[Entry]]:
        """Yield the rows in order, `BLOCK` at a time; a source that cannot be read or says nothing is an InputError."""
        entries, seen = self._entries(), False
        while block := list(islice(entries, BLOCK)):
            seen = True
            yield block
        if not seen:
            raise InputError(f"{self.source} lists nothing to score; expected a photo or clip. Check the path.")

    def _entries(self) -> Iterator[Entry]:
        fs, path = filesystem(self.source)
        suffix = suffix_of(self.source)
        if suffix in TABLES:
            yield from self._table(fs, path, suffix)
        elif has_magic(path) or not fs.isdir(path):
            for found in sorted(fs.glob(path)):
                yield (whole := uri_of(fs, found)), whole
        else:
            for folder, folders, names in fs.walk(path):
                folders.sort()
                for name in sorted(names):
                    if PurePath(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                        found = f"{folder}/{name}"
                        yield posixpath.relpath(found, path), uri_of(fs, found)

    def _table(self, fs: Any, path: str, suffix: str) -> Iterator[Entry]:
        read = {".parquet": _parquet, ".jsonl": _lines, ".ndjson": _lines}.get(suffix, _csv)
        root = posixpath.dirname(uri_of(fs, path))
        with reading(self.source), fs.open(path, "rb") as file:
            for number, (name, given) in enumerate(read(file, self._columns, self._known), 1):
                if not name or not given:
                    raise InputError(f"{self.source}, row {number}: no path or no id. Correct the row.")
                whole = given if "://" in given else posixpath.join(root, given)
                yield name, whole if "://" in whole else posixpath.normpath(whole)

    @property
    def _columns(self) -> Entry:
        return self.id or self.path, self.path

    def _known(self, columns: Iterable[str]) -> None:
        for name in self._columns:
            if name not in columns:
                raise InputError(
                    f"{self.source} has no column {name!r} among {', '.join(columns)}. Name its own: --path, --id."
                )


def suffix_of(uri: str) -> str:
    """Return the suffix of a path or URI in small letters, without what follows a question mark of the web."""
    return PurePath(urlsplit(uri).path if "://" in uri else uri).suffix.lower()


def is_clip(uri: str) -> bool:
    """Say whether a URI is that of a clip, by its suffix."""
    return is_video("x" + suffix_of(uri))


def require_readers(block: list[Entry]) -> None:
    """Raise InputError if a row is of a kind that cannot be read here at all, which is no fault of the file."""
    for _, uri in block:
        (require_pyav if is_clip(uri) else require_readable)("x" + suffix_of(uri))


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Turn what goes wrong in reading a table into an InputError that names it."""
    try:
        yield
    except DespoofError:
        raise
    except (OSError, ValueError, KeyError, csv.Error) as error:  # pyarrow's errors are among them
        raise InputError(f"{source} cannot be read ({error}). Check the path, or write the table again.") from None


def _csv(file: IO[bytes], columns: Entry, known: Any) -> Iterator[Entry]:
    """Read UTF-8 with a header; comma, semicolon, tab or bar between cells, whichever the header has most of."""
    pa = arrow()
    header = file.readline().decode("utf-8-sig").rstrip("\r\n")
    delimiter = max(DELIMITERS, key=header.count)
    known(next(csv.reader([header], delimiter=delimiter), []))
    file.seek(0)
    wanted = list(dict.fromkeys(columns))
    with pa.csv.open_csv(
        file,
        read_options=pa.csv.ReadOptions(block_size=AHEAD),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
        ),
    ) as batches:
        yield from _rows(batches, columns)


def _parquet(file: IO[bytes], columns: Entry, known: Any) -> Iterator[Entry]:
    opened = arrow().parquet.ParquetFile(file)
    known(opened.schema_arrow.names)
    yield from _rows(opened.iter_batches(BLOCK, columns=list(dict.fromkeys(columns))), columns)


def _rows(batches: Iterable[Any], columns: Entry) -> Iterator[Entry]:
    pa = arrow()
    for batch in batches:
        found = [batch.column(batch.schema.get_field_index(name)).cast(pa.string()).to_pylist() for name in columns]
        yield from zip(*found, strict=True)


def _lines(file: IO[bytes], columns: Entry, known: Any) -> Iterator[Entry]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            known(row)
        except (ValueError, TypeError) as error:
            raise InputError(f"line {number} is no JSON object with these columns ({error}). Correct it.") from None
        yield tuple("" if row[name] is None else str(row[name]) for name in columns)
