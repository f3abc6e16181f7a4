"""An ONNX model -> the same model in half the bytes: weights stored once, and in 16 bits."""

from typing import Any

import numpy as np

SMALLEST = 1024  # numbers of a tensor that is worth the cast
# Of these all 32 bits are kept: distances to what was learned, and what these weigh, end in small differences of large
# sums, and areas of pixels decide what every network sees.
KEPT = ("nearness.", "classify.", ".share")


def stored_small(model: Any) -> None:
    """Store each tensor of an `onnx.ModelProto` once, and weights as float16 with a cast that runtimes fold on opening.

    What multiplies is rounded, and not what is added or divided by (vectors), nor `KEPT`. Notes of the exporter go.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph, first, same, casts = model.graph, {}, {}, []
    for held in list(graph.initializer):
        array = numpy_helper.to_array(held)
        content = (array.dtype.str, array.shape, array.tobytes())
        same[held.name] = name = first.setdefault(content, held.name)
        if name != held.name:
            graph.initializer.remove(held)
        elif array.dtype == np.float32 and _is_rounded(name, array):
            held.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}_16"))
            casts.append(helper.make_node("Cast", [held.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    for node in nodes:
        node.input[:] = [same.get(name, name) for name in node.input]
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]


def _is_rounded(name: str, array: np.ndarray) -> bool:
    weights = array.ndim >= 2 and array.size >= SMALLEST and not any(part in name for part in KEPT)
    return weights and 2**-10 < np.abs(array).max() < np.finfo(np.float16).max  # below, steps of 6e-8 are coarse
