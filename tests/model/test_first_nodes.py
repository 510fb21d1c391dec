"""How a graph begins: codes that stand for it, and rows that nobody reads; on graphs of a few nodes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from skytrigger.core.card import ModelCard
from skytrigger.model.file import ModelFile
from skytrigger.model.input_codes import from_codes, input_codes
from skytrigger.model.skip_rows import skip_rows

RNG = np.random.default_rng(0)
CARD = ModelCard("n", ("a", "b"), ("x", "y"), (8, 8), (0.0, 0.0), (1.0, 1.0), "DN", "hash")
VALUES: dict[str, np.ndarray] = {
    "steps": np.array([37.3, 11.7], np.float32), "zeros": np.array([3, 250], np.uint8),
    "step": np.float32(20), "zero": np.uint8(7), "signed": np.array([3, 4], np.int8),
    "three": np.ones(3, np.float32), "zeros3": np.zeros(3, np.uint8),
    "flat": np.array([0, 2, 8, 8], np.int64), "w": RNG.normal(size=(3, 2, 2, 2)).astype(np.float32),
    "m": np.ones((1, 2, 1, 1), np.float32),
}  # fmt: skip
for name, value in {"from": 0, "to": 4, "axis": 3, "four": 4}.items():
    VALUES[name] = np.array([value], np.int64)


def node(op: str, inputs: str, output: str, **how: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], **how)


def graph(*nodes: onnx.NodeProto, rows: int = 8) -> onnx.ModelProto:
    used = {name for n in nodes for name in n.input}
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, rows, 8])] for name in ("tiles", "y")]
    ends[1][0].type.tensor_type.shape.dim[1].dim_param = "c"
    made = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(v, k) for k, v in VALUES.items() if k in used])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def file_of(*nodes: onnx.NodeProto) -> ModelFile:
    content = graph(*nodes).SerializeToString()
    return ModelFile(Path("m.onnx"), content, "old", CARD)


READ = node("DequantizeLinear", "q steps zeros", "y", axis=1)


@pytest.mark.parametrize("how", [{}, {"axis": 1}])
@pytest.mark.parametrize("inputs", ["steps zeros", "step zero"])
def test_codes_of_every_whole_number(inputs: str, how: dict[str, int]) -> None:
    found = input_codes(file_of(node("QuantizeLinear", f"tiles {inputs}", "q", **how), READ))
    assert found is not None
    step, zero = (np.broadcast_to(VALUES[name], 2)[:, None, None] for name in inputs.split())
    numbers = np.arange(65_536, dtype=np.uint16).reshape(1, 1, 256, 256).repeat(2, 1)
    exact = np.clip(np.rint(numbers.astype(np.float32) / step) + zero.astype(np.float32), 0, 255)
    codes = found.of(numbers)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, exact)


def test_the_neighbouring_product_is_tried_before_giving_up() -> None:
    """Steps for which 1 / step rounds some number otherwise: a neighbour may do, and what is found always agrees."""
    rng, numbers = np.random.default_rng(1), np.arange(65_536, dtype=np.float32)
    kinds = set()
    for step in [*rng.uniform(0.5, 300, 60), 0.5, 3.0, 6.0, 100.0]:
        VALUES["steps"] = np.full(2, step, np.float32)
        found = input_codes(file_of(node("QuantizeLinear", "tiles steps zeros", "q"), READ))
        if found is None:
            kinds.add("none")
            continue
        codes = np.clip(np.rint(numbers / VALUES["steps"][0]), -256, 256)
        np.testing.assert_array_equal(np.clip(np.rint(numbers * found.gains[0]), -256, 256), codes)
        kinds.add(float(np.sign(found.gains[0] - np.float32(1) / VALUES["steps"][0])))
    VALUES["steps"] = np.array([37.3, 11.7], np.float32)
    assert 0.0 in kinds
    assert len(kinds) > 1


@pytest.mark.parametrize(
    "nodes",
    [
        (node("QuantizeLinear", "tiles steps zeros", "q", axis=2), READ),
        (node("QuantizeLinear", "tiles steps", "q"), READ),
        (node("QuantizeLinear", "tiles steps signed", "q"), READ),
        (node("QuantizeLinear", "tiles three zeros3", "q"), READ),
        (node("Relu", "tiles", "steps2"), node("QuantizeLinear", "tiles steps zeros", "q"), READ),
        (node("Relu", "tiles", "r"), node("QuantizeLinear", "r steps zeros", "q"), READ),
        (node("Sub", "m tiles", "y"),),
        (node("QuantizeLinear", "tiles tiles zeros", "q"), READ),
    ],
)  # fmt: skip
def test_graphs_that_begin_otherwise(nodes: tuple[onnx.NodeProto, ...]) -> None:
    assert input_codes(file_of(*nodes)) is None


@pytest.mark.parametrize("moved", [False, True])
def test_a_graph_that_takes_its_codes(moved: bool) -> None:
    front = [node("Slice", "tiles from four axis", "s"), node("Slice", "s from four axis", "t")] if moved else []
    source = "t" if moved else "tiles"
    whole = file_of(*front, node("QuantizeLinear", f"{source} steps zeros", "q"), READ)
    codes = input_codes(whole)
    assert codes is not None
    short = from_codes(whole)
    assert short.sha256 == hashlib.sha256(short.content).hexdigest() != whole.sha256
    assert (short.path, short.card) == (whole.path, whole.card)
    made = short.graph()
    assert made.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert [n.op_type for n in made.graph.node] == ["Slice"] * (2 * moved) + ["DequantizeLinear"]
    tiles = RNG.integers(0, 9000, (3, 2, 8, 8)).astype(np.float32)
    made.opset_import[0].version = 21
    answer = ReferenceEvaluator(made).run(None, {"tiles": codes.of(tiles)})[0]
    steps, zeros = (VALUES[n][:, None, None].astype(np.float32) for n in ("steps", "zeros"))
    exact = (np.clip(np.rint(tiles / steps) + zeros, 0, 255) - zeros) * steps
    np.testing.assert_allclose(answer, exact[..., :4] if moved else exact, rtol=1e-6)


def both(*nodes: onnx.NodeProto, rows: int = 8) -> bool:
    """Whether rows were dropped; the answers are the same either way, and a graph that stays is not touched."""
    model = graph(*nodes, rows=rows)
    tiles = RNG.normal(size=(2, 2, rows, 8)).astype(np.float32)
    before, text = ReferenceEvaluator(model).run(None, {"tiles": tiles})[0], model.SerializeToString()
    dropped = skip_rows(model)
    assert dropped == (model.SerializeToString() != text)
    np.testing.assert_array_equal(ReferenceEvaluator(model).run(None, {"tiles": tiles})[0], before)
    return dropped


def conv(source: str = "tiles", **how: Any) -> onnx.NodeProto:
    return node("Conv", f"{source} w", "y", **{"kernel_shape": [2, 2], "strides": [4, 2], **how})


SUB = node("Sub", "tiles m", "s")


@pytest.mark.parametrize(
    ("nodes", "rows", "dropped"),
    [
        ((conv(),), 8, True),
        ((conv(dilations=[1, 1], pads=[0, 0, 0, 0]),), 8, True),
        ((conv(strides=[4, 3]),), 8, True),
        ((conv(strides=[3, 1]),), 9, True),
        ((conv(strides=[3, 1]),), 8, False),  # the last rows are no whole group
        ((conv(strides=[2, 2]),), 8, False),
        ((conv(strides=[1, 4]),), 8, False),
        ((conv(pads=[1, 0, 1, 0]),), 8, False),
        ((conv(pads=[0, 0, 0, 1]),), 8, False),
        ((conv(dilations=[2, 1]),), 8, False),
        ((SUB, node("Div", "s m", "d"), conv("d")), 8, True),
        ((SUB, node("Relu", "s", "d"), conv("d")), 8, False),
        ((SUB, node("Add", "s tiles", "d"), conv("d")), 8, False),
        ((node("Cast", "tiles", "d", to=1), conv("d")), 8, True),
        ((node("Relu", "tiles", "y"),), 8, False),
    ],
)  # fmt: skip
def test_rows_are_dropped_where_no_window_reads_them(nodes: tuple[Any, ...], rows: int, dropped: bool) -> None:
    assert both(*nodes, rows=rows) == dropped


def test_what_is_dropped_and_how() -> None:
    model = graph(SUB, conv("s"))
    model.graph.value_info.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, ["n", 2, 8, 8]))
    assert skip_rows(model)
    assert [n.op_type for n in model.graph.node] == ["Reshape", "Slice", "Reshape", "Sub", "Conv"]
    assert list(next(a for a in model.graph.node[-1].attribute if a.name == "strides").ints) == [2, 2]
    assert not model.graph.value_info
    onnx.checker.check_model(model)
    inferred = onnx.shape_inference.infer_shapes(model)
    (kept,) = [v for v in inferred.graph.value_info if v.name == "rows/kept"]
    assert [d.dim_value for d in kept.type.tensor_type.shape.dim][1:] == [2, 4, 8]
    without = graph(node("Conv", "tiles w", "y", strides=[4, 2]))  # windows of unstated size
    assert not skip_rows(without)
    assert not skip_rows(graph(node("Conv", "tiles w", "y", kernel_shape=[2, 2])))
