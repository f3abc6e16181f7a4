"""How many operations an ONNX graph takes, and how fast this machine does them: no engine takes less time."""

import statistics
import time
from collections.abc import Callable
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper

from despoof.runs.onnx import open_onnx

COUNTED = ("Conv", "Gemm", "MatMul")  # the rest is not a hundredth of them


def interleaved(ways: dict[str, Callable[[], object]], runs: int, warm: int = 5) -> dict[str, float]:
    """Return the median milliseconds of each way, taken in turn, so that a machine that drifts slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(runs + warm):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            if run >= warm:
                times[name].append((time.perf_counter() - begun) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def giga_operations(model: bytes, given: dict[str, np.ndarray]) -> float:
    """Return the operations, in 10^9, of a graph's products on such inputs; a multiplication and addition are two.

    The shapes are those of a run in which every product's inputs and output are given out.
    """
    graph = onnx.load_from_string(model).graph
    nodes = [node for node in graph.node if node.op_type in COUNTED]
    shapes = {each.name: tuple(each.dims) for each in graph.initializer} | {k: v.shape for k, v in given.items()}
    asked = sorted({name for node in nodes for name in (*node.input[:2], node.output[0])} - set(shapes))
    whole = onnx.load_from_string(model)
    there = {each.name for each in whole.graph.output}
    whole.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in asked if name not in there)
    outputs = open_onnx(whole.SerializeToString()).run(asked, given)
    shapes |= {name: each.shape for name, each in zip(asked, outputs, strict=True)}
    return sum(_operations(node, shapes) for node in nodes) / 1e9


def _operations(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    first, second, out = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":
        return 2 * prod(out) * prod(second[1:])
    across = any(each.name == "transA" and each.i for each in node.attribute)
    return 2 * prod(out) * first[0 if across else -1]


def giga_a_second(threads: int) -> dict[str, float]:
    """Return the 10^9 operations a second of a large product and of a large convolution in ONNX Runtime, float32."""
    rng, side, channels, edge = np.random.default_rng(0), 1024, 256, 64
    kinds = {
        "product": ("MatMul", {}, (side, side), (side, side), 2 * side**3),
        "convolution": (
            "Conv", {"pads": [1] * 4}, (1, channels, edge, edge), (channels, channels, 3, 3),
            2 * 9 * channels**2 * edge**2,
        ),
    }  # fmt: skip
    ways, counts = {}, {}
    for name, (kind, options, shape, weights, counts[name]) in kinds.items():
        weight = helper.make_tensor("w", TensorProto.FLOAT, weights, rng.normal(size=prod(weights)))
        x, y = (helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each in "xy")
        graph = helper.make_graph([helper.make_node(kind, ["x", "w"], ["y"], **options)], name, [x], [y], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        session, given = open_onnx(model.SerializeToString(), threads=threads), rng.normal(size=shape)
        feed = {"x": given.astype(np.float32)}
        ways[name] = lambda session=session, feed=feed: session.run(None, feed)
    return {name: counts[name] / took / 1e6 for name, took in interleaved(ways, 20).items()}
