"""Weights and the name of an engine -> that engine; the only place that knows them all."""

from pathlib import Path

from despoof.engine.by_onnx import DESCRIPTION, ENGINES, OnnxEngine, folder_of, must_be_of
from despoof.engine.engine import Engine
from despoof.errors import ArtefactError, ConfigError
from despoof.pair import PRESETS, files_of


def open_engine(
    which: str | Path = "default", name: str = "auto", *, device: str = "cpu", threads: int | None = None
) -> Engine:
    """Return the engine of that name for a preset or a folder of weights.

    "onnx", "openvino" and "openvino/bfloat16" open the export that lies beside the weights; "torch" the safetensors;
    "auto" is onnx where an export lies there, else torch. `threads` are of the processor: left out, OMP_NUM_THREADS or
    a few. What cannot be used is a ConfigError, what is missing or damaged an ArtefactError, each with the next step;
    no other engine is taken in its place.
    """
    if name not in ENGINES:
        raise ConfigError(
            f"engine {name!r}; expected one of {', '.join(ENGINES)}. An exported folder is given as the weights."
        )
    folder = folder_of(which)
    exported = (folder / DESCRIPTION).is_file()
    if which in PRESETS and not exported and not files_of(which)[1].is_file():
        raise ArtefactError(
            f"this installation holds no weights in {folder}; expected {DESCRIPTION} and judge.onnx. Install it again: "
            "pip install --force-reinstall --no-cache-dir despoof"
        )
    if name == "torch" or (name == "auto" and not exported):
        return _by_torch(which, folder, device, threads)
    if not exported:
        raise ArtefactError(f"no export lies in {folder}. Make one (despoof export), or use engine torch.")
    runtime, _, precision = name.replace("auto", "onnx").partition("/")
    engine = OnnxEngine(folder, runtime, threads=threads, precision=precision or "float32", device=device)
    must_be_of(engine, which)
    return engine


def _by_torch(which: str | Path, folder: Path, device: str, threads: int | None) -> Engine:
    try:
        from despoof.engine.by_torch import open_torch
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"weights in {folder} would be judged by torch, and {error.name} is not installed. Run: pip install "
            "'despoof[train]', or give weights with their export (despoof.json, judge.onnx); `pip install "
            "--force-reinstall despoof` brings those that ship."
        ) from None
    return open_torch(which, device=device, threads=threads)
