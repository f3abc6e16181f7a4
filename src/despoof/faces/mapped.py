"""Arrays too large for memory: made once, chunk by chunk, in a folder of a run; read by many processes as one copy.

FOLDER/done.json    whose they are, and how many chunks are whole
FOLDER/NAME.npy     memory-mapped: the system holds in memory what is read often, and gives it back when asked
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from despoof.errors import ArtefactError
from despoof.runs.folder import read_json, write_json
from despoof.runs.progress import track

CHUNK = 64  # items


def mapped(
    folder: str | Path,
    label: str,
    count: int,
    make: Callable[[slice], dict[str, np.ndarray]],
    *,
    title: str,
    chunk: int = CHUNK,
) -> dict[str, np.memmap]:
    """Return arrays by name, whose rows `make` gives for slices of `count` items (at least one), some for each item.

    A killed making goes on; what a run of another label left in the folder is made again. One process may make, others
    come when it is done. A disk that is full is an ArtefactError before the first chunk.
    """
    folder = Path(folder)
    done_file = folder / "done.json"
    held = read_json(done_file) if done_file.is_file() else {}
    done = held["chunks"] if held.get("run") == label else 0
    maps = _opened(folder, "r+") if done else {}
    starts = range(0, count, chunk)
    for number in track(range(done, len(starts)), title, len(starts) - done):
        span = slice(starts[number], min(starts[number] + chunk, count))
        made = make(span)
        if not maps:
            maps = {name: _created(folder / f"{name}.npy", count, span, part) for name, part in made.items()}
        for name, part in made.items():
            each = len(part) // (span.stop - span.start)
            maps[name][each * span.start : each * span.stop] = part
            maps[name].flush()
        write_json(done_file, {"run": label, "chunks": number + 1})
    return _opened(folder, "r")


def _opened(folder: Path, mode: str) -> dict[str, np.memmap]:
    return {path.stem: np.load(path, mmap_mode=mode) for path in sorted(folder.glob("*.npy"))}


def _created(path: Path, count: int, span: slice, part: np.ndarray) -> np.memmap:
    """Return a file for all rows, whose place on the disk is taken at once: a map that finds none kills its process."""
    rows = len(part) // (span.stop - span.start) * count
    size = rows * part[0].nbytes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # another run's, which its processes may still read
        array = np.lib.format.open_memmap(path, "w+", part.dtype, (rows, *part.shape[1:]))
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array
    except OSError as error:
        raise ArtefactError(
            f"could not make {path} of {size / 1e9:.2g} GB: {error}. Expected a writable folder with that much space; "
            "free some or choose another, then run the same command again."
        ) from error
