"""`despoof export`: weights -> a folder for ONNX Runtime or OpenVINO, checked against torch."""

from pathlib import Path
from typing import Literal


def export(out: Path | None = None, *, to: Literal["onnx", "openvino"] = "onnx", weights: str = "default") -> None:
    """Write the way after detection as one graph, the face detector and despoof.json; fails where parity fails.

    Args:
        out: folder to make; it must not exist. Left out, the one in the user's cache where check, serve and
            `despoof.load` look by themselves.
        to: format of the graph. OpenVINO reads both.
        weights: a preset's name, or a folder with generator.safetensors and detector.safetensors.
    """
    from despoof.engine.export import export as run
    from despoof.engine.runtime import usual_folder
    from despoof.errors import ConfigError
    from despoof.pipeline import load

    guard = load(weights, engine="torch")
    out = out or usual_folder(guard.weights)
    if out is None:
        raise ConfigError("this account has no home folder to keep an export in. Name a folder: despoof export OUT")
    for runtime, difference in run(guard.generator, guard.detector, out, weights=guard.weights, to=to).items():
        print(f"{runtime:12} differs from torch by {difference:.1e} of liveness at most")
    for path in sorted(out.iterdir()):
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")
