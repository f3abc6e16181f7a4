"""Files wherever fsspec reaches (on disk, s3://, gs://, https://, memory://), and what reads tables in them.

Elsewhere than on disk nothing can be locked, renamed or added to. What is written there is written whole, and who
writes several files writes last the one that names them.
"""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from despoof.errors import ArtefactError, ConfigError, DespoofError, InputError
from despoof.runs.folder import atomic_path


def filesystem(uri: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URI, and the path in it; one that needs more packages is a ConfigError."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ConfigError("fsspec is not installed. Run: pip install 'despoof[score]'") from None
    try:
        return url_to_fs(uri)
    except ImportError as error:
        raise ConfigError(f"{uri} cannot be read here: {error}. Extras of despoof: s3, gs, https.") from None
    except ValueError as error:
        raise InputError(f"{uri} cannot be read ({error}). Give a path, or a URI such as s3://bucket/key.") from None


def arrow() -> Any:
    """Return pyarrow with what reads and writes tables; a ConfigError without it."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.dataset
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("this needs pyarrow, not installed. Run: pip install 'despoof[parquet]'") from None
    return pyarrow


def uri_of(fs: Any, path: str) -> str:
    """Return an absolute local path as it is, and any other with its protocol."""
    return path if is_local(fs) else fs.unstrip_protocol(path)


def is_local(fs: Any) -> bool:
    """Say whether a file system is that of this machine."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


@dataclass(frozen=True)
class Remote:
    """A file or folder that is not on this machine's disks: as much of `pathlib.Path` as whole files need.

    Whatever its file system raises is an ArtefactError.
    """

    uri: str
    fs: Any
    path: str

    def __str__(self) -> str:
        """Return the URI."""
        return self.uri

    def __truediv__(self, name: str) -> "Remote":
        """Return what lies in the folder under a name."""
        return Remote(f"{self.uri}/{name}", self.fs, f"{self.path}/{name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def exists(self) -> bool:
        """Say whether the file is there."""
        with reached(self):
            return self.fs.exists(self.path)

    def glob(self, pattern: str) -> "list[Remote]":
        """Return the files right in the folder whose names match, in their order."""
        with reached(self):
            names = [path.rpartition("/")[2] for path in self.fs.glob(f"{self.path}/{pattern}")]
        return [self / name for name in sorted(names)]

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the text of the file."""
        with reached(self):
            return self.fs.cat_file(self.path).decode(encoding)

    def open(self) -> IO[bytes]:
        """Return the file to be read, each part of it by a request of its own and kept by none."""
        with reached(self):
            return self.fs.open(self.path, "rb", cache_type="none")

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        with reached(self):
            if not missing_ok or self.fs.exists(self.path):
                self.fs.rm_file(self.path)


def place(address: str | Path | Remote) -> Path | Remote:
    """Return a folder or file on disk as its path, and what is elsewhere as `Remote`."""
    if not isinstance(address, str) or "://" not in address:
        return Path(address) if isinstance(address, str) else address
    fs, path = filesystem(address)
    if is_local(fs):
        return Path(path)
    fs.invalidate_cache()  # of listings, which others may have made old
    return Remote(address.rstrip("/"), fs, path.rstrip("/"))


@contextmanager
def reached(where: Path | Remote) -> Iterator[None]:
    """Turn whatever a file system raises into an ArtefactError that names the file."""
    try:
        yield
    except DespoofError:
        raise
    except FileNotFoundError:
        raise ArtefactError(f"{where} does not exist. Check the address.") from None
    except Exception as error:  # those of S3, Google and the web are of no common kind
        raise ArtefactError(
            f"{where} cannot be reached ({type(error).__name__}: {error}). Check the address and your rights to it, "
            "then run the same command again."
        ) from error


def whole_file(where: Path | Remote) -> AbstractContextManager[Path]:
    """Yield a path on disk to write to; what lies there in the end appears at once as the file."""
    return atomic_path(where) if isinstance(where, Path) else _sent(where)


@contextmanager
def _sent(where: Remote) -> Iterator[Path]:
    with reached(where), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / where.name
        yield path
        where.fs.put_file(str(path), where.path)
