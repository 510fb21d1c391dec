"""INT8 graphs in the form TensorRT takes: symmetric int8 activations, float32 biases.

ONNX Runtime quantises activations to uint8 (or int8) with a zero point. TensorRT has signed, symmetric int8 only: a
zero point other than 0 is refused by its parser, and uint8 with zero point 0 is read as int8 *with the same scale*,
so that the upper half of every range is cut off, with no more than a warning. So the graph is rewritten first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from skytrigger.core.errors import InputError

# operators that give no negative value, and those that keep the sign of their input
_POSITIVE = {"Relu", "Sigmoid", "Softmax"}
_KEEPS_SIGN = {
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Flatten", "Reshape", "Transpose",
    "Squeeze", "Unsqueeze", "Identity", "Dropout", "QuantizeLinear", "DequantizeLinear",
}  # fmt: skip


def symmetric_int8(model: onnx.ModelProto) -> dict[str, int]:
    """Rewrite the QDQ pairs of `model` in place; what the graph computes stays, but for a coarser rounding.

    Each range (of uint8 [-z s, (255 - z) s]) becomes the smallest int8 range [-127 t, 127 t] that holds it, so t is
    between s and 2 s. A ReLU that the quantiser had left to the lower end of a range that begins at 0 comes back, a
    standardisation that it had folded into the input's scales too. int32 biases become the float32 numbers they
    stand for.

    Returns
    -------
    dict
        How many `ranges` were widened, `relus` put back, `biases` made float: a fact of the engine.

    Raises
    ------
    InputError
        Quantised operators instead of QDQ pairs, asymmetric weights, or scales that are computed.
    """
    graph = model.graph
    whole = sorted({n.op_type for n in graph.node if n.op_type.startswith("QLinear") or "Integer" in n.op_type})
    if whole:
        raise InputError(f"the graph holds the quantised operators {whole}", expected="QDQ pairs (QuantFormat.QDQ)")
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    biases = _float_biases(graph, constants)
    made_by = {out: node for node in graph.node for out in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    widened: dict[str, _Pair] = {}  # by the codes between the two nodes
    nodes: list[onnx.NodeProto] = []
    relus = 0
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            source, meant = _Pair.of(node, constants), _meant(node, readers, constants)
            if meant.starts_at_0 and not _positive(node.input[0], made_by):
                relu = onnx.helper.make_node("Relu", [node.input[0]], [f"{node.output[0]}.relu"], f"{node.name}.relu")
                made_by[relu.output[0]] = relu
                nodes.append(relu)
                node.input[0] = relu.output[0]
                relus += 1
            if not source.same(meant):
                nodes += _affine(graph, node, source, meant)
            widened[node.output[0]] = meant.symmetric()
            widened[node.output[0]].put(graph, node, f"{node.output[0]}.int8")
        elif node.op_type == "DequantizeLinear" and node.input[0] in widened:
            widened[node.input[0]].put(graph, node, f"{node.input[0]}.int8")
        elif node.op_type == "DequantizeLinear" and not _Pair.of(node, constants).is_symmetric:
            raise InputError(f"weight {node.input[0]!r} is not symmetric int8", expected="symmetric int8 weights")
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # they name the old types
    used = {name for node in graph.node for name in node.input}
    kept = {t.name: t for t in graph.initializer if t.name in used}
    del graph.initializer[:]
    graph.initializer.extend(kept.values())
    return {"ranges": len(widened), "relus": relus, "biases": biases}


@dataclass(frozen=True)
class _Pair:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear: ``value = (code - zero) * step``."""

    step: NDArray[np.float64]
    zero: NDArray[Any]
    axis: int

    @staticmethod
    def of(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> _Pair:
        where = f"{node.op_type} {node.name!r}"
        if any(name not in constants for name in node.input[1:]):
            raise InputError(f"{where} computes its scale", expected="constant scales and zero points")
        step = constants[node.input[1]].astype(np.float64)
        if len(node.input) < 3:
            if node.op_type == "QuantizeLinear":
                raise InputError(f"{where} names no zero point", expected="scale and zero point")
            zero = np.zeros_like(step, dtype=np.int8)
        else:
            zero = constants[node.input[2]]
        if zero.dtype not in (np.uint8, np.int8):
            raise InputError(f"{where} has codes of {zero.dtype}", expected="uint8 or int8")
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        if step.size == 1:  # one number in a list is a scale per channel to TensorRT, and no int8 convolution
            step, zero = step.reshape(()), zero.reshape(())
        return _Pair(step, zero, axis)

    @property
    def is_symmetric(self) -> bool:
        return self.zero.dtype == np.int8 and not self.zero.any()

    @property
    def starts_at_0(self) -> bool:
        return bool((self.zero == np.iinfo(self.zero.dtype).min).all())

    def same(self, other: _Pair) -> bool:
        return np.array_equal(self.step, other.step) and np.array_equal(self.zero, other.zero)

    def symmetric(self) -> _Pair:
        """The smallest symmetric int8 range that holds this one."""
        if self.is_symmetric:
            return self
        limits, zero = np.iinfo(self.zero.dtype), self.zero.astype(np.float64)
        span = np.maximum(zero - limits.min, limits.max - zero)
        return _Pair(self.step * span / 127.0, np.zeros_like(self.zero, dtype=np.int8), self.axis)

    def put(self, graph: onnx.GraphProto, node: onnx.NodeProto, name: str) -> None:
        """Make `node` use this pair, whose constants are called after `name`."""
        del node.input[1:]
        node.input.extend([f"{name}.scale", f"{name}.zero"])
        graph.initializer.append(numpy_helper.from_array(np.asarray(self.step, np.float32), node.input[1]))
        graph.initializer.append(numpy_helper.from_array(np.asarray(self.zero, np.int8), node.input[2]))


def _meant(node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]], constants: dict[str, Any]) -> _Pair:
    """What the codes of a QuantizeLinear are read as: the pair of the DequantizeLinear behind it."""
    followers = [_Pair.of(reader, constants) for reader in readers.get(node.output[0], [])]
    if not followers or any(r.op_type != "DequantizeLinear" for r in readers[node.output[0]]):
        raise InputError(f"the codes of {node.name!r} are not read by a DequantizeLinear", expected="QDQ pairs")
    if not all(followers[0].same(other) for other in followers):
        raise InputError(f"the codes of {node.name!r} are read on several scales", expected="one scale")
    return followers[0]


