"""ONNX files whose answer is known in closed form: classes are weighted means of the three channels."""

from pathlib import Path

import numpy as np


def mean_network(path: Path, weights: list[list[float]], size: int, *, layout: str = "NCHW") -> Path:
    """Write a network that answers (1, K): `weights` (K, 3) times the mean of each channel of what it is given."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    shape, axes = ([1, 3, size, size], [2, 3]) if layout == "NCHW" else ([1, size, size, 3], [1, 2])
    matrix = numpy_helper.from_array(np.array(weights, np.float32).T.copy(), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image", "axes"], ["means"], keepdims=0),
            helper.make_node("MatMul", ["means", "weights"], ["classes"]),
        ],
        "means",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("classes", TensorProto.FLOAT, [1, len(weights)])],
        [matrix, numpy_helper.from_array(np.array(axes, np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    save(model, path)
    return path
