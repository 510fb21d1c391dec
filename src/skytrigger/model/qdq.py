"""QDQ pairs around a float graph: which tensors get them, from which ranges, with which scales.

Activations uint8 with a zero point, weights int8 per output channel, biases int32. With `merge_input` the input's
standardisation becomes part of its quantisation: ``q = round(x / (s std_c)) + zero_c`` does in one pass over the pixels
what ``(x - mean) / std`` and ``round(. / s) + zero`` do in three. Engines for CPUs take that; TensorRT, which has no
zero points, does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.model.file import INPUT

if TYPE_CHECKING:
    import onnx

Ranges = dict[str, tuple[float, float]]
PRODUCTS = ("Conv", "Gemm")
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool")
SHAPES = ("Reshape", "Flatten", "Squeeze")
WEIGHT_LIMIT = 127
REDUCED_LIMIT = 63  # 7 bits: without VNNI, pairs of 8-bit products overflow 16 bits


@dataclass(frozen=True)
class Scale:
    """``value = (code - zero) * step`` with codes 0..255."""

    step: float
    zero: int

    @staticmethod
    def of(low: float, high: float) -> Scale:
        """Covers `low`..`high` and represents 0 exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        step = float(np.float32(max(high - low, 1e-8) / 255))
        return Scale(step, int(np.clip(round(-low / step), 0, 255)))


