"""What smaller numbers cost: AUC, liveness, size and time of bfloat16 and int8 against float32, on prepared faces.

    python benchmarks/engine_precision.py GENERATOR DETECTOR STORE [--domain office] [--faces 600]

Both are .safetensors files, exported here. OpenVINO's bfloat16; ONNX Runtime's int8, dynamic (weights before,
activations as they come) and static (activations calibrated on 64 faces that are not among those measured). Faces are
drawn by a hash of their path, so the same each time, half of them live. AUC is of live above attack. A detector that
learned from these faces orders them all, and no variant can lose: take one that did not, and name the domain it has
not seen. `despoof export` writes none of these.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from despoof.engine.by_onnx import OnnxEngine

CALIBRATION = 64
Given = list[dict[str, np.ndarray]]  # one face each, with its noise and surroundings


def main() -> None:
    """Print one row a variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", type=Path)
    parser.add_argument("detector", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--domain", help="of the store; all without it")
    parser.add_argument("--faces", type=int, default=600)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    from despoof.engine.by_onnx import OnnxEngine
    from despoof.metrics import auc

    with tempfile.TemporaryDirectory() as name:
        folder, wanted = Path(name), None
        exported(options, folder / "out")
        given, live = drawn(options, OnnxEngine(folder / "out"))
        measured, live = given[CALIBRATION:], live[CALIBRATION:]
        print(f"{len(measured)} faces, {int(live.sum())} live, {options.threads} threads")
        print("| variant | AUC | difference | largest change of liveness | mean | model, MB | one face, ms (median) |")
        print("|---|---|---|---|---|---|---|")
        for variant, size, judge in variants(folder, given[:CALIBRATION], options.threads):
            liveness, took = judged(judge, measured)
            wanted = liveness if wanted is None else wanted
            reached, exact = (auc(x[live], x[~live]) for x in (liveness, wanted))
            change = np.abs(liveness - wanted)
            print(
                f"| {variant} | {reached:.4f} | {reached - exact:+.4f} | {change.max():.4f} | "
                f"{change.mean():.4f} | {size / 1e6:.1f} | {took:.1f} |",
                flush=True,
            )


def exported(options: argparse.Namespace, out: Path) -> None:
    """Export both files; a detector of an evaluation has no thresholds, and none matter here."""
    from despoof.detector.network import load_detector
    from despoof.engine.by_torch import TorchEngine
    from despoof.engine.export import export
    from despoof.generator.registry import load_generator

    detector = load_detector(options.detector)
    detector.facts.setdefault("thresholds", {"attack_below": 0.5, "live_from": 0.5})
    export(TorchEngine(detector, load_generator(options.generator)), out)


def drawn(options: argparse.Namespace, engine: "OnnxEngine") -> tuple[Given, np.ndarray]:
    """Return the faces to calibrate on and to measure, live and attack in turn, with cues, and which are live."""
    from despoof.data.sample import Label
    from despoof.faces.store import Store

    opened, count = Store(options.store), CALIBRATION + options.faces
    rows = [row for row in opened.with_face() if options.domain in (None, row.sample.domain)]
    rows.sort(key=lambda row: hashlib.blake2b(row.sample.path.encode()).digest())
    halves = [[row for row in rows if row.sample.label is label][: count // 2] for label in (Label.LIVE, Label.ATTACK)]
    chosen = [row for pair in zip(*halves, strict=True) for row in pair]
    given = []
    for face, row in zip(opened.faces(chosen, engine.config.face_size), chosen, strict=True):
        one = {"face": face[None]}
        if engine.config.uses_cue:
            one["cue"] = engine.explain(face[None]).cue
        if engine.config.uses_surroundings:
            one["surroundings"] = opened.surroundings([row])
        given.append(one)
    return given, np.array([row.sample.label is Label.LIVE for row in chosen])


def variants(folder: Path, calibration: Given, threads: int) -> Iterator[tuple[str, int, Callable[[dict], np.ndarray]]]:
    """Yield name, bytes of the model and the way to liveness; float32 first."""
    from despoof.engine.by_onnx import JUDGE, RUNTIMES
    from despoof.runs.onnx import onnx_runtime

    onnx_runtime()  # without telemetry
    from onnxruntime import quantization

    model = folder / "out" / JUDGE

    def way(path: Path, runtime: str = "onnx", precision: str = "float32") -> Callable[[dict], np.ndarray]:
        run = RUNTIMES[runtime](path, threads=threads, precision=precision, device="cpu")
        return lambda one: run(one)[0]

    yield "float32, ONNX Runtime", model.stat().st_size, way(model)
    for precision in ("float32", "bfloat16"):
        yield f"{precision}, OpenVINO", model.stat().st_size, way(model, "openvino", precision)
    ready, dynamic, static = (folder / f"{name}.onnx" for name in ("ready", "dynamic", "static"))
    quantization.quant_pre_process(model, ready, skip_symbolic_shape=True)
    quantization.quantize_dynamic(ready, dynamic, weight_type=quantization.QuantType.QUInt8)
    yield "int8 dynamic, ONNX Runtime", dynamic.stat().st_size, way(dynamic)
    quantization.quantize_static(ready, static, Reader(calibration), per_channel=True)
    yield "int8 static, ONNX Runtime", static.stat().st_size, way(static)


class Reader:
    """Hands faces to the calibration of ONNX Runtime, one at a time, then None."""

    def __init__(self, given: Given) -> None:
        self._left = iter(given)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next face."""
        return next(self._left, None)


def judged(judge: Callable[[dict], np.ndarray], given: Given) -> tuple[np.ndarray, float]:
    """Return the liveness of every face and the median milliseconds of one."""
    found, times = [], []
    for one in given:
        begun = time.perf_counter()
        found.append(float(judge(one)[0]))
        times.append((time.perf_counter() - begun) * 1e3)
    return np.array(found), statistics.median(times)


if __name__ == "__main__":
    main()
