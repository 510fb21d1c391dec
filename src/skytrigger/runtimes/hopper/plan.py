"""A model file's graph as what the kernels run: 3x3 convolutions with ReLU and pooling, then dense layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError
from skytrigger.model.file import INPUT, ModelFile
from skytrigger.runtimes.hopper.shapes import Shape

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]


@dataclass(frozen=True)
class Convolution:
    """`weight` (out, in, 3, 3), `bias` (out)."""

    shape: Shape
    weight: Array
    bias: Array


@dataclass(frozen=True)
class Dense:
    """`weight` (out, in), `bias` (out); `relu` follows or not."""

    weight: Array
    bias: Array
    relu: bool


@dataclass(frozen=True)
class Plan:
    """Standardise (``(tiles - mean) * scale``), convolve, multiply."""

    mean: Array
    scale: Array
    convolutions: tuple[Convolution, ...]
    dense: tuple[Dense, ...]


def plan_of(model: ModelFile) -> Plan:
    """Read the graph node by node.

    Raises
    ------
    UnavailableError
        The graph is not such a stack; the message names the first node that does not fit.
    """
    return _Reader(model).plan()


class _Reader:
    def __init__(self, model: ModelFile) -> None:
        from onnx import numpy_helper

        graph = model.graph().graph
        self._nodes = list(graph.node)
        self._constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self._shape = (len(model.card.channels), *model.card.size)
        self._value, self._at, self._convolved = INPUT, 0, False
        self._output = graph.output[0].name

    def plan(self) -> Plan:
        """All of the graph, in order."""
        channels = self._shape[0]
        mean: Array = np.zeros(channels, np.float32)
        scale: Array = np.ones(channels, np.float32)
        if (node := self._take("Sub")) is not None:
            mean = self._each(node, channels)
        if (node := self._take("Div")) is not None:
            scale = 1 / self._each(node, channels)
        self._take("Cast")
        convolutions = []
        while (node := self._take("Conv")) is not None:
            convolutions.append(self._convolution(node))
        if not convolutions:
            self._refuse("a 3x3 convolution first")
        if self._take("Reshape") is None and self._take("Flatten") is None:
            self._refuse("a convolution with ReLU, or the flattening of the last")
        dense: list[Dense] = []
        while (node := self._take("Gemm")) is not None:
            dense.append(self._dense(node, first=not dense))
        self._take("Cast")
        if not dense or self._value != self._output:
            self._refuse("dense layers up to the logits")
        return Plan(mean, scale, tuple(convolutions), tuple(dense))

    def _take(self, kind: str) -> onnx.NodeProto | None:
        """The next node if it is of this kind and follows the last."""
        node: onnx.NodeProto | None = self._nodes[self._at] if self._at < len(self._nodes) else None
        if node is None or node.op_type != kind or node.input[0] != self._value:
            return None
        self._at += 1
        self._value = node.output[0]
        return node

    def _need(self, kind: str) -> onnx.NodeProto:
        node = self._take(kind)
        if node is None:
            self._refuse(kind)
        return node

    def _refuse(self, expected: str) -> NoReturn:
        left = self._nodes[self._at :]
        found = f"{left[0].op_type} ({left[0].output[0]})" if left else "the end"
        raise UnavailableError(
            f"runtime hopper cannot run this graph: {found}", expected=expected, remedy="--runtime torch-compiled"
        )

    def _each(self, node: onnx.NodeProto, channels: int) -> Array:
        values = self._constants.get(node.input[1])
        if values is None or values.size not in (1, channels):
            self._at -= 1
            self._refuse("one constant for each channel")
        return np.broadcast_to(values.astype(np.float32).reshape(-1), (channels,)).copy()

    def _weights(self, node: onnx.NodeProto) -> tuple[Array, Array]:
        weight = self._constants.get(node.input[1])
        named = len(node.input) > 2 and node.input[2]
        plain = all(_attribute(node, k, v) == v for k, v in (("alpha", 1.0), ("beta", 1.0), ("transA", 0)))
        if weight is None or (named and node.input[2] not in self._constants) or not plain:
            self._at -= 1
            self._refuse("constant weights and biases")
        rows = weight.shape[0] if node.op_type == "Conv" or _attribute(node, "transB", 0) else weight.shape[1]
        bias = self._constants[node.input[2]].reshape(-1) if named else np.zeros(rows, np.float32)
        return weight, bias.astype(np.float32)

    def _convolution(self, node: onnx.NodeProto) -> Convolution:
        weight, bias = self._weights(node)
        fixed = {"strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1], "group": 1}
        plain = all(_attribute(node, k, v if k != "pads" else None) == v for k, v in fixed.items())
        if weight.shape[2:] != (3, 3) or not plain or weight.shape[1] != self._shape[0]:
            self._at -= 1
            self._refuse("3x3 convolutions, 'same' padding, stride 1, one group")
        if self._shape[0] % 16 and self._convolved:
            self._at -= 1
            self._refuse("16 channels or a multiple between convolutions")
        self._convolved = True
        self._need("Relu")
        pool = self._pool()
        shape = Shape(weight.shape[1], weight.shape[0], *self._shape[1:], pool)
        self._shape = shape.output
        return Convolution(shape, weight, bias)

    def _pool(self) -> str | None:
        turned = self._take("Transpose")
        node = self._need("MaxPool") if turned is not None else self._take("MaxPool")
        if node is None:
            return None
        square = _attribute(node, "kernel_shape", None) == [2, 2] and _attribute(node, "strides", None) == [2, 2]
        if not square or any(_attribute(node, "pads", [0])):
            self._refuse("2x2 pooling")
        if turned is None:
            return "image"
        back = self._need("Transpose")
        if (_attribute(turned, "perm", None), _attribute(back, "perm", None)) != ([0, 3, 1, 2], [0, 2, 3, 1]):
            self._refuse("pooling over rows and columns, or over filters and rows")
        return "channels"

    def _dense(self, node: onnx.NodeProto, first: bool) -> Dense:
        weight, bias = self._weights(node)
        if not _attribute(node, "transB", 0):
            weight = weight.T
        if first:  # columns in the kernels' order: [channel / 8][row][column][8]
            channels, height, width = self._shape
            if weight.shape[1] != channels * height * width:
                self._refuse(f"{channels * height * width} inputs")
            split = weight.reshape(len(weight), channels // 8, 8, height, width)
            weight = split.transpose(0, 1, 3, 4, 2).reshape(len(weight), -1)
        return Dense(np.ascontiguousarray(weight), bias, self._take("Relu") is not None)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    import onnx

    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return found.get(name, default)
