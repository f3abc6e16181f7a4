"""What a worker does: rows of the manifest -> their verdicts as rows of a table. An error is a row, and never LIVE."""

import json
import stat
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from despoof.batch.manifest import is_clip, suffix_of
from despoof.batch.shards import Row, table
from despoof.clip.frame import container_of, read_clip
from despoof.clip.judge import judge_clip
from despoof.clip.rule import ClipRule
from despoof.data.image import MAX_BYTES
from despoof.data.place import filesystem, is_local
from despoof.errors import ArtefactError, ConfigError
from despoof.pipeline import Guard, load
from despoof.runs.config import to_dict
from despoof.runs.identity import Identity
from despoof.verdict import Decision

if TYPE_CHECKING:
    import pyarrow

AHEAD = 4  # files that are fetched while another is judged
LARGEST_CLIP = 2 * 2**30  # bytes of a clip that is fetched from elsewhere
LONGEST_ERROR = 500  # characters
COMPUTE = ("despoof", "numpy", "onnxruntime", "pillow", "pillow-heif", "av")


@dataclass(frozen=True)
class How:
    """What a worker needs to make its guard, as for `despoof.pipeline.load`."""

    weights: str = "default"
    engine: str = "auto"
    point: str | None = None
    profile: str | None = None
    device: str = "cpu"

    def guard(self) -> Guard:
        """Return the guard of this process, of one thread, made once."""
        return _guard(self)


def identity_of(guard: Guard, device: str) -> Identity:
    """Return everything that changes what is said of a file: weights, thresholds, preprocessing, versions."""
    packages = (*COMPUTE, *(name for name in ("torch", "openvino") if guard.engine_name.startswith(name)))
    config = {
        "thresholds": [guard.thresholds, guard.clip_thresholds],
        "profile": None if guard.profile is None else guard.profile.label,
        "preprocessing": guard.preprocessing,
        "engine": guard.engine_name,
        "device": device,
        "clips": to_dict(ClipRule()),
        "versions": {name: _version(name) for name in packages} | {"opencv": cv2.__version__},  # by several names
    }
    return Identity("score", json.loads(json.dumps(config)), parents=guard.weights)


def judge(how: How, wanted: str, rows: tuple[Row, ...]) -> "pyarrow.Table":
    """Return a table of what is said of each row, see `despoof.batch.shards.schema`.

    `wanted` is the identity of the job as JSON; a worker on a machine with other weights or versions is an
    ArtefactError, for its rows would be another job's.
    """
    guard = _fitting(how, wanted)
    return table((row, _judged(guard, row, fetched)) for row, fetched in _fetched(rows))


def error_values(error: BaseException) -> dict[str, Any]:
    """Return the values of a row that could not be scored. It has a decision, so that no filter lets it through."""
    said = f"{type(error).__name__}: {error}".encode(errors="replace").decode()
    return {"decision": Decision.NO_DECISION.value, "reasons": ["error"], "error": said[:LONGEST_ERROR]}


@cache
def _guard(how: How) -> Guard:
    return load(
        how.weights, engine=how.engine, point=how.point, profile=how.profile, device=how.device, threads=1
    )  # fmt: skip


@cache
def _fitting(how: How, wanted: str) -> Guard:
    guard = how.guard()
    identity_of(guard, how.device).require(json.loads(wanted), "the job")
    return guard


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _fetched(rows: tuple[Row, ...]) -> Iterator[tuple[Row, Future]]:
    """Yield each row with its file, of which a few are fetched ahead."""
    waiting: deque[tuple[Row, Future]] = deque()
    with ThreadPoolExecutor(AHEAD) as readers:
        for row in rows:
            waiting.append((row, readers.submit(_fetch, row.uri)))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _judged(guard: Guard, row: Row, fetched: Future) -> dict[str, Any]:
    temporary = None
    try:
        source, temporary, milliseconds = fetched.result()
        return _verdict(guard, row, source, {"read": milliseconds})
    except (ArtefactError, ConfigError):
        raise  # it is the job's, and would be every row's
    except Exception as error:  # whatever fsspec's file systems and decoders raise is one row's
        return error_values(error)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _verdict(guard: Guard, row: Row, source: bytes | Path, laps: dict[str, float]) -> dict[str, Any]:
    if _moves(source):
        started = time.perf_counter()
        verdict = judge_clip(guard, read_clip(source, ClipRule()))
        alone = verdict.faces[0] if len(verdict.faces) == 1 else None
        liveness, example = (None, None) if alone is None else (alone.liveness, alone.example)
        laps = laps | {"clip": (time.perf_counter() - started) * 1e3}
    else:
        verdict = example = guard.check(source)
        liveness, laps = verdict.liveness, laps | verdict.milliseconds
    return {
        "decision": verdict.decision.value,
        "liveness": liveness,
        "reasons": [reason.name for reason in verdict.reasons],
        "quality": None if example is None else example.quality or None,
        "milliseconds": laps,
    }


def pictures(how: How, wanted: str, row: Row) -> list[tuple[str, bytes]]:
    """Return pictures of what is judged in a file as (suffix of a name, PNG); none where nothing is."""
    guard = _fitting(how, wanted)
    try:
        source, temporary, _ = _fetch(row.uri)
    except (ArtefactError, ConfigError):
        raise
    except Exception:  # the source has vanished since it was scored, see `_judged`
        return []
    try:
        return _pictures(guard, source)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _pictures(guard: Guard, source: bytes | Path) -> list[tuple[str, bytes]]:
    from despoof.clip.timeline import save_timeline

    with tempfile.TemporaryDirectory() as folder:
        made, path = [], Path(folder) / "picture.png"
        if _moves(source):
            clip = judge_clip(guard, read_clip(source, ClipRule()))
            made.append(("-timeline", save_timeline(clip, path).read_bytes()))
            shown = [(f"-face-{number}", face.example) for number, face in enumerate(clip.faces)]
        else:
            shown = [("", guard.check(source))]
        for suffix, verdict in shown:
            if verdict is not None and verdict.face is not None:
                made.append((suffix, guard.with_counterpart(verdict).save_explanation(path).read_bytes()))
    return made


def _moves(source: bytes | Path) -> bool:
    return isinstance(source, Path) or container_of(source) is not None


def _fetch(uri: str) -> tuple[bytes | Path, Path | None, float]:
    """Return a photo's bytes or a clip's path, that path again if it is a copy to be removed, and milliseconds."""
    started = time.perf_counter()
    fs, path = filesystem(uri)
    local, temporary = is_local(fs), None
    if local and not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe or device could be read for ever
        raise OSError("no regular file; expected a photo or clip")
    source: bytes | Path
    if not is_clip(uri):
        with fs.open(path, "rb") as file:
            source = file.read(MAX_BYTES + 1)  # one more than a photo may have, which `check` says
    elif local:
        source = Path(path)
    else:
        source = temporary = _copied(fs, path, suffix_of(uri))
    return source, temporary, (time.perf_counter() - started) * 1e3


def _copied(fs: Any, path: str, suffix: str) -> Path:
    """Return a clip as a file of this machine; it is sought in, and may be too large for memory."""
    with fs.open(path, "rb") as given, tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as copy:
        try:
            while data := given.read(2**20):
                copy.write(data)
                if copy.tell() > LARGEST_CLIP:
                    raise OSError(f"more than {LARGEST_CLIP} bytes; expected a clip of at most that")
        except BaseException:
            Path(copy.name).unlink()
            raise
    return Path(copy.name)
