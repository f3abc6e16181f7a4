"""`despoof export`: weights -> files that judge without torch, checked against it; or a page for browsers."""

from pathlib import Path
from typing import Literal


def export(
    out: Path | None = None, *, to: Literal["onnx", "web"] = "onnx", weights: str = "default",
    runtime_from: Path | None = None,
) -> None:  # fmt: skip
    """Write judge.onnx, explain.onnx, faces.onnx and despoof.json; fails where a runtime judges otherwise than torch.

    Args:
        out: folder to write to. Left out, the one of the weights, which `despoof.load` and all commands then judge by
            these files.
        to: web is a page that judges in the browser, for any server of files, made from the export beside the weights.
        weights: a preset's name, or a folder with generator.safetensors and detector.safetensors.
        runtime_from: for web, the tarball of ONNX Runtime Web; left out, npm fetches it.
    """
    from despoof.engine.by_onnx import folder_of
    from despoof.errors import ConfigError

    if to == "onnx":
        from despoof.engine.by_torch import open_torch
        from despoof.engine.export import export as run

        out = out or folder_of(weights)
        for runtime, difference in run(open_torch(weights), out).items():
            print(f"{runtime:12} differs from torch by {difference:.1e} of liveness at most")
    else:
        from despoof.web.export import export_web

        if out is None:
            raise ConfigError(
                "no folder is named, and a page has no usual place. Name one: despoof export OUT --to web"
            )
        export_web(folder_of(weights), out, runtime_from=runtime_from)
    for path in sorted(each for each in out.rglob("*") if each.suffix in (".onnx", ".wasm", ".js")):
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")
