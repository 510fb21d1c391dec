"""QDQ graphs node by node: which tensors, which scales, which codes; against arithmetic on the arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skytrigger.model.qdq import (
    Scale,
    constants_of,
    input_range,
    input_scales,
    quantised_tensors,
    standardisation,
    weight_steps,
    write_qdq,
)

RNG = np.random.default_rng(0)
VALUES: dict[str, np.ndarray] = {
    "mean": np.array([10.0, 20.0], np.float32).reshape(1, 2, 1, 1),
    "std": np.array([2.0, 5.0], np.float32).reshape(1, 2, 1, 1),
    "w": RNG.normal(size=(3, 2, 1, 1)).astype(np.float32),
    "b": np.array([0.5, -0.25, 3.0], np.float32),
    "v": RNG.normal(size=(3, 3, 1, 1)).astype(np.float32),
    "one": np.ones(1, np.float32),
    "flat": np.array([0, 12], np.int64),
    "g": RNG.normal(size=(12, 4)).astype(np.float32),
    "h": RNG.normal(size=(4, 12)).astype(np.float32),
    "z": RNG.normal(size=4).astype(np.float32),
}


def node(op: str, inputs: str, output: str, **how: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"{output}/node", **how)


def graph(*nodes: onnx.NodeProto, outputs: str = "y") -> onnx.ModelProto:
    used = {name for n in nodes for name in n.input} | {"unused"}
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", 2, 4, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in outputs.split()],
        [numpy_helper.from_array(v, k) for k, v in {**VALUES, "unused": VALUES["one"]}.items() if k in used],
        value_info=[helper.make_tensor_value_info("c", TensorProto.FLOAT, ["n", 3, 4, 4])],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


SUB, DIV = node("Sub", "tiles mean", "t"), node("Div", "t std", "x")
CONV, RELU = node("Conv", "x w b", "c"), node("Relu", "c", "r")
POOL = node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2])
NETWORK = (SUB, DIV, CONV, RELU, POOL, node("Conv", "p v", "d"), node("Add", "p d", "a"),
           node("Reshape", "a flat", "f"), node("Gemm", "f g z", "y"))  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "step", "zero"),
    [(0.0, 6.0, 6 / 255, 0), (-3.0, 5.0, 8 / 255, 96), (2.0, 7.0, 7 / 255, 0), (-4.0, -1.0, 4 / 255, 255),
     (-2.0, 0.0, 2 / 255, 255), (0.0, 0.0, 1e-8 / 255, 0)],
)  # fmt: skip
def test_a_scale_shares_its_range_among_256_codes(low: float, high: float, step: float, zero: int) -> None:
    assert Scale.of(low, high) == Scale(float(np.float32(step)), zero)


def test_steps_of_weights_are_of_each_output_channel() -> None:
    weight = np.array([[[1.0, -2.0]], [[0.5, 0.25]], [[0.0, 0.0]]])
    assert weight_steps(weight) == pytest.approx(np.array([2 / 127, 0.5 / 127, 1e-10], np.float32), rel=1e-6)
    assert weight_steps(weight, 63)[0] == np.float32(2 / 63)
    assert weight_steps(weight).dtype == np.float32


def test_standardising_and_quantising_at_once() -> None:
    mean, std = np.array([10.0, 300.0, -4.0]), np.array([2.0, 50.0, 1.0])
    low, high = input_range(-1.0, 2.0, mean, std)
    assert (low, high) == (-6.0, 4.0)  # the value 0 of every channel has a code
    assert input_range(-9.0, 8.0, mean, std) == (-9.0, 8.0)
    scale = Scale.of(low, high)
    steps, zeros = input_scales(scale, mean, std)
    assert (steps.dtype, zeros.dtype) == (np.float32, np.uint8)
    x = RNG.uniform(-1, 1, (500, 3)) * std + mean
    codes = np.clip(np.rint(x / steps) + zeros, 0, 255)
    assert np.abs((codes - scale.zero) * scale.step - (x - mean) / std).max() <= 1.001 * scale.step
    assert input_scales(Scale(1.0, 10), np.array([20.0, -300.0]), np.ones(2))[1].tolist() == [0, 255]


def test_the_standardisation_is_the_pair_at_the_input() -> None:
    found = standardisation(graph(SUB, DIV, node("Relu", "x", "y")))
    assert found is not None
    assert [n.name for n in found] == ["t/node", "x/node"]
    for nodes in (
        (node("Sub", "mean tiles", "t"), DIV),
        (node("Sub", "tiles tiles", "t"), DIV),
        (node("Add", "tiles mean", "t"), DIV),
        (SUB, node("Mul", "t std", "x")),
        (SUB, node("Div", "std t", "x")),
        (SUB, node("Div", "t t", "x")),
        (SUB, DIV, node("Add", "x tiles", "q")),
        (node("Relu", "tiles", "x"), node("Sub", "x mean", "t")),
    ):
        assert standardisation(graph(*nodes, node("Relu", "x", "y"))) is None


@pytest.mark.parametrize(
    ("nodes", "floats", "tensors"),
    [
        (NETWORK, (), "x r p d a f"),
        (NETWORK, ("c/node",), "r p d a f"),
        (NETWORK, ("d/node", "y/node"), "x r p d a f"),  # Add reads d, a reshape hands a on
        (NETWORK, ("y/node", "a/node"), "x r p d"),  # what nobody quantised is not reshaped in codes either
        ((CONV, node("Relu", "c", "y")), (), "x"),  # logits stay float
        ((node("Conv", "x w b", "y"),), (), "x"),
        ((CONV, RELU, node("Add", "c r", "y")), (), "x c r"),  # read twice: before the ReLU, too
        ((node("Add", "x one", "c"), node("Relu", "c", "y")), (), ""),
        ((node("Conv", "x x", "c"), node("Relu", "c", "y")), (), ""),  # no constant weights
        ((node("Sigmoid", "x", "c"), node("Relu", "c", "y")), (), ""),
        ((CONV, node("Sigmoid", "c", "y")), (), "x c"),
        ((node("AveragePool", "x", "c", kernel_shape=[2, 2]), node("GlobalAveragePool", "c", "y")), (), "x c"),
    ],
)  # fmt: skip
def test_which_tensors_are_quantised(nodes: tuple[onnx.NodeProto, ...], floats: tuple[str, ...], tensors: str) -> None:
    assert quantised_tensors(graph(*nodes), floats) == tensors.split()


RANGES = {"x": (-5.0, 9.0), "r": (0.0, 4.0), "p": (0.0, 3.0), "d": (-2.0, 2.0), "a": (-1.0, 5.0), "f": (-7.0, 7.0)}


def decoded(made: onnx.ModelProto, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Codes, steps, zero points and axis of the constant behind the tensor `name`."""
    (found,) = [n for n in made.graph.node if n.output[0] == name]
    assert found.op_type == "DequantizeLinear"
    values = constants_of(made)
    return *(values[i] for i in found.input), found.attribute[0].i  # type: ignore[return-value]


