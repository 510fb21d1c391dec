"""Blocks of codes: the network that begins with them is the same network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from skytrigger.core.card import ModelCard
from skytrigger.model.code_blocks import code_blocks
from skytrigger.model.file import ModelFile
from skytrigger.model.input_codes import input_codes
from skytrigger.model.skip_rows import skip_rows

CHANNELS, OUTPUTS, SIDE = 3, 5, 8


def first_layer(window: tuple[int, int], *, skip: bool = False, front: str = "", channels: int = CHANNELS,
                per_channel: bool = False, **how: Any) -> ModelFile:  # fmt: skip
    """Tiles, their codes, one convolution."""
    rng = np.random.default_rng(0)
    shape = (OUTPUTS, channels // how.get("group", 1), *window)
    values = {
        "steps": rng.uniform(3, 40, channels).astype(np.float32), "zeros": np.full(channels, 90, np.uint8),
        "step": np.float32(0.02), "zero": np.uint8(90), "each": np.full(channels, 0.02, np.float32),
        "w": rng.integers(-60, 60, shape).astype(np.int8), "ws": rng.uniform(0.001, 0.01, OUTPUTS).astype(np.float32),
        "wz": np.zeros(OUTPUTS, np.int8), "b": rng.normal(size=OUTPUTS).astype(np.float32),
    }  # fmt: skip
    how = {"kernel_shape": list(window), "strides": list(window), **how}
    taken = ["q", "each", "zeros"] if per_channel else ["q", "step", "zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["tiles", "steps", "zeros"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", taken, ["d"], axis=1),
        *([helper.make_node(front, ["d"], ["r"])] if front else []),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["r" if front else "d", "wd", "b"], ["logits"], **how),
    ]
    ends = [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", channels, SIDE, SIDE]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", OUTPUTS, "h", "w"])]  # fmt: skip
    tensors = [numpy_helper.from_array(v, k) for k, v in values.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    if skip:
        assert skip_rows(model)
    names = tuple(f"b{c}" for c in range(channels))
    card = ModelCard("n", names, ("x", "y"), (SIDE, SIDE), (0.0,) * channels, (1.0,) * channels, "DN", "hash")
    return ModelFile(Path("m.onnx"), model.SerializeToString(), "sha", card)


@pytest.mark.parametrize("channels", [3, 11])
@pytest.mark.parametrize(
    ("window", "how"),
    [((2, 4), {"strides": [4, 4], "skip": True}), ((4, 4), {}), ((2, 2), {"pads": [0, 0, 0, 0]}), ((1, 8), {}),
     ((1, 1), {}), ((2, 2), {"dilations": [1, 1], "strides": [4, 2], "skip": True})],
)  # fmt: skip
def test_the_same_answers_from_blocks(window: tuple[int, int], how: dict[str, Any], channels: int) -> None:
    whole = first_layer(window, channels=channels, **how)
    codes, blocks = input_codes(whole), code_blocks(whole)
    assert codes is not None
    assert blocks is not None
    used = channels * window[0] * window[1]
    assert blocks.window == window
    assert blocks.depth == used if used <= 64 else (blocks.depth % 64 == 0 and used <= blocks.depth < used + 64)
    tiles = np.random.default_rng(1).integers(0, 9000, (2, channels, SIDE, SIDE)).astype(np.float32)
    model = onnx.load_model_from_string(blocks.content)
    onnx.checker.check_model(model)
    given = blocks.of(codes.of(tiles))
    assert given.shape[1:] == tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])
    exact = ReferenceEvaluator(whole.graph()).run(None, {"tiles": tiles})[0]
    found = ReferenceEvaluator(model).run(None, {"tiles": given})[0]
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("window", "how"),
    [((4, 4), {"strides": [2, 2]}), ((2, 2), {"strides": [4, 2]}), ((2, 2), {"pads": [1, 1, 1, 1]}),
     ((2, 2), {"dilations": [2, 2]}), ((2, 2), {"group": 1, "front": "Relu"}), ((3, 3), {}),
     ((2, 2), {"per_channel": True}), ((2, 2), {"auto_pad": "SAME_UPPER"})],
)  # fmt: skip
def test_windows_that_are_no_blocks(window: tuple[int, int], how: dict[str, Any]) -> None:
    assert code_blocks(first_layer(window, **how)) is None


def test_groups_of_channels_are_no_blocks() -> None:
    rng = np.random.default_rng(0)
    file = first_layer((2, 2))
    model = file.graph()
    (weight,) = [t for t in model.graph.initializer if t.name == "w"]
    weight.CopyFrom(numpy_helper.from_array(rng.integers(-9, 9, (OUTPUTS, 1, 2, 2)).astype(np.int8), "w"))
    model.graph.node[-1].attribute.append(helper.make_attribute("group", CHANNELS))
    grouped = ModelFile(file.path, model.SerializeToString(), "sha", file.card)
    assert code_blocks(grouped) is None


def test_a_file_without_codes_is_refused() -> None:
    file = first_layer((2, 2))
    model = file.graph()
    model.graph.node[0].input[0] = "other"
    with pytest.raises(ValueError, match="does not begin with codes"):
        code_blocks(ModelFile(file.path, model.SerializeToString(), "sha", file.card))
