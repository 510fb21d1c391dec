"""INT8 model files as float networks, for engines without INT8: weights are their codes times their scales.

Activations keep the range that their codes have, and lose only the rounding in between: answers are those of the INT8
file but for that rounding.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.model.file import INPUT, ModelFile
from skytrigger.model.qdq import constants_of

if TYPE_CHECKING:
    import onnx

MOVEMENT = ("Reshape", "Slice", "Identity")


def float_model(model: ModelFile, precision: str = "fp32", *, bounded: bool = True) -> ModelFile:
    """The same network in memory, ``fp32`` or ``fp16`` behind its standardisation.

    Parameters
    ----------
    bounded
        Whether tiles keep the range of their codes; without, the first convolution is linear in them.

    Raises
    ------
    InputError
        Not an INT8 file, or one whose activations have codes by channel behind the tiles.
    """
    if model.card.precision != "int8":
        raise InputError(f"{model.path} holds {model.card.precision} weights", expected="int8")
    content = float_graph(model.graph(), precision, bounded=bounded).SerializeToString()
    card = replace(model.card, precision=precision)
    return ModelFile(model.path, content, hashlib.sha256(content).hexdigest(), card)


def float_graph(model: onnx.ModelProto, precision: str = "fp32", *, bounded: bool = True) -> onnx.ModelProto:
    """See `float_model`; tiles and answers stay float32."""
    from onnx import ModelProto, numpy_helper

    out = ModelProto()
    out.CopyFrom(model)
    writer = _Writer(model, np.dtype(np.float16 if precision == "fp16" else np.float32), bounded)
    for node in model.graph.node:
        writer.node(node)
    if precision == "fp16":
        writer.answers([o.name for o in model.graph.output])
    del out.graph.node[:]
    out.graph.node.extend(writer.nodes)
    used = {i for n in writer.nodes for i in n.input}
    kept = [t for t in model.graph.initializer if t.name in used and t.name not in writer.made]
    del out.graph.initializer[:]
    made = [numpy_helper.from_array(v, k) for k, v in writer.made.items() if k in used]
    out.graph.initializer.extend([*kept, *made])
    del out.graph.value_info[:]
    return out


class _Writer:
    """Writes the graph again, node by node."""

    def __init__(self, model: onnx.ModelProto, kind: np.dtype[Any], bounded: bool) -> None:
        self.constants, self.kind, self.bounded = constants_of(model), kind, bounded
        self.quantised = {n.output[0]: n for n in model.graph.node if n.op_type == "QuantizeLinear"}
        self.nodes: list[Any] = []
        self.made: dict[str, NDArray[Any]] = {}
        self.of_tiles = {INPUT}
        self.names: dict[str, str] = {}

    def node(self, node: Any) -> None:
        """One of the old nodes."""
        import onnx

        if node.op_type == "QuantizeLinear":
            return
        if node.op_type == "DequantizeLinear":
            self.values(node)
            return
        if node.op_type in MOVEMENT and node.input[0] in self.of_tiles:
            self.of_tiles.add(node.output[0])
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.names.get(i, i) for i in node.input]
        self.nodes.append(copy)

    def values(self, node: Any) -> None:
        """What codes stand for: constants at once, activations within the range of their codes."""
        step, zero = (self.constants[i].astype(np.float64) for i in node.input[1:3])
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        if node.input[0] in self.constants:
            codes = self.constants[node.input[0]].astype(np.float64)
            shape = [-1 if k == axis else 1 for k in range(codes.ndim)] if step.ndim else []
            self.made[node.output[0]] = ((codes - zero.reshape(shape)) * step.reshape(shape)).astype(self.kind)
            return
        first = self.quantised[node.input[0]]
        source, name = first.input[0], node.output[0]
        if source in self.of_tiles:
            source = self.standardised(first, step, zero, name)
            if not self.bounded:
                self.names[name] = source
                return
        elif step.ndim or self.constants[first.input[1]].ndim:
            raise InputError("activations have codes by channel", expected="one scale each, but for the tiles")
        kind = np.iinfo(self.constants[node.input[2]].dtype)
        # a bound of float16 must not be above the code's own
        self.made[f"{name}/low"], self.made[f"{name}/high"] = (
            ((bound - zero) * step).astype(self.kind) for bound in (kind.min, kind.max)
        )
        self.add("Clip", [source, f"{name}/low", f"{name}/high"], name)

    def standardised(self, first: Any, step: Any, zero: Any, name: str) -> str:
        """Tiles by channel: codes x / steps + zeros stand for (code - zero) x step."""
        steps, zeros = (self.constants[i].astype(np.float64) for i in first.input[1:3])
        self.made[f"{name}/mean"] = ((zero - zeros) * steps).reshape(1, -1, 1, 1).astype(np.float32)
        self.made[f"{name}/std"] = (steps / step).reshape(1, -1, 1, 1).astype(np.float32)
        self.add("Sub", [first.input[0], f"{name}/mean"], f"{name}/centred")
        made = self.add("Div", [f"{name}/centred", f"{name}/std"], f"{name}/standardised")
        return self.cast(made, f"{name}/halves", self.kind) if self.kind == np.float16 else made

    def add(self, kind: str, inputs: list[str], name: str) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name))
        return name

    def cast(self, source: str, name: str, kind: Any) -> str:
        from onnx import helper

        to = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        self.nodes.append(helper.make_node("Cast", [source], [name], name=name, to=to))
        return name

    def answers(self, names: list[str]) -> None:
        """Outputs in float32 again."""
        for name in names:
            last = next(n for n in self.nodes if name in n.output)
            last.output[0] = f"{name}/halves"
            for other in self.nodes:
                other.input[:] = [f"{name}/halves" if i == name else i for i in other.input]
            self.cast(f"{name}/halves", name, np.float32)