def scale_of(made: onnx.ModelProto, name: str) -> tuple[float, int]:
    """Step and zero point of the pair behind the tensor `name`; both of its nodes have the same."""
    (to,), (back,) = ([n for n in made.graph.node if n.output[0] == f"{name}/{end}"] for end in "qd")
    assert (to.op_type, to.input[0], back.op_type, back.input[0]) == (
        "QuantizeLinear", name, "DequantizeLinear", f"{name}/q",
    )  # fmt: skip
    assert list(to.input[1:]) == list(back.input[1:])
    step, zero = (constants_of(made)[i] for i in to.input[1:])
    assert (step.dtype, step.shape, zero.dtype, zero.shape) == (np.float32, (), np.uint8, ())
    return float(step), int(zero)


@pytest.mark.parametrize("limit", [127, 63])
def test_the_written_graph_node_by_node(limit: int) -> None:
    model = graph(*NETWORK)
    before = model.SerializeToString()
    made = write_qdq(model, RANGES, limit=limit)
    assert model.SerializeToString() == before
    onnx.checker.check_model(made)
    names = [n.name for n in made.graph.node]
    assert all(names)
    assert len({*names}) == len(names)
    kinds = [n.op_type for n in made.graph.node]
    assert "Relu" not in kinds  # quantising to codes from 0 is the ReLU
    assert kinds.count("QuantizeLinear") == 6
    assert not made.graph.value_info
    assert {t.name for t in made.graph.initializer} == {i for n in made.graph.node for i in n.input} & {
        t.name for t in made.graph.initializer
    }
    for name in ("x", "p", "d", "a"):
        assert scale_of(made, name) == (Scale.of(*RANGES[name]).step, Scale.of(*RANGES[name]).zero)
    assert scale_of(made, "f") == scale_of(made, "a")  # reshaped: its source's scale
    assert scale_of(made, "c") == (Scale.of(0.0, 4.0).step, 0)  # the convolution's output takes the ReLU's
    reads = {n.output[0]: list(n.input) for n in made.graph.node}
    assert reads["c"] == ["x/d", "c/wd", "c/bd"]
    assert reads["p"] == ["c/d"]
    assert reads["d"] == ["p/d", "d/wd"]
    assert reads["a"] == ["p/d", "d/d"]
    assert reads["f"] == ["a/d", "flat"]
    assert reads["y"] == ["f/d", "y/wd", "y/bd"]
    for name, weight, source in (("c", VALUES["w"], "x"), ("d", VALUES["v"], "p"), ("y", VALUES["g"].T, "a")):
        codes, steps, zeros, axis = decoded(made, f"{name}/wd")
        codes = codes.T if name == "y" else codes
        assert (codes.dtype, steps.dtype, zeros.dtype, axis) == (np.int8, np.float32, np.int8, int(name == "y"))
        assert not zeros.any()
        assert np.abs(codes.reshape(len(codes), -1)).max(axis=1).tolist() == [limit] * len(codes)
        shape = (-1,) + (1,) * (weight.ndim - 1)
        assert (np.abs(codes * steps.reshape(shape) - weight) <= 0.501 * steps.reshape(shape)).all()
        if name == "d":
            continue
        codes, steps_b, zeros, axis = decoded(made, f"{name}/bd")
        np.testing.assert_array_equal(steps_b, (np.float32(scale_of(made, source)[0]) * steps).astype(np.float32))
        assert (codes.dtype, zeros.dtype, axis, zeros.any()) == (np.int32, np.int32, 0, False)
        bias = VALUES["b" if name == "c" else "z"]
        assert (np.abs(codes * steps_b.astype(float) - bias) <= 0.501 * steps_b).all()


