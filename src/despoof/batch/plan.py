"""Which rows of a manifest are still to be scored, found at bounded memory; that no id comes twice is found with it.

Ids are hashed to 128 bits and dealt to buckets on disk, and one bucket after the other is sorted and compared: 24 bytes
of disk a row that is done, 32 a row of the manifest, and one byte for whether it is done. Of a billion rows a bucket
has four million, 125 MB. Two ids of one hash would pass for one, with a chance of 1e-21 at a billion rows.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

import numpy as np

from despoof.batch.manifest import Entry, Listing, require_readers
from despoof.errors import ArtefactError, InputError

BUCKETS = 256
FLUSH = 2**17  # records that are held before they go to disk
RECORD = np.dtype([("id", "S16"), ("uri", "S8"), ("place", "<i8")])  # place: which row of the manifest
PREFIX = ".plan-"


class Plan:
    """What is left to do of a manifest. Opens by reading it once, and works in a folder of its own below `folder`.

    Attributes:
        rows: of the manifest.
        rest: of these, how many are to be scored.
        gone: how many were scored that the manifest does not list any more.
    """

    def __init__(self, listing: Listing, done: Iterable[list[Entry]], folder: Path) -> None:
        """Compare the manifest with what is `done`; an id that comes twice, or with another URI than it was scored
        from, is an InputError.
        """
        self.listing, self.rows, self.gone = listing, 0, 0
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        self._digests: list[bytes] = []
        try:
            given, scored = _Buckets(self.folder / "given"), _Buckets(self.folder / "done")
            for block in listing.blocks():
                require_readers(block)
                given.add(_records(block, self.rows))
                self._digests.append(_digest(block))
                self.rows += len(block)
            for block in done:
                scored.add(_records(block, 0))
            self._done = np.memmap(self.folder / "flags", np.bool_, "w+", shape=(self.rows,))
            for number in range(BUCKETS):
                self._compare(given.read(number), scored.read(number))
        except BaseException:
            self.close()
            raise
        self.rest = self.rows - int(np.count_nonzero(self._done))

    def left(self) -> Iterator[Entry]:
        """Yield the rows to be scored in the order of the manifest; one that has changed meanwhile is an InputError."""
        place = 0
        for number, block in enumerate(self.listing.blocks()):
            if self._digests[number : number + 1] != [_digest(block)]:
                raise InputError(
                    f"{self.listing.source} changed while it was read. Run the same command again to go on with it."
                )
            flags = self._done[place : place + len(block)]
            yield from (entry for entry, done in zip(block, flags, strict=True) if not done)
            place += len(block)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Plan":
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _compare(self, given: np.ndarray, done: np.ndarray) -> None:
        given = given[np.argsort(given["id"], kind="stable")]
        twice = np.flatnonzero(given["id"][1:] == given["id"][:-1])
        if len(twice):
            first, again = given["place"][twice[0] : twice[0] + 2]
            name = self._entry(int(again))[0]
            raise InputError(
                f"{self.listing.source}: id {name!r} of row {again + 1} is that of row {first + 1} too; expected each "
                "once. Correct it, or name another column with --id."
            )
        if len(np.unique(done["id"])) < len(done):
            raise ArtefactError(f"an id lies twice in the shards of {self.folder.parent}. Score into another folder.")
        if not len(given) or not len(done):
            self.gone += len(done)
            return
        where = np.searchsorted(given["id"], done["id"]).clip(max=len(given) - 1)
        known = given["id"][where] == done["id"]
        given, done = given[where[known]], done[known]
        self.gone += int(np.count_nonzero(~known))
        moved = np.flatnonzero(given["uri"] != done["uri"])
        if len(moved):
            name, uri = self._entry(int(given["place"][moved[0]]))
            raise InputError(
                f"{self.listing.source}: id {name!r} was scored from another file than {uri}. Give it a new id."
            )
        self._done[given["place"]] = True

    def _entry(self, place: int) -> Entry:
        for block in self.listing.blocks():
            if place < len(block):
                return block[place]
            place -= len(block)
        raise InputError(f"{self.listing.source} changed while it was read. Run the same command again.")


class _Buckets:
    """Records on disk by the first byte of their id."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.held, self.count = folder, [], 0
        folder.mkdir()

    def add(self, records: np.ndarray) -> None:
        self.held.append(records)
        self.count += len(records)
        if self.count >= FLUSH:
            self._flush()

    def _flush(self) -> None:
        if not self.held:
            return
        records = np.concatenate(self.held)
        bucket = records.view(np.uint8).reshape(len(records), RECORD.itemsize)[:, 0]
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(BUCKETS + 1))
        try:
            for number in np.flatnonzero(np.diff(ends)):
                with (self.folder / f"{number}").open("ab") as file:
                    file.write(records[order[ends[number] : ends[number + 1]]].tobytes())
        except OSError as error:
            raise ArtefactError(f"could not write {self.folder}: {error}. Free some space, then go on.") from error
        self.held, self.count = [], 0

    def read(self, number: int) -> np.ndarray:
        self._flush()
        path = self.folder / f"{number}"
        return np.fromfile(path, RECORD) if path.exists() else np.empty(0, RECORD)


def _records(block: list[Entry], first: int) -> np.ndarray:
    records = np.empty(len(block), RECORD)
    records["id"] = [blake2b(name.encode(), digest_size=16).digest() for name, _ in block]
    records["uri"] = [blake2b(uri.encode(), digest_size=8).digest() for _, uri in block]
    records["place"] = np.arange(first, first + len(block))
    return records


def _digest(block: list[Entry]) -> bytes:
    return blake2b("\0".join(text for entry in block for text in entry).encode(), digest_size=8).digest()
