"""Rows of the input that no window of the first convolution touches: dropped before anything is computed on them.

A first convolution of windows two rows high and four apart (stems ``q4`` and ``r4`` of `optimize.students`) leaves half
of the rows unread, but engines standardise, quantise and turn to channels-last all of them, which at 13 bands costs
more than the rest of a small network. A slice of whole rows is a plain copy of half of the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger.model.file import INPUT

if TYPE_CHECKING:
    import onnx

# what lies between the input and the first convolution and works on each pixel alone
PIXELWISE = ("Sub", "Div", "QuantizeLinear", "DequantizeLinear", "Cast")


def skip_rows(model: onnx.ModelProto) -> bool:
    """Drop rows that the first convolution does not read, in place; whether there were any.

    Exact: ``(n, c, h, w)`` becomes ``(n, c, h/s, s, w)``, the first ``k`` of every ``s`` rows are kept, and the windows
    of height ``k`` then lie ``k`` apart instead of ``s``. Only where windows are lower than their stride, nothing is
    padded or dilated, and ``s`` divides the height.
    """
    graph = model.graph
    found = _first_convolution(graph)
    if found is None:
        return False
    convolution, first = found
    attributes = {a.name: list(a.ints) for a in convolution.attribute}
    (height, width), (stride, across) = attributes.get("kernel_shape", [0, 0]), attributes.get("strides", [1, 1])
    channels, rows, columns = (d.dim_value for d in graph.input[0].type.tensor_type.shape.dim[1:])
    plain = not any(attributes.get("pads", [0])) and set(attributes.get("dilations", [1])) == {1}
    if not (plain and 0 < height < stride and rows % stride == 0 and width):
        return False
    _slice(graph, first, [channels, rows // stride, stride, columns], height)
    for attribute in convolution.attribute:
        if attribute.name == "strides":
            attribute.ints[:] = [height, across]
    del graph.value_info[:]
    return True


def _first_convolution(graph: Any) -> tuple[Any, Any] | None:
    """The convolution that reads the input through pixelwise nodes alone, and the first node on the way."""
    name, first = INPUT, None
    while True:
        users = [n for n in graph.node if name in n.input]
        if len(users) != 1:
            return None
        (node,) = users
        first = first or node
        if node.op_type == "Conv":
            return node, first
        if node.op_type not in PIXELWISE:
            return None
        name = node.output[0]


def _slice(graph: Any, reader: Any, parts: list[int], kept: int) -> None:
    """Hand `reader` the first `kept` rows of each group instead of the input; `parts` is (c, groups, rows, w)."""
    from onnx import helper, numpy_helper

    channels, groups, _, columns = parts
    numbers = {"parts": [0, *parts], "from": [0], "to": [kept], "axis": [3],
               "whole": [0, channels, groups * kept, columns]}  # fmt: skip
    for name, value in numbers.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), f"rows/{name}"))
    nodes = [
        helper.make_node("Reshape", [INPUT, "rows/parts"], ["rows/grouped"]),
        helper.make_node("Slice", ["rows/grouped", "rows/from", "rows/to", "rows/axis"], ["rows/read"]),
        helper.make_node("Reshape", ["rows/read", "rows/whole"], ["rows/kept"]),
    ]
    reader.input[:] = ["rows/kept" if name == INPUT else name for name in reader.input]
    for node in reversed(nodes):
        graph.node.insert(0, node)
