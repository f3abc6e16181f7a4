"""Exported folders at work: ONNX Runtime or OpenVINO in place of torch."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from despoof.errors import ArtefactError, ConfigError
from despoof.runs.checkpoint import file_hash
from despoof.runs.folder import read_json
from despoof.runs.onnx import open_onnx

FORMAT = "despoof-export/2"
DESCRIPTION = "despoof.json"
Precision = Literal["float32", "bfloat16"]
Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


class Judged(NamedTuple):
    """`liveness` (N,); `counterpart` and `cue` (N, 3, S, S), None where the detector takes no cue."""

    liveness: np.ndarray
    counterpart: np.ndarray | None
    cue: np.ndarray | None


class Engine:
    """One exported model in one runtime. Made by `open_engine`; pickled as its folder, which is then opened again."""

    def __init__(
        self, folder: Path, description: dict, runtime: str, threads: int | None, precision: Precision
    ) -> None:
        self.description, self.precision = description, precision
        self.name = runtime if precision == "float32" else f"{runtime}/{precision}"
        self._opened = partial(open_engine, folder, runtime, threads=threads, precision=precision)
        self._run = RUNTIMES[runtime](folder / description["model"], threads, precision)

    def __reduce__(self) -> tuple:
        return self._opened, ()

    def __call__(
        self, face: np.ndarray, noise: np.ndarray | None = None, surroundings: np.ndarray | None = None
    ) -> Judged:
        """Judge faces (N, S, S, 3) uint8, where the description asks for them with noise (N, C, h, w) float32 and
        surroundings (N, 2, R, R, 3) uint8.
        """
        given = {"face": face, "noise": noise, "surroundings": surroundings}
        given = {name: array for name, array in given.items() if array is not None}
        found = self._run(given)
        return Judged(found[0], *found[1:]) if noise is not None else Judged(found[0], None, None)


def open_engine(
    folder: str | Path,
    runtime: str | None = None,
    *,
    threads: int | None = None,
    precision: Precision = "float32",
    weights: dict[str, str] | None = None,
) -> Engine:
    """Open a folder that `despoof export` wrote.

    `runtime` is a key of `RUNTIMES`; left out, the fastest that is installed and passed parity. `bfloat16` is
    OpenVINO's and leaves the parity of float32. `weights` are the hashes that the caller has; a folder made from
    others is refused.
    """
    description = read_description(folder)
    if weights is not None and description["weights"] != weights:
        raise ArtefactError(f"{folder} was made from {description['weights']}, now in use: {weights}. Export again.")
    usable = [name for name in RUNTIMES if name in description["parity"] and installed(name)]
    runtime = runtime or (usable[0] if usable else None)
    if runtime not in usable:
        raise ConfigError(
            f"runtime {runtime!r}; installed and in parity for {folder} are {', '.join(usable) or 'none'}. "
            "Install one (pip install 'despoof[export]') or export again."
        )
    if precision == "bfloat16" and runtime != "openvino":
        raise ConfigError(f"precision 'bfloat16' with {runtime}; only openvino has it. Use float32.")
    return Engine(Path(folder).resolve(), description, runtime, threads, precision)


def read_description(folder: str | Path) -> dict:
    """Return the checked `despoof.json` of an exported folder."""
    description = read_json(Path(folder) / DESCRIPTION)
    missing = {"format", "model", "files", "weights", "parity", "noise", "surroundings", "face_size"} - set(description)
    if missing or description["format"] != FORMAT:
        raise ArtefactError(f"{folder}/{DESCRIPTION} is no {FORMAT} (lacks {sorted(missing)}). Export again.")
    for name, wanted in description["files"].items():
        path = Path(folder) / name
        if not path.is_file() or file_hash(path) != wanted:
            raise ArtefactError(f"{path} is missing or not the file that passed parity ({wanted}). Export again.")
    return description


def usual_folder(weights: dict[str, str]) -> Path | None:
    """Return where `despoof export` puts the graph of these weights, and where `load` looks; None without a home.

    Its name holds the versions of the installed runtimes: parity was passed by them, not by the next ones.
    """
    versions = {name: _version(name) for name in RUNTIMES if installed(name)}
    key = json.dumps([FORMAT, weights, versions], sort_keys=True).encode()
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # an account without a home
        return None
    return cache / "despoof" / "exported" / hashlib.blake2b(key, digest_size=8).hexdigest()


def _version(runtime: str) -> str:
    try:
        return importlib.metadata.version(runtime)
    except importlib.metadata.PackageNotFoundError:  # installed by other means than a package
        return "unknown"


def installed(runtime: str) -> bool:
    """Return whether a runtime can be imported."""
    return importlib.util.find_spec(runtime) is not None


def _openvino(model: Path, threads: int | None, precision: Precision) -> Run:
    import openvino

    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
    }
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", options)

    def run(given: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = compiled(given)
        return [found[i].copy() for i in range(len(compiled.outputs))]

    return run


def _onnxruntime(model: Path, threads: int | None, precision: Precision) -> Run:
    session = open_onnx(model, threads=threads or 0)
    return lambda given: session.run(None, given)


# From the fastest in float32 at one face; benchmarks/engines.py
RUNTIMES: dict[str, Callable[[Path, int | None, Precision], Run]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
