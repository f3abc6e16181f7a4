"""Weights -> files that judge without torch: two graphs, the face detector, and a JSON of everything else."""

import importlib.metadata
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from despoof.data.portrait import portrait
from despoof.engine.by_onnx import (
    DESCRIPTION,
    EXPLAIN,
    FACES,
    FORMAT,
    JUDGE,
    PACKAGES,
    RUNTIMES,
    OnnxEngine,
    installed,
)
from despoof.engine.by_torch import TorchEngine
from despoof.engine.engine import Judged
from despoof.engine.graph import ExplainGraph, JudgeGraph
from despoof.engine.quick import quick
from despoof.engine.storage import Kind, stored_small
from despoof.errors import ArtefactError, ConfigError
from despoof.faces.align import TEMPLATE, align, shrink
from despoof.faces.detect import retinaface_onnx
from despoof.faces.scene import look
from despoof.faces.surroundings import SCALES, surroundings
from despoof.generator.diffusion import OneStep
from despoof.points import points_of, thresholds_of
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import to_dict
from despoof.runs.folder import write_json
from despoof.runs.seed import item_rng

OPSET = 18
TOLERANCE = 1e-3  # largest difference of liveness between torch and a runtime
TRIALS = 8  # pictures that parity is tried on
REQUIRED = ("onnx", "onnxscript", "onnxruntime")


def export(engine: TorchEngine, out: str | Path) -> dict[str, float]:
    """Write the export of an engine's weights into a folder, and return the largest difference of liveness by runtime.

    Files of an export that lie there are replaced, once all of the new one are made and judge as torch does; a runtime
    that differs by more than `TOLERANCE` fails it, and leaves the folder as it was.
    """
    out = Path(out)
    if missing := [name for name in REQUIRED if not installed(name)]:
        raise ConfigError(f"{', '.join(missing)} not installed. Run `pip install 'despoof[export,train]'`.")
    thresholds_of(engine.facts)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as name:
        made = Path(name)
        judge = JudgeGraph(quick(engine.detector)).eval()
        given = trial_inputs(judge, 2)  # two, since a batch of one would be taken for fixed
        if engine.config.uses_cue:
            given["cue"] = item_rng("trial cue").standard_normal((2, 3, *given["face"].shape[1:3]), np.float32)
        write_graph(judge, given, judge.outputs, made / JUDGE)
        explain = None
        if engine.config.uses_cue or isinstance(engine.generator, OneStep):
            explain = ExplainGraph(engine.generator, engine.detector, engine.departure).eval()
            given = {"face": given["face"]}
            if explain.noise_shape is not None:
                given["noise"] = item_rng("trial noise").standard_normal((2, *explain.noise_shape), np.float32)
            kind = "float16" if engine.config.uses_cue else "int8"  # what is only shown may be off by a grey level
            write_graph(explain, given, explain.outputs, made / EXPLAIN, kind)
        (made / FACES).write_bytes(retinaface_onnx())
        description = _description(engine, judge, explain)
        description["files"] = {path.name: file_hash(path) for path in sorted(made.iterdir())}
        write_json(made / DESCRIPTION, description | {"parity": dict.fromkeys(filter(installed, RUNTIMES), None)})
        found = description["parity"] = parity(engine, made)
        write_json(made / DESCRIPTION, description)
        for path in (*description["files"], DESCRIPTION):  # whoever loads in between finds files of another hash
            (made / path).replace(out / path)
    return found


def parity(engine: TorchEngine, folder: str | Path) -> dict[str, float]:
    """Return the largest difference of liveness from torch by installed runtime; beyond tolerance it raises."""
    given = trial_inputs(JudgeGraph(engine.detector), TRIALS)
    inputs = given["face"], given.get("surroundings")
    wanted = engine.judge(*inputs, lambda name: None).liveness
    found = {}
    for runtime in filter(installed, RUNTIMES):
        opened = OnnxEngine(folder, runtime)
        judged: Judged = opened.judge(*inputs, lambda name: None)
        opened.explain(given["face"][:1])  # a graph whose batch the exporter fixed fails here
        found[runtime] = difference = float(np.abs(judged.liveness - wanted).max())
        if not difference <= TOLERANCE:  # NaN fails
            raise ArtefactError(
                f"{runtime} differs from torch by {difference:.2g} of liveness; expected at most {TOLERANCE}. "
                "Try another version of it, or use torch."
            )
    return found


