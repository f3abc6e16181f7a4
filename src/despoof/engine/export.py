"""Weights -> a folder that runs without torch: the graph, the face detector, and a JSON of everything else."""

import importlib.metadata
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from despoof.detector.network import Detector
from despoof.engine.graph import JudgeGraph
from despoof.engine.runtime import DESCRIPTION, FORMAT, RUNTIMES, installed, open_engine
from despoof.errors import ArtefactError, ConfigError
from despoof.faces.align import TEMPLATE, align, shrink
from despoof.faces.detect import retinaface_onnx
from despoof.faces.scene import look
from despoof.faces.surroundings import SCALES, surroundings
from despoof.generator.generator import Generator
from despoof.points import points_of
from despoof.runs.checkpoint import file_hash
from despoof.runs.folder import write_json
from despoof.runs.seed import item_rng

OPSET = 18
TOLERANCE = 1e-3  # largest difference of liveness between torch and a runtime
To = Literal["onnx", "openvino"]


def export(
    generator: Generator | None, detector: Detector, out: str | Path, *, weights: dict[str, str], to: To = "onnx"
) -> dict[str, float]:
    """Write `out` and return the largest difference of liveness by runtime.

    A runtime that differs by more than `TOLERANCE` fails the export, which then leaves nothing behind.
    """
    out = Path(out)
    if out.exists():
        raise ArtefactError(f"{out} exists. Name a folder that does not, or delete this one.")
    if missing := [name for name in ("onnx", "onnxscript") if not installed(name)]:
        raise ConfigError(f"{', '.join(missing)} not installed. Run `pip install 'despoof[export]'`.")
    whole = JudgeGraph(generator, detector).eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
        made = Path(name) / "made"
        made.mkdir()
        model = _write_model(whole, made, to)
        files = {path.name: file_hash(path) for path in sorted(made.iterdir())}
        description = _description(whole, weights, model) | {"files": files}
        description |= {"parity": dict.fromkeys(_runtimes(to), TOLERANCE)}
        write_json(made / DESCRIPTION, description)
        description["parity"] = found = parity(whole, made)
        write_json(made / DESCRIPTION, description)
        (made / "faces.onnx").write_bytes(retinaface_onnx())
        made.rename(out)
    return found


def parity(whole: JudgeGraph, folder: str | Path) -> dict[str, float]:
    """Return the largest difference of liveness from torch by installed runtime; beyond tolerance it raises."""
    given = trial_inputs(whole, 8)
    with torch.inference_mode():
        wanted = whole(**{name: torch.from_numpy(array) for name, array in given.items()})[0].numpy()
    found = {}
    for runtime in _runtimes("onnx" if (Path(folder) / "model.onnx").is_file() else "openvino"):
        liveness = open_engine(folder, runtime)(**given).liveness
        found[runtime] = difference = float(np.abs(liveness - wanted).max())
        if not difference <= TOLERANCE:  # NaN fails
            raise ArtefactError(
                f"{runtime} differs from torch by {difference:.2g} of liveness; expected at most {TOLERANCE}. "
                "Try another version of it, or use torch."
            )
    return found


def _runtimes(to: To) -> list[str]:
    """Return the installed runtimes that read a format; OpenVINO reads both."""
    readers = RUNTIMES if to == "onnx" else ("openvino",)
    return [name for name in readers if installed(name)]


def trial_inputs(whole: JudgeGraph, count: int) -> dict[str, np.ndarray]:
    """Return the graph's inputs by name: a portrait in seeded light, and in turn with it what no camera shows.

    What is judged by nearness to faces is the same for all that is far from any, so random pictures alone tell nothing.
    """
    side, around = whole.detector.config.face_size, whole.surroundings_shape
    given = {"face": np.stack([_picture(number, "face", side) for number in range(count)])}
    if (shape := whole.noise_shape) is not None:
        given["noise"] = item_rng("parity noise").standard_normal((count, *shape), np.float32)
    if around is not None:
        views = [[_picture(number, view, around[1]) for view in ("near", "far")] for number in range(count)]
        given["surroundings"] = np.stack([np.stack(each) for each in views])
    return given


def _picture(number: int, view: str, side: int) -> np.ndarray:
    if number % 2 == 0:
        light = item_rng("parity light", number).uniform(0.5, 1.1, 3)
        pixels = shrink(_portrait()[view], side) * light
    elif number == 1:
        pixels = np.broadcast_to(np.linspace(0, 255, side)[:, None, None], (side, side, 3))
    else:
        draw = item_rng("parity", view, number)
        coarse = draw.uniform(0, 255, (4, 4, 3)).repeat(side // 4, 0).repeat(side // 4, 1)
        pixels = coarse + draw.normal(0, 20, coarse.shape)
    return np.clip(pixels, 0, 255).round().astype(np.uint8)


@cache
def _portrait() -> dict[str, np.ndarray]:
    """Return face, near and far of Eileen Collins, NASA, public domain."""
    from skimage.data import astronaut

    scene = look(astronaut())
    near, far = surroundings(scene.image, scene.faces[0].box)
    return {"face": align(scene.image, scene.faces[0].landmarks), "near": near, "far": far}


def _write_model(whole: JudgeGraph, folder: Path, to: To) -> str:
    trial = trial_inputs(whole, 2)  # two, since a batch of one would be taken for fixed
    given = {name: torch.from_numpy(array) for name, array in trial.items()}
    outputs = ["liveness", "counterpart", "cue"] if "noise" in given else ["liveness"]
    count = torch.export.Dim("count", min=1, max=4096)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, which nothing here uses
        torch.onnx.export(
            whole, (), str(folder / "model.onnx"), kwargs=given, input_names=list(given), output_names=outputs,
            dynamic_shapes={name: {0: count} for name in given}, opset_version=OPSET,
            dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    if to == "onnx":
        return "model.onnx"
    if not installed("openvino"):
        raise ConfigError("openvino is not installed. Run `pip install 'despoof[export]'`, or use --to onnx.")
    import openvino

    openvino.save_model(openvino.Core().read_model(folder / "model.onnx"), folder / "model.xml", compress_to_fp16=False)
    (folder / "model.onnx").unlink()
    return "model.xml"


def _description(whole: JudgeGraph, weights: dict[str, str], model: str) -> dict:
    low, high = whole.detector.thresholds
    precision = whole.detector.facts["thresholds"].get("precision", "float32")
    return {
        "format": FORMAT,
        "model": model,
        "face_detector": "faces.onnx",
        "weights": weights,
        "face_size": whole.detector.config.face_size,
        "face": "uint8 (N, S, S, 3) RGB, aligned: left eye, right eye, nose, mouth corners at template x side",
        "template": np.asarray(TEMPLATE).tolist(),
        "noise": whole.noise_shape,
        "surroundings": whole.surroundings_shape,
        "scales": SCALES,
        "thresholds": {"attack_below": low, "live_from": high, "precision": precision},
        "points": {
            name: dict(zip(("attack_below", "live_from"), point.thresholds, strict=True))
            for name, point in points_of(whole.detector).items()
        },
        "licence": whole.detector.facts.get("licence", "not stated by the weights"),
        "opset": OPSET,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "onnx", "onnxscript")}
        | {name: importlib.metadata.version(name) for name in RUNTIMES if installed(name)},
    }
