"""Where every ONNX model of the package is opened: by one thread unless more are asked for, and never calling home."""

import os
from pathlib import Path
from typing import Any

from despoof.errors import ArtefactError, ConfigError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def onnx_runtime() -> Any:
    """Return the module onnxruntime, imported without its telemetry; without it a ConfigError.

    From the import on it would keep a device id below the user's cache and look up its maker's host; its own
    `disable_telemetry_events` comes too late. Packages that import it are imported after a call of this.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:  # absent, or built for another system
        raise ConfigError(
            f"onnxruntime cannot be imported ({error}). Run: pip install --force-reinstall 'onnxruntime>=1.20'"
        ) from None
    return onnxruntime


def open_onnx(
    model: bytes | str | Path, *, threads: int = 1, where: str | Path | None = None, device: str = "cpu"
) -> Any:
    """Return a session for a file or its bytes; `threads` 0 leaves their number to the runtime.

    What is missing or no ONNX model is an ArtefactError that names it, or `where` it came from; a device (a key of
    `PROVIDERS`) that this runtime has not, or that it leaves for the processor, is a ConfigError.
    """
    name = where or ("the bytes" if isinstance(model, bytes) else model)
    if not isinstance(model, bytes) and not Path(model).is_file():
        raise ArtefactError(f"model file {name} is missing; expected an ONNX file. Give its path.")
    runtime = onnx_runtime()
    provider = PROVIDERS.get(device)
    if provider not in runtime.get_available_providers():
        raise ConfigError(
            f"device {device!r}; this onnxruntime has {', '.join(runtime.get_available_providers())}. Leave it out for "
            "the processor, or install onnxruntime-gpu for cuda."
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    given = model if isinstance(model, bytes) else str(model)
    try:
        session = runtime.InferenceSession(given, options, providers=[provider])
    except Exception as error:  # onnxruntime's errors share no public class
        raise ArtefactError(
            f"{name} is no ONNX model that onnxruntime {runtime.__version__} can open ({error}). Give one, or a newer "
            "runtime: pip install --upgrade onnxruntime"
        ) from None
    if session.get_providers()[0] != provider:  # the runtime goes on without a provider that fails
        raise ConfigError(
            f"device {device!r}: onnxruntime could not start {provider} and went back to {session.get_providers()[0]}. "
            "Mend its driver or libraries, or leave it out for the processor."
        )
    return session
