"""Writing files so that a kill or a full disk never leaves half of one, nor two processes a mixture."""

import functools
import inspect
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from despoof.errors import ArtefactError

if TYPE_CHECKING:
    from filelock import BaseFileLock

P = ParamSpec("P")
R = TypeVar("R")
LOCK = "in-use.lock"
PATIENCE = 10.0  # seconds: workers that a fork made notice within five that their parent was killed, and hold its lock


class Text(Protocol):
    """What has a text, as files have."""

    def read_text(self, encoding: str) -> str: ...


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


@contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Let no other run write to a folder; within this process it may be asked for again.

    Of several processes of one run, which a launcher numbers in RANK, the first holds it for all. A folder that is made
    for this and stays empty because of an error is removed. Raises ArtefactError
    where another run has it and keeps it, or where the folder cannot be written to. The system frees the lock of a
    killed process.
    """
    if int(os.environ.get("RANK", 0)):
        yield
        return
    from filelock import Timeout

    path = Path(folder).resolve() / LOCK
    new = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise ArtefactError(
            f"another process works in {folder}; expected this one alone. Wait until it has ended, then run the same "
            "command again, or choose another folder."
        ) from None
    except (OSError, NotImplementedError) as error:
        raise ArtefactError(
            f"{folder} cannot be written to or locked ({error}). Expected a writable folder on a disk that has locks. "
            "Choose another folder."
        ) from None
    try:
        yield
    except BaseException:
        if new and [each.name for each in path.parent.iterdir()] == [LOCK]:  # refused before any work
            path.unlink()
            path.parent.rmdir()
        raise
    finally:
        lock.release()


def alone_in_folder(work: Callable[P, R]) -> Callable[P, R]:
    """Decorate what works in its parameter `folder`: it is `held` meanwhile."""
    signature = inspect.signature(work)

    @functools.wraps(work)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with held(signature.bind(*args, **kwargs).arguments["folder"]):
            return work(*args, **kwargs)

    return alone


@functools.cache
def _lock(path: Path) -> "BaseFileLock":
    from filelock import FileLock

    return FileLock(path, thread_local=False)


def remove_left(folder: str | Path, pattern: str = "*", *, age: float = 0) -> None:
    """Remove what killed writers left half-written right in a folder, of files whose names `pattern` matches.

    Without an `age` in seconds the folder must be `held`; with one, what is younger is taken for another writer's.
    """
    for left in Path(folder).glob(f".{pattern}.tmp"):
        try:
            if time.time() - left.stat().st_mtime >= age:
                left.unlink()
        except FileNotFoundError:  # its writer has ended
            continue


def write_text(path: str | Path, text: str) -> None:
    """Write text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write a JSON document atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: "str | Path | Text") -> dict:
    """Read a JSON document; a missing or broken one is an ArtefactError."""
    try:
        return json.loads((Path(path) if isinstance(path, str) else path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(f"{path} does not exist. Run the command that writes it first.") from None
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({error}). Check the path and its permissions.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} is not valid JSON ({error}). Delete it and make it again.") from None