def _affine(graph: onnx.GraphProto, node: onnx.NodeProto, source: _Pair, meant: _Pair) -> list[onnx.NodeProto]:
    """Written on one scale and read on another (standardisation folded into the input's scales): a product and a sum.

    ``code = x / step + zero``, read as ``(code - zero') step'``, is ``x step' / step + (zero - zero') step'``.
    """
    shape = (1, -1, 1, 1) if source.step.ndim and source.axis == 1 else ()
    factor = (meant.step / source.step).reshape(shape)
    shift = ((source.zero.astype(np.float64) - meant.zero.astype(np.float64)) * meant.step).reshape(shape)
    name, values = node.output[0], node.input[0]
    graph.initializer.append(numpy_helper.from_array(np.asarray(factor, np.float32), f"{name}.factor"))
    graph.initializer.append(numpy_helper.from_array(np.asarray(shift, np.float32), f"{name}.shift"))
    node.input[0] = f"{name}.affine"
    return [
        onnx.helper.make_node("Mul", [values, f"{name}.factor"], [f"{name}.product"], f"{node.name}.factor"),
        onnx.helper.make_node("Add", [f"{name}.product", f"{name}.shift"], [f"{name}.affine"], f"{node.name}.shift"),
    ]


def _positive(name: str, made_by: dict[str, onnx.NodeProto]) -> bool:
    """Whether a value cannot be negative, as far as the operators before it tell."""
    while name in made_by:
        node = made_by[name]
        if node.op_type in _POSITIVE:
            return True
        if node.op_type not in _KEEPS_SIGN:
            return False
        name = node.input[0]
    return False


def _float_biases(graph: onnx.GraphProto, constants: dict[str, NDArray[Any]]) -> int:
    """Replace each DequantizeLinear of an int32 constant by the float32 constant it makes."""
    kept, count = [], 0
    for node in graph.node:
        source = constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if source is None or source.dtype != np.int32:
            kept.append(node)
            continue
        bias = (source.astype(np.float64) * constants[node.input[1]]).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(bias, node.output[0]))
        count += 1
    del graph.node[:]
    graph.node.extend(kept)
    return count
