"""Where every ONNX model of the package is opened: by one thread unless more are asked for, and never calling home."""

import os
from pathlib import Path
from typing import Any

from despoof.errors import ArtefactError


def onnx_runtime() -> Any:
    """Return the module onnxruntime, imported without its telemetry.

    From the import on it would keep a device id below the user's cache and look up its maker's host; its own
    `disable_telemetry_events` comes too late. Packages that import it are imported after a call of this.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def open_onnx(model: bytes | str | Path, *, threads: int = 1, where: str | Path | None = None) -> Any:
    """Return a session on the processor for a file or its bytes; `threads` 0 leaves their number to the runtime.

    What is missing or no ONNX model is an ArtefactError that names it, or `where` it came from.
    """
    name = where or ("the bytes" if isinstance(model, bytes) else model)
    if not isinstance(model, bytes) and not Path(model).is_file():
        raise ArtefactError(f"model file {name} is missing; expected an ONNX file. Give its path.")
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    given = model if isinstance(model, bytes) else str(model)
    try:
        return runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public class
        raise ArtefactError(f"{name} is no ONNX model ({error}). Give the path of one.") from None