def trial_inputs(judge: JudgeGraph, count: int) -> dict[str, np.ndarray]:
    """Return faces, and surroundings where the graph takes them: a portrait in seeded light, in turn with what no
    camera shows.

    What is judged by nearness to faces is the same for all that is far from any, so random pictures alone tell nothing.
    """
    side, around = judge.detector.config.face_size, judge.surroundings_shape
    given = {"face": np.stack([_picture(number, "face", side) for number in range(count)])}
    if around is not None:
        views = [[_picture(number, view, around[1]) for view in ("near", "far")] for number in range(count)]
        given["surroundings"] = np.stack([np.stack(each) for each in views])
    return given


def write_graph(
    whole: torch.nn.Module, given: dict[str, np.ndarray], outputs: tuple[str, ...], path: Path, kind: Kind = "float16"
) -> None:
    """Write a module as one ONNX file, for any number of pictures; `given` are inputs by name, `kind` weights'."""
    import onnx

    count = torch.export.Dim("count", min=1, max=4096)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, which nothing here uses
        # Optimised, so that batch norms are folded before weights are stored in fewer bits: ONNX Runtime folds none
        # into a weight that is still to be made float32, and a check would take a third longer.
        program = torch.onnx.export(
            whole, (), kwargs={name: torch.from_numpy(array) for name, array in given.items()},
            input_names=list(given), output_names=list(outputs), dynamic_shapes={name: {0: count} for name in given},
            opset_version=OPSET, dynamo=True, optimize=True, verbose=False,
        )  # fmt: skip
    model = program.model_proto
    stored_small(model, kind)
    onnx.save(model, path)


def _picture(number: int, view: str, side: int) -> np.ndarray:
    if number % 2 == 0:
        light = item_rng("parity light", number).uniform(0.5, 1.1, 3)
        pixels = shrink(_views()[view], side) * light
    elif number == 1:
        pixels = np.broadcast_to(np.linspace(0, 255, side)[:, None, None], (side, side, 3))
    else:
        draw = item_rng("parity", view, number)
        coarse = draw.uniform(0, 255, (4, 4, 3)).repeat(side // 4, 0).repeat(side // 4, 1)
        pixels = coarse + draw.normal(0, 20, coarse.shape)
    return np.clip(pixels, 0, 255).round().astype(np.uint8)


@cache
def _views() -> dict[str, np.ndarray]:
    scene = look(portrait())
    near, far = surroundings(scene.image, scene.faces[0].box)
    return {"face": align(scene.image, scene.faces[0].landmarks), "near": near, "far": far}


def _description(engine: TorchEngine, judge: JudgeGraph, explain: ExplainGraph | None) -> dict[str, Any]:
    low, high = thresholds_of(engine.facts)
    precision = engine.facts["thresholds"].get("precision", "float32")
    software = ("torch", "onnx", "onnxscript", *(PACKAGES.get(name, name) for name in filter(installed, RUNTIMES)))
    return {
        "format": FORMAT,
        "weights": engine.weights,
        "licence": engine.facts.get("licence", "not stated by the weights"),
        "thresholds": {"attack_below": low, "live_from": high, "precision": precision},
        "points": {
            name: dict(zip(("attack_below", "live_from"), point.thresholds, strict=True))
            for name, point in points_of(engine.facts).items()
        },
        "face_size": engine.config.face_size,
        "face": "uint8 (N, S, S, 3) RGB, aligned: left eye, right eye, nose, mouth corners at template x side",
        "template": np.asarray(TEMPLATE).tolist(),
        "surroundings": judge.surroundings_shape,
        "scales": SCALES,
        "noise": None if explain is None else explain.noise_shape,
        "detector": to_dict(engine.config),
        "generator": None if explain is None else to_dict(explain.generator.config),
        "facts": engine.facts,
        "opset": OPSET,
        "versions": {name: importlib.metadata.version(name) for name in software},
    }
