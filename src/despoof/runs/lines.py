"""A file of JSON lines that grows while a long command runs: whose they are in the first, then one for each item.

A line is written at once and whole or not at all, as far as a reader can tell: what a kill left torn is cut off.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from despoof.errors import ArtefactError
from despoof.runs.folder import write_text
from despoof.runs.identity import Identity


def kept_lines(path: Path, identity: Identity) -> list[Any]:
    """Return what was written before, and begin the file where there is none; another run's is an ArtefactError."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")] or [json.dumps(identity.as_dict()) + "\n"]
    identity.require(json.loads(whole[0]), path)
    if whole != lines:
        write_text(path, "".join(whole))
    return [json.loads(line) for line in whole[1:]]


def add_lines(path: Path, values: Iterable[Any]) -> None:
    """Append a line for each value; a disk that refuses is an ArtefactError."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(value) + "\n" for value in values))
    except OSError as error:
        raise ArtefactError(f"could not write {path}: {error}. Free some space, then run again.") from error
