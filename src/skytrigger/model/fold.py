"""Exact rewriting of a model file's graph: fewer passes over the pixels, the same answers.

The exported graph standardises with two element-wise passes over the input, the largest tensor of a small network: at
13 bands they cost as much as its stem. Both are linear, and so is the convolution that follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.model.file import INPUT

if TYPE_CHECKING:
    import onnx


class Graph:
    """An ONNX graph with its constants as arrays and the users of each tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx import numpy_helper

        self.model = model
        self.constants: dict[str, NDArray[Any]] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    def users(self, name: str) -> list[Any]:
        """Nodes that read the tensor `name`."""
        return [n for n in self.model.graph.node if name in n.input]

    def only_user(self, name: str, kinds: tuple[str, ...]) -> Any:
        """The one node that reads `name`, if it is of one of `kinds`; else None."""
        found = self.users(name)
        outputs = {o.name for o in self.model.graph.output}
        return found[0] if len(found) == 1 and found[0].op_type in kinds and name not in outputs else None

    def set(self, name: str, value: NDArray[Any]) -> None:
        """Give a constant a new value (or add it)."""
        from onnx import numpy_helper

        kept = [t for t in self.model.graph.initializer if t.name != name]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend([*kept, numpy_helper.from_array(np.ascontiguousarray(value), name)])
        self.constants[name] = value

    def remove(self, node: Any) -> None:
        """Take a node out; who read its output reads its first input."""
        source, gone = node.input[0], node.output[0]
        self.model.graph.node.remove(node)
        for other in self.model.graph.node:
            for i, name in enumerate(other.input):
                if name == gone:
                    other.input[i] = source

    def tidy(self) -> None:
        """Drop constants and shapes that nothing uses."""
        used = {name for n in self.model.graph.node for name in n.input}
        kept = [t for t in self.model.graph.initializer if t.name in used]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(kept)
        del self.model.graph.value_info[:]


def fold(model: onnx.ModelProto, *, input_too: bool = True) -> onnx.ModelProto:
    """Batch normalisation and (`input_too`) the input's standardisation folded into convolutions, where that is exact.

    Quantisation wants the standardisation as it is: it makes it part of the input's scales.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = Graph(copy)
    fold_batch_norms(graph)
    name_pooling(graph)
    if input_too:
        fold_standardisation(graph)
    graph.tidy()
    onnx.checker.check_model(copy)
    return copy


def fold_batch_norms(graph: Graph) -> None:
    """``BN(W x + b) = (s W) x + s (b - mean) + beta`` with ``s = gamma / sqrt(var + eps)``."""
    for node in [n for n in graph.model.graph.node if n.op_type == "BatchNormalization"]:
        source = next((n for n in graph.model.graph.node if node.input[0] in n.output), None)
        if source is None or source.op_type != "Conv" or len(graph.users(source.output[0])) != 1:
            continue  # behind a ReLU, as in `regularized`: no convolution to take it in
        gamma, beta, mean, var = (graph.constants[name].astype(np.float64) for name in node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        scale = gamma / np.sqrt(var + epsilon)
        weight = graph.constants[source.input[1]]
        bias = graph.constants[source.input[2]] if len(source.input) > 2 else np.zeros(len(weight))
        folded = (weight.astype(np.float64) * scale[:, None, None, None]).astype(weight.dtype)
        _set_convolution(graph, source, folded, ((bias - mean) * scale + beta).astype(weight.dtype))
        graph.remove(node)


def name_pooling(graph: Graph) -> None:
    """A mean over rows and columns is global average pooling: engines keep their blocked layout for that."""
    for node in graph.model.graph.node:
        axes = graph.constants.get(node.input[1]) if node.op_type == "ReduceMean" and len(node.input) > 1 else None
        kept = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        if axes is not None and kept and sorted(int(a) % 4 for a in axes) == [2, 3]:
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]


def fold_standardisation(graph: Graph) -> None:
    """``Conv((x - mean) / std)`` as a convolution of x.

    ``1 / std`` goes into the weights. The mean goes into the bias where the convolution does not pad; where it pads,
    zeros would stand for the mean, so its subtraction (one pass) stays.
    """
    sub = graph.only_user(INPUT, ("Sub",))
    div = graph.only_user(sub.output[0], ("Div",)) if sub is not None else None
    if div is None or sub.input[1] not in graph.constants or div.input[1] not in graph.constants:
        return
    convolution = graph.only_user(div.output[0], ("Conv",))
    attributes = {a.name: a for a in convolution.attribute} if convolution is not None else {}
    if convolution is None or ("group" in attributes and attributes["group"].i != 1):
        return
    mean = graph.constants[sub.input[1]].astype(np.float64).reshape(-1)
    std = graph.constants[div.input[1]].astype(np.float64).reshape(-1)
    weight = graph.constants[convolution.input[1]]
    scaled = weight.astype(np.float64) / std[None, :, None, None]
    bias = graph.constants[convolution.input[2]] if len(convolution.input) > 2 else np.zeros(len(weight))
    graph.remove(div)
    if not any(attributes["pads"].ints if "pads" in attributes else ()):
        bias = bias - (scaled * mean[None, :, None, None]).sum((1, 2, 3))
        graph.remove(sub)
    _set_convolution(graph, convolution, scaled.astype(np.float32), bias.astype(np.float32))


def _set_convolution(graph: Graph, node: Any, weight: NDArray[Any], bias: NDArray[Any]) -> None:
    """New weights under names of the node's own, so that shared constants stay as they are."""
    names = (f"{node.output[0]}.weight", f"{node.output[0]}.bias")
    graph.set(names[0], weight)
    graph.set(names[1], bias)
    source = node.input[0]
    del node.input[:]
    node.input.extend([source, *names])
