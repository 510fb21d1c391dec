"""Operations and least bytes of a network, counted on its ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.work import Work

ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 10: 2, 11: 8, 16: 2}  # ONNX dtype -> bytes
PRODUCTS = ("Conv", "Gemm", "MatMul")
ELEMENTWISE = (
    "Add", "Sub", "Mul", "Div", "Relu", "Sigmoid", "HardSwish", "Clip", "BatchNormalization", "Softmax",
    "QuantizeLinear", "DequantizeLinear",
)  # fmt: skip


def count_work(model: Any, batch_size: int = 1) -> Work:
    """Count the operations of an `onnx.ModelProto` for a batch, from inferred shapes.

    Raises
    ------
    InputError
        A shape that cannot be inferred.
    """
    import onnx

    from skytrigger.model.native_inputs import PHASE

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    unbatched = {PHASE, *(t.name for t in fixed.graph.initializer)}  # files of old list their weights as inputs, too
    for value in (*fixed.graph.input, *fixed.graph.output):
        if value.name not in unbatched:
            value.type.tensor_type.shape.dim[0].dim_value = batch_size
    del fixed.graph.value_info[:]
    fixed = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    shapes: dict[str, tuple[tuple[int, ...], int]] = {}
    for value in (*fixed.graph.input, *fixed.graph.value_info, *fixed.graph.output):
        tensor = value.type.tensor_type
        shapes[value.name] = (tuple(d.dim_value for d in tensor.shape.dim), ITEM_BYTES.get(tensor.elem_type, 4))
    weights = {t.name: (tuple(t.dims), ITEM_BYTES.get(t.data_type, 4)) for t in fixed.graph.initializer}
    shapes |= weights
    operations = products = activations = 0
    for node in fixed.graph.node:
        work = _operations(node, shapes)
        operations += work
        if node.op_type in PRODUCTS:
            products += work
        if node.op_type in (*PRODUCTS, "MaxPool", "AveragePool", "GlobalAveragePool"):
            activations += 2 * _bytes(shapes[node.output[0]])
    io = sum(_bytes(shapes[v.name]) for v in (*fixed.graph.input, *fixed.graph.output) if v.name not in weights)
    return Work(batch_size, operations, products, sum(map(_bytes, weights.values())), io, activations)


def _bytes(shape: tuple[tuple[int, ...], int]) -> int:
    return math.prod(shape[0]) * shape[1]


def _operations(node: Any, shapes: Mapping[str, tuple[tuple[int, ...], int]]) -> int:
    def size(name: str) -> int:
        if name not in shapes or 0 in shapes[name][0]:
            raise InputError(
                f"the shape of {name!r} ({node.op_type}) is unknown", remedy="a model with fixed tile size"
            )
        return math.prod(shapes[name][0])

    def shape(name: str) -> tuple[int, ...]:
        size(name)
        return shapes[name][0]

    kind, out = node.op_type, node.output[0]
    attributes = {a.name: a for a in node.attribute}
    if kind == "Conv":
        per_output = math.prod(shape(node.input[1])[1:])  # input channels of a group x kernel
        return size(out) * (2 * per_output + (len(node.input) > 2))
    if kind == "Gemm":
        weight = shape(node.input[1])
        inner = weight[1 if "transB" in attributes and attributes["transB"].i else 0]
        return size(out) * (2 * inner + (len(node.input) > 2))
    if kind == "MatMul":
        return size(out) * 2 * shape(node.input[0])[-1]
    if kind in ("MaxPool", "AveragePool"):
        return size(out) * math.prod(map(int, attributes["kernel_shape"].ints))
    if kind in ("GlobalAveragePool", "ReduceMean"):
        return size(node.input[0])
    return size(out) if kind in ELEMENTWISE else 0
