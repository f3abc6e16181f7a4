"""What a model costs: processor time of one face on one thread, beside all others, numbers it is made of, bytes."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import cv2
import numpy as np

from despoof.data.portrait import portrait
from despoof.errors import ConfigError
from despoof.faces.scene import Scene, look

PICTURE = (640, 480)  # width and height of the picture in which the face is found before the clock starts
WARM = 3  # rounds before those that count
COUNTED = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "UINT8", "INT16", "UINT16")  # not of shapes and places


@dataclass(frozen=True)
class Time:
    """Median and quartiles of a face, milliseconds of the processor."""

    median: float
    low: float
    high: float


def timed_scene() -> Scene:
    """Return the scene that is timed: a portrait in the public domain, in a picture as large as a webcam's."""
    width, height = PICTURE
    side = (width - height) // 2
    image = np.pad(cv2.resize(portrait(), (height, height)), ((0, 0), (side, side), (0, 0)), mode="reflect")
    return look(image)


def side_by_side(ways: Mapping[str, Callable[[Scene], object]], scene: Scene, runs: int) -> dict[str, Time]:
    """Return the time of each way on a scene, all in turn in every round, so that what slows the machine slows all.

    Time of the processor, of all threads together: waiting while other programs run is no cost of a model's.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(WARM + max(2, runs)):
        for name, way in ways.items():
            start = time.process_time()
            way(scene)
            taken[name].append((time.process_time() - start) * 1e3)
    found = {}
    for name, values in taken.items():
        low, median, high = statistics.quantiles(values[WARM:], n=4, method="inclusive")
        found[name] = Time(median, low, high)
    return found


def megabytes(files: Sequence[Path]) -> float:
    """Return the size of files together, in units of 10^6 bytes."""
    return sum(file.stat().st_size for file in files) / 1e6


def parameters(files: Sequence[Path]) -> int:
    """Return how many numbers ONNX files hold, what they keep of samples among them; without onnx a ConfigError."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise ConfigError(
            "onnx is not installed, which counts parameters. Run: pip install 'despoof[export]'"
        ) from None
    kinds, total = {getattr(onnx.TensorProto, name) for name in COUNTED}, 0
    for file in files:
        graph = onnx.load(file, load_external_data=False).graph
        inside = (each.t for node in graph.node if node.op_type == "Constant" for each in node.attribute)
        total += sum(prod(one.dims) for one in (*graph.initializer, *inside) if one.data_type in kinds and one.dims)
    return total
