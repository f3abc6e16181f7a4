"""`despoof export`: weights -> a folder for ONNX Runtime, OpenVINO or the browser, checked against torch."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from despoof.pipeline import Guard


def export(
    out: Path | None = None,
    *,
    to: Literal["onnx", "openvino", "web"] = "onnx",
    weights: str = "default",
    runtime_from: Path | None = None,
) -> None:
    """Write the way after detection as one graph, the face detector and despoof.json; fails where parity fails.

    Args:
        out: folder to make; it must not exist. Left out, the one in the user's cache where check, serve and
            `despoof.load` look by themselves.
        to: format of the graph. OpenVINO reads both. web is a page that judges in the browser, for any server of files.
        weights: a preset's name, or a folder with generator.safetensors and detector.safetensors.
        runtime_from: for web, the tarball of ONNX Runtime Web; left out, npm fetches it.
    """
    from despoof.engine.runtime import usual_folder
    from despoof.errors import ConfigError
    from despoof.pipeline import load
    from despoof.web.export import export_web

    guard = load(weights, engine="torch")
    out = out or (None if to == "web" else usual_folder(guard.weights))
    if out is None:
        raise ConfigError("no folder is named, and this one has no usual place. Name one: despoof export OUT")
    if to != "web":
        _graph(guard, out, to)
    else:
        with tempfile.TemporaryDirectory() as folder:
            models = Path(folder) / "models"
            _graph(guard, models, "onnx")
            export_web(models, out, runtime_from=runtime_from)
    for path in sorted(each for each in out.rglob("*") if each.is_file()):
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")


def _graph(guard: "Guard", out: Path, to: Literal["onnx", "openvino"]) -> None:
    from despoof.engine.export import export as run

    for runtime, difference in run(guard.generator, guard.detector, out, weights=guard.weights, to=to).items():
        print(f"{runtime:12} differs from torch by {difference:.1e} of liveness at most")