def test_a_dense_layer_with_transposed_weights() -> None:
    made = write_qdq(graph(*NETWORK[:-1], node("Gemm", "f h z", "y", transB=1)), RANGES)
    codes, steps, _, axis = decoded(made, "y/wd")
    assert (codes.shape, steps.shape, axis) == ((4, 12), (4,), 0)
    assert (np.abs(codes * steps[:, None] - VALUES["h"]) <= 0.501 * steps[:, None]).all()
    off = write_qdq(graph(*NETWORK[:-1], node("Gemm", "f g z", "y", transB=0, alpha=1.0)), RANGES)
    assert decoded(off, "y/wd")[3] == 1


def test_learned_scales_and_steps_stand_instead_of_the_ranges() -> None:
    own = np.full(3, 0.5, np.float32)
    made = write_qdq(graph(*NETWORK), RANGES, scales={"p": Scale(0.25, 7)}, steps={"c": own})
    assert scale_of(made, "p") == (0.25, 7)
    codes, steps, _, _ = decoded(made, "c/wd")
    np.testing.assert_array_equal(steps, own)
    np.testing.assert_array_equal(codes, np.rint(VALUES["w"] / 0.5))
    tiny = write_qdq(graph(*NETWORK), RANGES, steps={"c": np.full(3, 1e-12, np.float32)})
    assert set(np.unique(np.abs(decoded(tiny, "c/wd")[0]))) == {127}  # clipped, never wrapped
    assert set(decoded(tiny, "c/bd")[0].tolist()) == {2**31 - 1, -(2**31)}


def test_float_nodes_keep_their_weights_and_read_floats() -> None:
    made = write_qdq(graph(*NETWORK), RANGES, float_nodes=("c/node", "d/node"))
    reads = {n.output[0]: list(n.input) for n in made.graph.node}
    assert (reads["c"], reads["r"], reads["p"]) == (["x", "w", "b"], ["c"], ["r/d"])  # a ReLU of its own
    assert reads["d"] == ["p/d", "v"]
    assert {"w", "b", "v"} <= {t.name for t in made.graph.initializer}
    assert {n.name for n in made.graph.node} >= {"c/node", "r/node", "d/node"}


def test_the_input_is_standardised_by_its_codes() -> None:
    model = graph(*NETWORK)
    made = write_qdq(model, RANGES, merge_input=True)
    assert len({n.name for n in made.graph.node} - {""}) == len(made.graph.node)
    assert not {"Sub", "Div"} & {n.op_type for n in made.graph.node}
    mean, std = (VALUES[k].reshape(-1).astype(float) for k in ("mean", "std"))
    scale = Scale.of(*input_range(-5.0, 9.0, mean, std))
    (to,) = [n for n in made.graph.node if n.output[0] == "x/q"]
    values = constants_of(made)
    assert (to.op_type, to.input[0], to.attribute[0].name, to.attribute[0].i) == ("QuantizeLinear", "tiles", "axis", 1)
    steps, zeros = input_scales(scale, mean, std)
    np.testing.assert_array_equal(values[to.input[1]], steps)
    np.testing.assert_array_equal(values[to.input[2]], zeros)
    (back,) = [n for n in made.graph.node if n.output[0] == "x/d"]
    assert (back.op_type, back.input[0]) == ("DequantizeLinear", "x/q")
    assert (float(values[back.input[1]]), int(values[back.input[2]])) == (scale.step, scale.zero)
    kept = write_qdq(model, RANGES, float_nodes=("c/node",), merge_input=True)  # nobody reads codes of the input
    assert [n.op_type for n in kept.graph.node][:2] == ["Sub", "Div"]
    bare = graph(node("Conv", "tiles w b", "c"), *NETWORK[3:])  # no standardisation: pixels are read as they come
    made = write_qdq(bare, {**RANGES, "tiles": (0.0, 1.0)}, merge_input=True)
    assert list(made.graph.node[2].input) == ["tiles", "c/wd", "c/bd"]
