"""Operations of each kind of node, by hand; types and shapes that count."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skytrigger.core.errors import InputError
from skytrigger.model.operations import count_work

VALUES: dict[str, np.ndarray] = {
    "w": np.zeros((5, 3, 2, 2), np.float32), "b": np.zeros(5, np.float32), "k": np.zeros((8, 4), np.float32),
    "t": np.zeros((4, 8), np.float32), "h": np.zeros(4, np.float32), "one": np.ones(1, np.float32),
    "s": np.float32(0.5), "z": np.uint8(3), "norm": np.ones(3, np.float32), "axes": np.array([2, 3], np.int64),
    "half": np.zeros((8, 4), np.float16), "flat": np.array([0, -1], np.int64),
}  # fmt: skip


def network(*nodes: onnx.NodeProto, shape: tuple[Any, ...] = ("n", 3, 8, 8), kind: int = TensorProto.FLOAT) -> Any:
    used = {name for n in nodes for name in n.input}
    to = {"QuantizeLinear": TensorProto.UINT8, "DequantizeLinear": TensorProto.FLOAT}.get(nodes[0].op_type, kind)
    out = helper.make_tensor_value_info("y", to, None)
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("tiles", kind, shape)], [out],
        [numpy_helper.from_array(v, k) for k, v in VALUES.items() if k in used],
    )  # fmt: skip
    inferred = onnx.shape_inference.infer_shapes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)]))
    return inferred


def node(op: str, inputs: str, **how: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), ["y"], **how)


ROW = ("n", 8)


@pytest.mark.parametrize(
    ("made", "shape", "operations", "is_product"),
    [
        (node("Conv", "tiles w b"), None, 5 * 49 * (2 * 12 + 1), True),
        (node("Conv", "tiles w", strides=[2, 2]), None, 5 * 16 * 24, True),
        (node("Gemm", "tiles k h"), ROW, 4 * 17, True),
        (node("Gemm", "tiles k"), ROW, 4 * 16, True),
        (node("Gemm", "tiles t h", transB=1), ROW, 4 * 17, True),
        (node("Gemm", "tiles k h", transB=0), ROW, 4 * 17, True),
        (node("MatMul", "tiles k"), ROW, 4 * 16, True),
        (node("MaxPool", "tiles", kernel_shape=[2, 3], strides=[2, 3]), None, 3 * 8 * 6, False),
        (node("AveragePool", "tiles", kernel_shape=[4, 2], strides=[4, 4]), None, 3 * 4 * 8, False),
        (node("GlobalAveragePool", "tiles"), None, 192, False),
        (node("ReduceMean", "tiles axes"), None, 192, False),
        *[(node(op, "tiles one"), None, 192, False) for op in ("Add", "Sub", "Mul", "Div")],
        *[(node(op, "tiles"), None, 192, False) for op in ("Relu", "Sigmoid", "HardSwish", "Clip", "Softmax")],
        (node("BatchNormalization", "tiles norm norm norm norm"), None, 192, False),
        (node("QuantizeLinear", "tiles s z"), None, 192, False),
        (node("Reshape", "tiles flat"), None, 0, False),
        (node("Tanh", "tiles"), None, 0, False),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else None,
)
def test_operations_of_a_node(made: Any, shape: Any, operations: int, is_product: bool) -> None:
    for batch in (1, 3):
        work = count_work(network(made, shape=shape or ("n", 3, 8, 8)), batch)
        assert (work.batch_size, work.operations) == (batch, batch * operations)
        assert work.product_operations == batch * operations * is_product
    assert count_work(network(made, shape=shape or ("n", 3, 8, 8))).batch_size == 1


def test_bytes_by_type() -> None:
    sizes = {"FLOAT": 4, "FLOAT16": 2, "BFLOAT16": 2, "DOUBLE": 8, "UINT8": 1, "INT8": 1, "INT32": 4, "INT64": 8}
    for name, size in sizes.items():
        kind = getattr(TensorProto, name)
        work = count_work(network(node("Identity", "tiles"), shape=("n", 10), kind=kind), 2)
        assert (work.io_bytes, work.weight_bytes, work.activation_bytes) == (2 * 2 * 10 * size, 0, 0)
    work = count_work(network(node("MatMul", "tiles half"), shape=ROW, kind=TensorProto.FLOAT16))
    assert (work.weight_bytes, work.io_bytes, work.activation_bytes) == (64, 2 * 12, 2 * 2 * 4)
    read = count_work(network(node("DequantizeLinear", "tiles s z"), kind=TensorProto.UINT8))
    assert read.operations == 192
    assert read.weight_bytes == 4 + 1


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Relu"])
def test_results_of_products_and_pools_are_written_and_read(op: str) -> None:
    made = node(op, "tiles", **({"kernel_shape": [2, 2]} if op in ("MaxPool", "AveragePool") else {}))
    numbers = {"MaxPool": 3 * 49, "AveragePool": 3 * 49, "GlobalAveragePool": 3}.get(op, 0)
    assert count_work(network(made)).activation_bytes == 2 * 4 * numbers


def test_the_model_is_not_changed_and_weights_among_the_inputs_count_once() -> None:
    model = network(node("Conv", "tiles w b"))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [5, 3, 2, 2]))
    before = model.SerializeToString()
    work = count_work(model, 2)
    assert model.SerializeToString() == before
    assert work.io_bytes == 2 * 4 * (192 + 5 * 49)
    assert work.weight_bytes == 4 * (60 + 5)


def test_a_shape_that_is_not_known_is_named() -> None:
    with pytest.raises(InputError, match=re.escape("the shape of 'y' (Conv) is unknown")):
        count_work(network(node("Conv", "tiles w b"), shape=("n", 3, "h", 8)))
    with pytest.raises(InputError, match=r"'tiles' \(GlobalAveragePool\)"):
        count_work(network(node("GlobalAveragePool", "tiles"), shape=("n", 3, "h", 8)))
