"""Exported folders at work: ONNX Runtime, or OpenVINO, in place of torch, which is not imported."""

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from despoof.detector.config import DetectorConfig
from despoof.engine.engine import Judged, Lap, Pictures, sound
from despoof.errors import ArtefactError, ConfigError
from despoof.pair import files_of
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import from_dict
from despoof.runs.folder import read_json
from despoof.runs.onnx import open_onnx
from despoof.runs.seed import content_noise

FORMAT = "despoof-export/3"
DESCRIPTION = "despoof.json"
JUDGE, EXPLAIN, FACES = "judge.onnx", "explain.onnx", "faces.onnx"
MOST_THREADS = 4  # networks of this size gain nothing from more
Precision = Literal["float32", "bfloat16"]
Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


class OnnxEngine:
    """See `Engine`: the graphs of one exported folder in one runtime. Pickled as its folder, which is opened again."""

    def __init__(
        self, folder: str | Path, runtime: str = "onnx", *, threads: int | None = None,
        precision: Precision = "float32", device: str = "cpu",
    ) -> None:  # fmt: skip
        """Open a folder that `despoof export` wrote.

        `runtime` is a key of `RUNTIMES`, "bfloat16" OpenVINO's alone and beyond the parity of float32. What is damaged
        or of another format is an ArtefactError: of what decides here, of what explains alone when it is first asked.
        """
        self._folder = Path(folder).resolve()
        self.description = read_description(self._folder, files=(JUDGE,))
        if runtime not in RUNTIMES or (precision == "bfloat16" and runtime != "openvino"):
            raise ConfigError(f"engine '{runtime}/{precision}'; expected {', '.join(ENGINES[1:])}. Name one of these.")
        if not installed(runtime):
            raise ConfigError(f"engine {runtime!r} is not installed. Run: pip install {INSTALL[runtime]}")
        if runtime not in self.description["parity"]:
            raise ConfigError(
                f"engine {runtime!r} was not there when {folder} was exported, so whether it judges alike is unknown. "
                "Export again with it installed: despoof export"
            )
        self._again = partial(OnnxEngine, folder, runtime, threads=threads, precision=precision, device=device)
        self.name, self.precision = runtime if precision == "float32" else f"{runtime}/{precision}", precision
        self.weights, self.facts = self.description["weights"], self.description["facts"]
        self.config = from_dict(DetectorConfig, self.description["detector"], DESCRIPTION)
        if self.config.uses_cue:
            require_file(self._folder, self.description, EXPLAIN)
        self._open = partial(RUNTIMES[runtime], threads=threads or usual_threads(), precision=precision, device=device)
        self._judge = self._open(self._folder / JUDGE)
        self._explain: Run | None = None

    def __reduce__(self) -> tuple:
        return self._again, ()

    def judge(self, faces: np.ndarray, surroundings: np.ndarray | None, lap: Lap) -> Judged:
        """See `Engine`."""
        given, pictures = {"face": faces}, None
        if self.config.uses_surroundings:
            given["surroundings"] = surroundings
        if self.config.uses_cue:
            pictures = self._made(faces)
            given["cue"] = pictures.cue
            lap("generator")
        liveness, *more = self._run(self._judge, given)
        for each in pictures or ():
            liveness = liveness if each is None else np.where(sound(each), liveness, np.nan)
        lap("detector")
        return Judged(liveness, pictures, *more)

    def explain(self, faces: np.ndarray) -> Pictures | None:
        """See `Engine`."""
        if EXPLAIN not in self.description["files"]:
            return None
        pictures = self._made(faces)
        if not all(sound(each).all() for each in pictures if each is not None):
            raise ArtefactError(f"{self._folder / EXPLAIN} gave no numbers for a picture. Export again.")
        return pictures

    def configs(self) -> dict:
        """See `Engine`."""
        return {name: self.description[name] for name in ("detector", "generator")}

    def attention(self, faces: np.ndarray, cues: np.ndarray) -> np.ndarray | None:
        """See `Engine`; no graph holds it."""
        if self.config.attends:
            raise ConfigError(f"engine {self.name!r} cannot say where the detector looks. Use engine torch.")
        return None

    def _made(self, faces: np.ndarray) -> Pictures:
        if self._explain is None:
            require_file(self._folder, self.description, EXPLAIN)
            self._explain = self._open(self._folder / EXPLAIN)
        given = {"face": faces}
        if (shape := self.description["noise"]) is not None:
            given["noise"] = np.stack([content_noise(np.moveaxis(face, -1, 0), shape) for face in faces])
        counterpart, cue, *more = self._run(self._explain, given)
        return Pictures(counterpart, cue, *more or (None,))

    def _run(self, run: Run, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return run(given)
        except Exception as error:  # runtimes' errors share no public class
            others = ", ".join(name for name in ENGINES if name != self.name)
            raise ConfigError(f"engine {self.name!r} failed ({error}). Use another of {others}.") from error


def read_description(folder: str | Path, *, files: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the checked `despoof.json` of an exported folder, with `files` of it, all if left out, hashed anew."""
    folder = Path(folder)
    description = read_json(folder / DESCRIPTION)
    missing = {"format", "files", "weights", "detector", "generator", "facts", "parity", "noise"} - set(description)
    if missing or description["format"] != FORMAT:
        raise ArtefactError(f"{folder / DESCRIPTION} is no {FORMAT} (lacks {sorted(missing)}). Export again.")
    for name in {JUDGE: None, **description["files"]} if files is None else files:
        require_file(folder, description, name)
    return description


def require_file(folder: Path, description: dict[str, Any], name: str) -> None:
    """Raise ArtefactError unless a file of an exported folder is the one that passed parity."""
    wanted = description["files"].get(name)
    if not (folder / name).is_file() or file_hash(folder / name) != wanted:
        raise ArtefactError(
            f"{folder / name} is missing or not the file that passed parity ({wanted}). Install again or export again: "
            "despoof export"
        )


def folder_of(which: str | Path) -> Path:
    """Return where the export of a preset's or a folder's weights lies: beside them."""
    return files_of(which)[1].parent


def must_be_of(engine: OnnxEngine, which: str | Path) -> None:
    """Raise ArtefactError if an export lies beside other weights than those that it was made from."""
    for part, file in zip(("generator", "detector"), files_of(which), strict=True):
        wanted = engine.weights.get(part)
        if wanted is not None and file.is_file() and file_hash(file) != wanted:
            raise ArtefactError(
                f"{file} is not the file that the export beside it was made from ({wanted}). Export again (despoof "
                "export) or use engine torch."
            )


def usual_threads() -> int:
    """Return OMP_NUM_THREADS, or as many as the processor has, up to `MOST_THREADS`."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else min(os.cpu_count() or 1, MOST_THREADS)


def installed(runtime: str) -> bool:
    """Return whether a runtime can be imported."""
    return importlib.util.find_spec(PACKAGES.get(runtime, runtime)) is not None


def _openvino(model: Path, *, threads: int, precision: Precision, device: str) -> Run:
    import openvino

    if device != "cpu":
        raise ConfigError(f"device {device!r} with openvino, which is used for the processor. Leave out one of them.")
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": str(threads),
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", options)

    def run(given: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = compiled(given)
        return [found[i].copy() for i in range(len(compiled.outputs))]

    return run


def _onnxruntime(model: Path, *, threads: int, precision: Precision, device: str) -> Run:
    session = open_onnx(model, threads=threads, device=device)
    return lambda given: session.run(None, given)


RUNTIMES: dict[str, Callable[..., Run]] = {"onnx": _onnxruntime, "openvino": _openvino}
PACKAGES = {"onnx": "onnxruntime"}
INSTALL = {"onnx": "'onnxruntime>=1.20'", "openvino": "'despoof[export]'"}
ENGINES = ("auto", *RUNTIMES, "openvino/bfloat16", "torch")
