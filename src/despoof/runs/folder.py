"""Writing files so that a kill or a full disk never leaves half of one."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from despoof.errors import ArtefactError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed over `path`.

    An interrupted writer leaves `path` as it was. Raises ArtefactError where the disk refuses.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}{path.suffix}.tmp")
        chosen.touch(exist_ok=False)  # with the permissions that the user's umask leaves
        temporary = chosen
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ArtefactError(
            f"could not write {path}: {error}. Expected a writable folder with free space; "
            "free some or choose another output path, then run the same command again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write a JSON document atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Read a JSON document; a missing or broken one is an ArtefactError."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(f"{path} does not exist. Run the command that writes it first.") from None
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({error}). Check the path and its permissions.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} is not valid JSON ({error}). Delete it and make it again.") from None
