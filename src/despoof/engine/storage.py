"""An ONNX model -> the same model in half or a quarter of the bytes: weights stored once, in fewer bits."""

from typing import Any, Literal

import numpy as np

from despoof.runs.checkpoint import whole_numbers, worth_rounding

Kind = Literal["float32", "float16", "int16", "int8"]
OWN: dict[str, Kind] = {  # part of a tensor's name -> how it is stored, whatever the others are
    ".centres": "int16",  # distances to these are small differences of large sums: equal steps, finer than float16's
    "normals.": "float16",
}


def stored_small(model: Any, kind: Kind = "float16") -> None:
    """Store each tensor of an `onnx.ModelProto` once, and what multiplies as `kind`, float16 where nothing is lost.

    Of whole numbers there is a scale for each first index. Runtimes fold the nodes that make float32 of them when they
    open the file. Vectors, which are added and divided by, stay. Notes of the exporter go.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph, first, same, made = model.graph, {}, {}, []
    for held in list(graph.initializer):
        array = numpy_helper.to_array(held)
        same[held.name] = name = first.setdefault((array.dtype.str, array.shape, array.tobytes()), held.name)
        stored = _kind_of(name, array, kind)
        if name != held.name:
            graph.initializer.remove(held)
        elif stored != "float32":
            small, scale = _rounded(array, stored)
            held.CopyFrom(numpy_helper.from_array(small, f"{name}.small"))
            cast = name if scale is None else f"{name}.whole"
            made.append(helper.make_node("Cast", [held.name], [cast], to=TensorProto.FLOAT))
            if scale is not None:
                graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
                made.append(helper.make_node("Mul", [cast, f"{name}.scale"], [name]))
    nodes = [*made, *graph.node]
    for node in nodes:
        node.input[:] = [same.get(name, name) for name in node.input]
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]


def _kind_of(name: str, array: np.ndarray, kind: Kind) -> Kind:
    if array.dtype != np.float32 or not worth_rounding(array):
        return "float32"
    kind = next((own for part, own in OWN.items() if part in name), kind)
    with np.errstate(over="ignore"):
        lossless = np.array_equal(array.astype(np.float16).astype(np.float32), array)
    return "float32" if kind == "float16" and not lossless else kind


def _rounded(array: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray | None]:
    """Return float16 and None, or whole numbers and the scale (N, 1, ...) that makes the array of them."""
    return (array.astype(kind), None) if kind == "float16" else whole_numbers(array, kind)
