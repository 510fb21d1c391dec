"""Networks that read each band at its own resolution: cubic upsampling folded into the first convolution.

Bands of 20 and 60 m are brought to a network's 10 m by cubic convolution (Keys 1981, a = -1/2), which is linear; so is
a first convolution. Together they are a convolution of native pixels whose weights repeat: with upsampling by f and
stride s, every lcm(f, s) / s outputs move on by lcm(f, s) / f native pixels. Each of these outputs is a channel of one
convolution, and the channels are then laid side by side. Outputs that touch the network's own zero padding have weights
of their own. No pixel is ever upsampled.

A file made so has an input for each resolution, ``tiles_10m``, ``tiles_20m``, ``tiles_60m``: windows of native pixels
with `HALO` more on each side than the tile touches, since cubic interpolation looks over its border. Tiles of 64 pixels
do not begin where pixels of 60 m do: input ``phase`` (row, column) says how many steps of `Group.step` tile pixels
after the beginning of a native pixel the tiles begin; all tiles of a batch share it.

Resampled DN are whole numbers, products of weights are not: answers differ by that rounding. Pixels without data,
saturated ones and the scene's edge are no linear matter; such tiles need resampled bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.model.file import INPUT
from skytrigger.model.native_inputs import HALO, KEY, PHASE, TAPS, Group, Weights, cubic_taps, read_groups, write_groups
from skytrigger.model.qdq import constants_of, standardisation

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Stretch:
    """Outputs of one axis that one convolution gives: `taps` (phases, outputs a turn, kernel, native pixels)."""

    taps: Weights
    first: int
    turns: int
    advance: int


def groups_of(factors: Sequence[int], size: int, stride: int) -> tuple[Group, ...]:
    """Channels by their factor; tiles of `size` begin at multiples of `stride` pixels, or half of it before."""
    step = math.gcd(stride, (size - stride) // 2)
    found = []
    for factor in sorted(set(factors)):
        own = tuple(c for c, f in enumerate(factors) if f == factor)
        gap = math.gcd(step, factor)
        phases = factor // gap
        side = size if factor == 1 else (size - 1 + (phases - 1) * gap) // factor + 1 + 2 * HALO
        found.append(Group(f"tiles_{10 * factor}m", own, factor, side, phases, gap))
    return tuple(found)


def stretches(group: Group, size: int, kernel: int, stride: int, pad: int, outputs: int) -> list[Stretch]:
    """One axis of a convolution of upsampled pixels, as convolutions of native ones."""
    base, weights = cubic_taps(group.factor)
    taps = np.zeros((group.phases, outputs, kernel, group.side))
    whole = np.ones(outputs, bool)  # those that no padding touches
    for o in range(outputs):
        for k in range(kernel):
            t = stride * o + k - pad
            if not 0 <= t < size:
                whole[o] = False
                continue
            for p in range(group.phases):
                pixel = p * group.step + t
                first = pixel // group.factor + HALO + base[pixel % group.factor]
                taps[p, o, k, first : first + TAPS] = weights[pixel % group.factor]
    turn = math.lcm(group.factor, stride)
    each, advance = turn // stride, turn // group.factor
    found, o = [], 0
    while o < outputs:
        run = int(np.argmin(np.append(whole[o:], False)))  # outputs from here on without padding
        turns = run // each
        n = each if turns else 1
        used = np.flatnonzero(taps[:, o : o + n].any(axis=(0, 1, 2)))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        found.append(Stretch(taps[:, o : o + n, :, low:high], low, max(turns, 1), advance))
        o += n * max(turns, 1)
    return found


def with_native_inputs(model: onnx.ModelProto, factors: Sequence[int], stride: int | None = None) -> onnx.ModelProto:
    """A float network with one input a resolution instead of ``tiles``.

    Parameters
    ----------
    factors
        For each channel: tile pixels on a side of its native pixels; 1, 2 and 6 for 10, 20 and 60 m.
    stride
        Pixels between tiles of a scene, of which it depends where they begin; None: a tile's side.

    Raises
    ------
    InputError
        The network does not begin with a convolution (after its standardisation), or tiles are not square.
    """
    from onnx import ModelProto, TensorProto, helper

    channels, size, width = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])
    if len(factors) != channels or size != width:
        raise InputError(f"{len(factors)} resolutions, {channels} bands, tiles of {size} x {width}", expected="square")
    out = ModelProto()
    out.CopyFrom(model)
    writer = _Writer(out)
    convolution = writer.first_convolution()
    groups = groups_of(factors, size, stride or size)
    sums = [writer.group(group, size, i == 0) for i, group in enumerate(groups)]
    writer.finish(convolution, sums)
    del out.graph.input[:]
    for g in groups:
        shape: list[str | int | None] = ["batch", len(g.channels), g.side, g.side]
        out.graph.input.append(helper.make_tensor_value_info(g.input, TensorProto.FLOAT, shape))
    if any(g.phases > 1 for g in groups):
        out.graph.input.append(helper.make_tensor_value_info(PHASE, TensorProto.INT64, [2]))
    helper.set_model_props(out, {**{p.key: p.value for p in model.metadata_props},
                                 KEY: write_groups(groups)})  # fmt: skip
    return out


def native_groups(model: onnx.ModelProto) -> tuple[Group, ...]:
    """What a file made so says of its inputs."""
    return read_groups(next((p.value for p in model.metadata_props if p.key == KEY), None), "the model")


class _Writer:
    """Writes the new beginning of a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.constants, self.nodes = model, constants_of(model), list[Any]()
        self.pair = standardisation(model)

    def first_convolution(self) -> Any:
        """The one that alone reads the tiles, standardised or not."""
        source = self.pair[1].output[0] if self.pair else INPUT
        users = [n for n in self.model.graph.node if source in n.input]
        plain = len(users) == 1 and users[0].op_type == "Conv" and users[0].input[1] in self.constants
        attributes = {a.name: list(a.ints) or a.i or a.s for a in users[0].attribute} if plain else {}
        once = {attributes.get("group") or 1, *(attributes.get("dilations") or [1])} == {1}
        if not plain or not once or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise InputError("the network does not begin with a plain convolution", expected="Conv of all bands")
        self.weight = self.constants[users[0].input[1]].astype(np.float64)
        self.bias = users[0].input[2] if len(users[0].input) > 2 else ""
        self.strides = attributes.get("strides") or [1, 1]
        self.pads = attributes.get("pads") or [0, 0, 0, 0]
        return users[0]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def group(self, group: Group, size: int, biased: bool) -> str:
        """The first convolution's outputs as far as they come from this group."""
        name, index = group.input, list(group.channels)
        source = name
        if self.pair:
            for node, kind in zip(self.pair, ("Sub", "Div"), strict=True):
                value = self.constants[node.input[1]].reshape(-1)
                value = value[index] if value.size > 1 else value
                own = self.constant(f"{name}/{kind}/c", value.reshape(1, -1, 1, 1))
                source = self.node(kind, [source, own], f"{name}/{kind}")
        weight, bias = self.weight[:, index], [self.bias] if biased and self.bias else []
        if group.factor == 1:
            kept = self.constant(f"{name}/w", weight.astype(np.float32))
            return self.node("Conv", [source, kept, *bias], f"{name}/conv", strides=self.strides, pads=self.pads)
        axes = []
        for axis in (0, 1):
            kernel, stride, low, high = weight.shape[2 + axis], self.strides[axis], self.pads[axis], self.pads[2 + axis]
            outputs = (size + low + high - kernel) // stride + 1
            axes.append(stretches(group, size, kernel, stride, low, outputs))
        lines = []
        for i, y in enumerate(axes[0]):
            row = [self.patch(group, source, weight, bias, y, x, f"{name}/{i}.{j}") for j, x in enumerate(axes[1])]
            lines.append(self.node("Concat", row, f"{name}/{i}", axis=3))
        return self.node("Concat", lines, f"{name}/all", axis=2)

    def patch(
        self, group: Group, source: str, weight: Weights, bias: list[str], y: Stretch, x: Stretch, name: str
    ) -> str:
        """The outputs of a stretch of rows and one of columns."""
        folded = np.einsum("ockl,pykm,qxln->pqyxocmn", weight, y.taps, x.taps)
        p, q, ty, tx, count, c, my, mx = folded.shape
        table = folded.reshape(p * q, ty * tx * count, c, my, mx).astype(np.float32)
        lows, highs = (
            [y.first, x.first],
            [y.first + (y.turns - 1) * y.advance + my, x.first + (x.turns - 1) * x.advance + mx],
        )
        numbers = [self.constant(f"{name}/{k}", np.array(v, np.int64)) for k, v in
                   (("from", lows), ("to", highs), ("axes", [2, 3]))]  # fmt: skip
        cut = self.node("Slice", [source, *numbers], f"{name}/cut")
        kept = self.constant(f"{name}/w", table if p * q > 1 else table[0])
        if p * q > 1:
            kept = self.node("Gather", [kept, self.phase(q)], f"{name}/wp", axis=0)
        if bias and ty * tx > 1:
            tiled = np.tile(self.constants[bias[0]], ty * tx)
            bias = [self.constant(f"{name}/b", tiled)]
        made = self.node("Conv", [cut, kept, *bias], f"{name}/conv", strides=[y.advance, x.advance])
        if ty * tx == 1:
            return made
        apart = self.constant(f"{name}/apart", np.array([0, ty, tx, count, y.turns, x.turns], np.int64))
        beside = self.constant(f"{name}/beside", np.array([0, count, y.turns * ty, x.turns * tx], np.int64))
        made = self.node("Reshape", [made, apart], f"{name}/parts")
        made = self.node("Transpose", [made], f"{name}/turned", perm=[0, 3, 4, 1, 5, 2])
        return self.node("Reshape", [made, beside], f"{name}/beside_all")

    def phase(self, columns: int) -> str:
        """Place of the batch's phase in tables: row phase x `columns` + column phase."""
        name = f"{PHASE}/{columns}"
        if all(n.name != name for n in self.nodes):
            weights = self.constant(f"{name}/c", np.array([columns, 1], np.int64))
            product = self.node("Mul", [PHASE, weights], f"{name}/parts")
            self.node("ReduceSum", [product], name, keepdims=0)
        return name

    def finish(self, convolution: Any, sums: list[str]) -> None:
        """The new nodes instead of the old ones."""
        old = [convolution, *(self.pair or ())]
        kept = [n for n in self.model.graph.node if all(n is not o for o in old)]
        total = sums[0]
        for i, more in enumerate(sums[1:], 1):
            total = self.node("Add", [total, more], f"native/sum{i}")
        self.node("Identity", [total], "native/all")
        self.nodes[-1].output[0] = convolution.output[0]
        del self.model.graph.node[:]
        self.model.graph.node.extend([*self.nodes, *kept])
        used = {name for n in self.model.graph.node for name in n.input}
        initializers = [t for t in self.model.graph.initializer if t.name in used]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(initializers)
        del self.model.graph.value_info[:]
