"""Students whose stem reads each band's own pixels: from the form that tiles go into to the one that native bands do.

Such a network is trained on tiles at 10 m, which its front brings back to native pixels (`native_inputs.from_tile`):
per resolution a selection of channels, two products with fixed matrices, blocks of pixels as channels, all side by side
into one convolution. Its native form has an input a resolution instead, with the standardisation of its bands; an INT8
file quantises there at once, as `qdq` does with tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.model.native_inputs import HALO, KEY, Group, write_groups
from skytrigger.model.qdq import Scale, constants_of, input_scales, standardisation

if TYPE_CHECKING:
    import onnx

STRIDE = 4  # pixels at 10 m between the stem's windows
OPTION = "factors"  # of a student's builder, and so of its card


def student_groups(factors: Sequence[int], size: int) -> tuple[Group, ...]:
    """Inputs of a student: own pixels where they begin with the tiles and the stem's windows, else means of blocks."""
    found = []
    for factor in sorted(set(factors)):
        own = tuple(c for c, f in enumerate(factors) if f == factor)
        name = f"tiles_{10 * factor}m"
        if STRIDE % factor == 0:
            found.append(Group(name, own, factor, size // factor, 1, factor, 0))
        else:
            found.append(Group(name, own, factor, size // STRIDE, 1, 1, HALO, size // STRIDE))
    return tuple(found)


def stem_channels(factors: Sequence[int]) -> int:
    """Channels that the blocks of one window have."""
    return sum((STRIDE // f) ** 2 if STRIDE % f == 0 else 1 for f in factors)


@dataclass(frozen=True)
class Front:
    """Where a graph's front ends: for each group the node that gives its native pixels; and what is side by side."""

    pair: tuple[Any, Any]
    ends: tuple[Any, ...]
    concat: Any


def front_of(model: onnx.ModelProto, groups: Sequence[Group]) -> Front | None:
    """The front of a student on tiles, or None."""
    pair = standardisation(model)
    if pair is None:
        return None
    constants, ends = constants_of(model), []
    readers = [n for n in model.graph.node if pair[1].output[0] in n.input]
    for group in groups:
        found = [n for n in readers if n.op_type == "Gather"
                 and constants[n.input[1]].reshape(-1).tolist() == list(group.channels)]  # fmt: skip
        if len(found) != 1:
            return None
        end = found[0]
        for _ in range(2 if group.factor > 1 else 0):
            users = [n for n in model.graph.node if end.output[0] in n.input]
            if len(users) != 1 or users[0].op_type != "MatMul":
                return None
            (end,) = users
        ends.append(end)
    concat = next((n for n in model.graph.node if n.op_type == "Concat"), None)
    return Front(pair, tuple(ends), concat) if concat is not None and len(readers) == len(groups) else None


def native_form(model: onnx.ModelProto, factors: Sequence[int] | None) -> bool:
    """Give a student its native inputs, in place; whether it was one of `factors`."""
    from onnx import TensorProto, helper

    if not factors or len(set(factors)) < 2:
        return False
    size = model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    groups = student_groups(factors, size)
    front = front_of(model, groups)
    if front is None:
        return False
    writer = _Writer(model, front)
    quantised = writer.quantiser()
    new: list[Any] = []
    for group, end in zip(groups, front.ends, strict=True):
        new += writer.standardised(group, end, quantised)
    if quantised is not None:
        writer.take(quantised)
        front.concat.output[0] = quantised.output[0]
    dead = _before(model, front)
    kept = [n for n in model.graph.node if all(n is not d for d in dead)]
    del model.graph.node[:]
    model.graph.node.extend([*new, *kept])
    used = {name for n in model.graph.node for name in n.input}
    initializers = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(initializers)
    del model.graph.value_info[:]
    del model.graph.input[:]
    for g in groups:
        shape: list[str | int | None] = ["batch", len(g.channels), g.side, g.side]
        model.graph.input.append(helper.make_tensor_value_info(g.input, TensorProto.FLOAT, shape))
    model.metadata_props.add(key=KEY, value=write_groups(groups))
    return True


def _before(model: onnx.ModelProto, front: Front) -> list[Any]:
    """The standardisation, and all between it and the ends, these included."""
    dead, ends = list(front.pair), [e.output[0] for e in front.ends]
    reached = {front.pair[1].output[0]}
    for node in model.graph.node:  # in the order they run
        if reached & set(node.input):
            dead.append(node)
            reached |= set(node.output) - set(ends)
    return dead


class _Writer:
    """Writes the new beginning."""

    def __init__(self, model: onnx.ModelProto, front: Front) -> None:
        self.model, self.front, self.constants = model, front, constants_of(model)
        self.mean, self.std = (np.asarray(self.constants[n.input[1]], np.float64).reshape(-1) for n in front.pair)

    def add(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def quantiser(self) -> Any:
        """The QuantizeLinear behind the blocks where each channel's value 0 has a code; else None."""
        readers = [n for n in self.model.graph.node if self.front.concat.output[0] in n.input]
        if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
            return None
        step, zero = (self.constants[i] for i in readers[0].input[1:3])
        self.scale = Scale(float(step), int(zero))
        zeros = self.scale.zero - self.mean / (self.scale.step * self.std)
        return readers[0] if zeros.min() >= -0.5 and zeros.max() <= 255.5 else None

    def take(self, node: Any) -> None:
        """Out of the graph."""
        self.model.graph.node.remove(node)

    def standardised(self, group: Group, end: Any, quantised: Any) -> list[Any]:
        """From an input to what its front's end gave, as codes where these are made at once."""
        from onnx import helper

        own, name = list(group.channels), group.input
        mean, std = self.mean[own], self.std[own]
        if quantised is not None:
            steps, zeros = input_scales(self.scale, mean, std)
            args = [name, self.add(f"{name}/steps", steps), self.add(f"{name}/zeros", zeros)]
            return [helper.make_node("QuantizeLinear", args, [end.output[0]], name=f"{name}/Q", axis=1)]
        shape = (1, -1, 1, 1)
        args = [name, self.add(f"{name}/mean", mean.reshape(shape).astype(np.float32))]
        less = helper.make_node("Sub", args, [f"{name}/less"], name=f"{name}/less")
        args = [f"{name}/less", self.add(f"{name}/std", std.reshape(shape).astype(np.float32))]
        return [less, helper.make_node("Div", args, [end.output[0]], name=f"{name}/Div")]