def constants_of(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Initialisers as arrays."""
    from onnx import numpy_helper

    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def is_product(node: Any, constants: Mapping[str, Any]) -> bool:
    """A convolution or dense layer with constant weights."""
    return node.op_type in PRODUCTS and node.input[1] in constants


def quantised_tensors(model: onnx.ModelProto, float_nodes: Collection[str] = ()) -> list[str]:
    """Tensors that get a QDQ pair: what int8 operators read and, after a fused ReLU, write; logits stay float."""
    constants = constants_of(model)
    outputs = {o.name for o in model.graph.output}
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found: dict[str, None] = {}
    for node in model.graph.node:
        if node.name in float_nodes:
            continue
        inputs = [name for name in node.input if name and name not in constants]
        if is_product(node, constants) or node.op_type in POOLS:
            found[node.input[0]] = None
        elif node.op_type == "Add" and len(inputs) == 2:
            found.update(dict.fromkeys(inputs))
        elif not (node.op_type in SHAPES and node.input[0] in found):
            continue
        out = node.output[0]
        readers = users.get(out, [])
        if len(readers) == 1 and readers[0].op_type == "Relu":
            out = readers[0].output[0]
        if out not in outputs:
            found[out] = None
    return list(found)


def weight_steps(weight: NDArray[Any], limit: int = WEIGHT_LIMIT) -> NDArray[np.float32]:
    """(out channels,) steps of symmetric int8 weights."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    steps: NDArray[np.float32] = np.maximum(largest / limit, 1e-10).astype(np.float32)
    return steps


def input_scales(
    scale: Scale, mean: NDArray[np.float64], std: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Per channel step and zero point that standardise and quantise at once.

    The code of the value 0 must lie within 0..255: `input_range` sees to that. Rounding it moves a channel's mean by up
    to half a step.
    """
    steps = (scale.step * std).astype(np.float32)
    return steps, np.clip(np.rint(scale.zero - mean / (scale.step * std)), 0, 255).astype(np.uint8)


def input_range(low: float, high: float, mean: NDArray[np.float64], std: NDArray[np.float64]) -> tuple[float, float]:
    """The standardised input's range, widened so that the value 0 of every channel has a code."""
    return min(low, float((-mean / std).min())), max(high, float((-mean / std).max()))


def standardisation(model: onnx.ModelProto) -> tuple[Any, Any] | None:
    """The (Sub, Div) pair at the input, or None."""
    constants = constants_of(model)
    sub = next((n for n in model.graph.node if n.op_type == "Sub" and n.input[0] == INPUT), None)
    if sub is None or sub.input[1] not in constants or sum(INPUT in n.input for n in model.graph.node) != 1:
        return None
    div = next((n for n in model.graph.node if n.op_type == "Div" and n.input[0] == sub.output[0]), None)
    return (sub, div) if div is not None and div.input[1] in constants else None


def write_qdq(
    model: onnx.ModelProto,
    ranges: Mapping[str, tuple[float, float]],
    float_nodes: Collection[str] = (),
    limit: int = WEIGHT_LIMIT,
    scales: Mapping[str, Scale] | None = None,
    steps: Mapping[str, NDArray[np.float32]] | None = None,
    merge_input: bool = False,
) -> onnx.ModelProto:
    """`model` with QDQ pairs.

    Parameters
    ----------
    ranges
        Of every tensor of `quantised_tensors(model, float_nodes)`.
    limit
        Largest weight code: 127, or 63 for CPUs without VNNI.
    scales, steps
        Learned scales of tensors and learned weight steps (by product's output name), instead of those from the ranges.
    """
    from onnx import ModelProto

    out = ModelProto()
    out.CopyFrom(model)
    writer = _Writer(constants_of(model))
    pair = standardisation(model) if merge_input else None
    found = _scales(model, ranges, quantised_tensors(model, float_nodes), pair, writer.constants) | dict(scales or {})
    fused = _before_relu(model, found, float_nodes)
    names: dict[str, str] = {}  # tensor -> its dequantised self
    for node in model.graph.node:
        if pair is not None and node.name == pair[0].name and pair[1].output[0] in found:
            continue
        if pair is not None and node.name == pair[1].name and pair[1].output[0] in found:
            name = node.output[0]
            names[name] = writer.standardised(name, found[name], *_statistics(pair, writer.constants))
            continue
        if node.op_type == "Relu" and node.output[0] in found and node.input[0] in fused:
            # quantising to 0..255 with zero point 0 is the ReLU; ONNX Runtime leaves Add in float32 where one follows
            names[node.output[0]] = writer.pair(node.input[0], found[node.output[0]])
            continue
        copy = type(node)()
        copy.CopyFrom(node)
        for i, name in enumerate(node.input):
            copy.input[i] = names.get(name, name)
        if node.name not in float_nodes and is_product(node, writer.constants) and node.input[0] in found:
            key = node.output[0]
            writer.product(copy, node, found[node.input[0]], limit, (steps or {}).get(key))
        writer.nodes.append(copy)
        for name in node.output:
            if name in found:
                names[name] = writer.pair(name, found[name])
    del out.graph.node[:]
    out.graph.node.extend(writer.nodes)
    used = {name for n in writer.nodes for name in n.input}
    del out.graph.initializer[:]
    out.graph.initializer.extend(t for name, t in writer.tensors().items() if name in used)
    del out.graph.value_info[:]
    return out


def _scales(
    model: onnx.ModelProto,
    ranges: Mapping[str, tuple[float, float]],
    tensors: list[str],
    pair: tuple[Any, Any] | None,
    constants: Mapping[str, Any],
) -> dict[str, Scale]:
    """Of each of `tensors`, from its range."""
    found: dict[str, Scale] = {}
    blocks = blocks_of(model, pair)
    for name in tensors:
        low, high = ranges[name]
        if pair is not None and name in (pair[1].output[0], blocks):
            low, high = input_range(low, high, *_statistics(pair, constants))
        found[name] = Scale.of(low, high)
    _same_through_shapes(model, found)
    return found


def blocks_of(model: onnx.ModelProto, pair: tuple[Any, Any] | None) -> str | None:
    """What a student reads of its standardised input: native pixels side by side (`native_student`), or None."""
    readers = [n for n in model.graph.node if pair is not None and pair[1].output[0] in n.input]
    if not readers or any(n.op_type != "Gather" for n in readers):
        return None
    return next((str(n.output[0]) for n in model.graph.node if n.op_type == "Concat"), None)


def _statistics(pair: tuple[Any, Any], constants: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, std = (np.asarray(constants[n.input[1]], dtype=np.float64).reshape(-1) for n in pair)
    return mean, std


def _same_through_shapes(model: onnx.ModelProto, found: dict[str, Scale]) -> None:
    """A reshaped tensor has its source's scale, so that engines drop the pair in between."""
    for node in model.graph.node:
        if node.op_type in SHAPES and node.input[0] in found and node.output[0] in found:
            found[node.output[0]] = found[node.input[0]]


def _before_relu(model: onnx.ModelProto, found: Mapping[str, Scale], float_nodes: Collection[str]) -> set[str]:
    """Outputs of int8 operators whose one reader is a ReLU that quantisation does by itself."""
    made = {n.output[0]: n for n in model.graph.node if n.name not in float_nodes}
    readers = Counter(name for n in model.graph.node for name in n.input)
    return {
        n.input[0]
        for n in model.graph.node
        if n.op_type == "Relu" and n.output[0] in found and found[n.output[0]].zero == 0
        and readers[n.input[0]] == 1
        and n.input[0] in made and made[n.input[0]].op_type in (*PRODUCTS, "Add")
    }  # fmt: skip


class _Writer:
    """Collects nodes and constants; short names, since they are part of the file's size."""

    def __init__(self, constants: dict[str, NDArray[Any]]) -> None:
        self.constants = constants
        self.nodes: list[Any] = []
        self._new: dict[str, NDArray[Any]] = {}

    def tensors(self) -> dict[str, Any]:
        from onnx import numpy_helper

        # scalars stay scalars: of shape (1,) they keep ONNX Runtime from fusing an integer Add
        return {name: numpy_helper.from_array(np.require(v, requirements="C"), name)
                for name, v in {**self.constants, **self._new}.items()}  # fmt: skip

    def pair(self, name: str, scale: Scale) -> str:
        """QuantizeLinear and DequantizeLinear behind the tensor `name`."""
        from onnx import helper

        args = [self._add(f"{name}/s", np.float32(scale.step)), self._add(f"{name}/z", np.uint8(scale.zero))]
        self.nodes.append(helper.make_node("QuantizeLinear", [name, *args], [f"{name}/q"], name=f"{name}/Q"))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}/q", *args], [f"{name}/d"], name=f"{name}/D"))
        return f"{name}/d"

    def standardised(self, name: str, scale: Scale, mean: NDArray[np.float64], std: NDArray[np.float64]) -> str:
        """The input quantised per channel with its standardisation, read back on the standardised scale."""
        from onnx import helper

        steps, zeros = input_scales(scale, mean, std)
        source = [INPUT, self._add(f"{name}/ss", steps), self._add(f"{name}/zz", zeros)]
        args = [self._add(f"{name}/s", np.float32(scale.step)), self._add(f"{name}/z", np.uint8(scale.zero))]
        self.nodes.append(helper.make_node("QuantizeLinear", source, [f"{name}/q"], name=f"{name}/Q", axis=1))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}/q", *args], [f"{name}/d"], name=f"{name}/D"))
        return f"{name}/d"

    def product(self, copy: Any, node: Any, source: Scale, limit: int, steps: NDArray[np.float32] | None) -> None:
        """int8 weights per output channel and an int32 bias for a product."""
        from onnx import helper

        name, weight = node.output[0], self.constants[node.input[1]]
        transposed = node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)
        rows = weight.T if transposed else weight
        steps = weight_steps(rows, limit) if steps is None else steps
        shape = (-1,) + (1,) * (rows.ndim - 1)
        codes = np.clip(np.rint(rows / steps.reshape(shape)), -limit, limit).astype(np.int8)
        codes = codes.T if transposed else codes
        axis = 1 if transposed else 0
        args = [self._add(f"{name}/w", codes), self._add(f"{name}/ws", steps),
                self._add(f"{name}/wz", np.zeros(len(steps), np.int8))]  # fmt: skip
        self.nodes.append(helper.make_node("DequantizeLinear", args, [f"{name}/wd"], name=f"{name}/WD", axis=axis))
        copy.input[1] = f"{name}/wd"
        if len(node.input) > 2:
            bias_steps = (np.float32(source.step) * steps).astype(np.float32)
            bias = np.rint(self.constants[node.input[2]].astype(np.float64) / bias_steps)
            limits = np.iinfo(np.int32)
            args = [self._add(f"{name}/b", np.clip(bias, limits.min, limits.max).astype(np.int32)),
                    self._add(f"{name}/bs", bias_steps),
                    self._add(f"{name}/bz", np.zeros(len(steps), np.int32))]  # fmt: skip
            self.nodes.append(helper.make_node("DequantizeLinear", args, [f"{name}/bd"], name=f"{name}/BD", axis=0))
            copy.input[2] = f"{name}/bd"

    def _add(self, name: str, value: Any) -> str:
        self._new[name] = np.asarray(value)
        return name
