"""Folding is exact; INT8 runs as integers; the tuned network answers as its file does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.model.calibration import tensor_ranges
from skytrigger.model.export import export_onnx, write_model
from skytrigger.model.file import read_model
from skytrigger.model.fold import Graph, fold, fold_batch_norms
from skytrigger.model.qdq import REDUCED_LIMIT, Scale, quantised_tensors, write_qdq
from skytrigger.model.quantise import quantise, write_int8
from skytrigger.optimize.qat import fake_quantised
from skytrigger.optimize.students import build
from skytrigger.runtimes.kernels import executed_kernels
from skytrigger.runtimes.open import open_session

MEAN, STD = (1300.0, 400.0, 12.0), (250.0, 300.0, 5.0)


def card_of(options: dict) -> ModelCard:
    return ModelCard("student", ("a", "b", "c"), ("x", "y", "z"), (32, 32), MEAN, STD, "DN", "hash", options=options)


def tiles(n: int = 48, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n, 3, 32, 32))
    bright = np.random.default_rng(seed + 1).uniform(0.5, 1.5, (n, 1, 1, 1))
    dn = (noise * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]) * bright
    return np.clip(np.rint(dn), 0, 28000).astype(np.float32)


@pytest.fixture(scope="module", params=["p2", "k4"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student with lively statistics, exported as it is."""
    options = {"stem": request.param, "widths": [8, 16], "depths": [0, 1]}
    torch.manual_seed(1)
    network = build("student", 3, (32, 32), 3, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    out = tmp_path_factory.mktemp("whole") / "whole.onnx"
    export_onnx(network.eval(), card_of(options), out)
    return out


def run(file: Path, precision: str, x: np.ndarray, runtime: str = "onnxruntime") -> np.ndarray:
    session = open_session(file, runtime, precision, len(x), threads=1)
    assert session.facts["precision_run"] == precision
    logits = session.run(x)
    session.close()
    return logits


def test_folding_changes_nothing(whole: Path, tmp_path: Path) -> None:
    model = read_model(whole)
    folded = fold(model.graph())
    write_model(folded, model.card, tmp_path / "folded.onnx")
    kinds = [n.op_type for n in folded.graph.node]
    assert "BatchNormalization" not in kinds
    assert "Div" not in kinds
    assert ("Sub" in kinds) == ("k4" in model.card.options["stem"])  # a padding stem cannot take the mean in
    x = tiles()
    exact = run(whole, "fp32", x)
    np.testing.assert_allclose(run(tmp_path / "folded.onnx", "fp32", x), exact, atol=2e-4 * np.abs(exact).max())
    np.testing.assert_allclose(
        run(tmp_path / "folded.onnx", "fp32", x, "torch"), exact, atol=2e-4 * np.abs(exact).max()
    )


def test_a_batch_normalisation_is_folded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    make, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    values = {"w": rng.standard_normal((4, 3, 3, 3)), "g": rng.uniform(0.5, 2, 4), "b": rng.standard_normal(4),
              "m": rng.standard_normal(4), "v": rng.uniform(0.5, 2, 4)}  # fmt: skip
    shape = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [make("Conv", ["tiles", "w"], ["c"], pads=[1, 1, 1, 1]),
         make("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"], epsilon=1e-3), make("Relu", ["n"], ["logits"])],
        "g", [shape("tiles", 1, ["n", 3, 8, 8])], [shape("logits", 1, ["n", 4, 8, 8])],
        [tensor(v.astype(np.float32), k) for k, v in values.items()],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    before = onnx.reference.ReferenceEvaluator(model).run(None, {"tiles": x})[0]
    changed = Graph(model)
    fold_batch_norms(changed)
    changed.tidy()
    assert [n.op_type for n in model.graph.node] == ["Conv", "Relu"]
    after = onnx.reference.ReferenceEvaluator(model).run(None, {"tiles": x})[0]
    np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_is_near_and_runs_as_integers(whole: Path, tmp_path: Path, method: str, runtime: str) -> None:
    pytest.importorskip(runtime)
    x = tiles()
    quantise(whole, tmp_path / "int8.onnx", x, tuple(map(str, range(len(x)))), method)
    exact = run(whole, "fp32", x)
    error = np.abs(run(tmp_path / "int8.onnx", "int8", x, runtime) - exact).max() / np.abs(exact).max()
    assert error < 0.1


def float_products(kernels: dict[str, int]) -> list[str]:
    """Kernels among these that multiply in floating point."""
    integer = ("QLinear", "QGemm", " u8", " i8", "Integer")
    kinds = ("Conv", "Gemm", "MatMul", "FullyConnected")
    return [k for k in kernels if any(p in k for p in kinds) and not any(i in k for i in integer)]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_standardisation_merged_into_the_inputs_scales(whole: Path, tmp_path: Path, runtime: str) -> None:
    pytest.importorskip(runtime)
    model, x = read_model(whole), tiles()
    graph = fold(model.graph(), input_too=False)
    ranges = tensor_ranges(graph, quantised_tensors(graph), x, ["minmax"])["minmax"]
    write_int8(graph, model.card, tmp_path / "merged.onnx", {}, ranges=ranges, merge_input=True)
    kinds = [n.op_type for n in read_model(tmp_path / "merged.onnx").graph().graph.node]
    assert not {"Sub", "Div", "Relu"} & set(kinds)
    kernels = executed_kernels(read_model(tmp_path / "merged.onnx"), runtime, x[:4])
    assert not float_products(kernels)
    assert float_products(executed_kernels(model, runtime, x[:4]))
    if runtime == "onnxruntime":
        assert {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "QGemm"} <= set(kernels)
    exact = run(whole, "fp32", x)
    assert np.abs(run(tmp_path / "merged.onnx", "int8", x, runtime) - exact).max() / np.abs(exact).max() < 0.1


def test_the_qdq_file_means_what_its_scales_say(whole: Path) -> None:
    """Against the reference evaluator, which knows no integer kernels."""
    model, x = read_model(whole), tiles(6)
    graph = fold(model.graph(), input_too=False)
    ranges = tensor_ranges(graph, quantised_tensors(graph), x, ["minmax"])["minmax"]

    def reference(graph: onnx.ModelProto) -> np.ndarray:
        graph.opset_import[0].version = 21  # the evaluator knows QDQ from 19 on; the operators are the same
        return onnx.reference.ReferenceEvaluator(graph).run(None, {"tiles": x})[0]

    plain, merged = (reference(write_qdq(graph, ranges, merge_input=m)) for m in (False, True))
    exact = reference(graph)
    for found in (plain, merged):
        assert 0 < np.abs(found - exact).max() / np.abs(exact).max() < 0.1


def test_float_layers_stay_float(whole: Path, tmp_path: Path) -> None:
    model, x = read_model(whole), tiles(16)
    names = [n.name for n in model.graph().graph.node if n.op_type in ("Conv", "Gemm")]
    ids = tuple(map(str, range(16)))
    quantise(whole, tmp_path / "all.onnx", x, ids)
    quantise(whole, tmp_path / "some.onnx", x, ids, exclude=(names[0], names[-1]))

    def floats(name: str) -> int:
        tensors = read_model(tmp_path / name).graph().graph.initializer
        return sum(t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1 for t in tensors)

    left = [floats("all.onnx"), floats("some.onnx")]
    assert left[1] >= left[0] + 2
    assert read_model(tmp_path / "some.onnx").card.notes["calibration"]["float_nodes"] == [names[0], names[-1]]


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-3.0, 5.0), (2.0, 7.0), (-4.0, -1.0), (0.0, 0.0)])
def test_a_scale_represents_zero_and_covers_its_range(low: float, high: float) -> None:
    scale = Scale.of(low, high)
    assert 0 <= scale.zero <= 255
    assert -scale.zero * scale.step <= min(low, 0) + scale.step
    assert (255 - scale.zero) * scale.step >= max(high, 0) - scale.step


def test_the_tuned_network_answers_as_its_file(whole: Path, tmp_path: Path) -> None:
    model, x = read_model(whole), tiles(40)
    graph = fold(model.graph(), input_too=False)
    ranges = tensor_ranges(graph, quantised_tensors(graph), x, ["percentile"])["percentile"]
    module = fake_quantised(graph, ranges, REDUCED_LIMIT)  # no CPU's products overflow
    images = torch.from_numpy(
        (x - np.array(MEAN, np.float32)[:, None, None]) / np.array(STD, np.float32)[:, None, None]
    )
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)  # weights and steps move away from where they began
    before = [p.detach().clone() for p in module.parameters()]
    for _ in range(3):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(images), torch.arange(40) % 3).backward()
        optimiser.step()
    names = [name for name, _ in module.named_parameters()]
    still = [n for n, a, b in zip(names, before, module.parameters(), strict=True) if not (a != b).any()]
    assert not still
    with torch.inference_mode():
        mine = module(images).numpy()
    weights, scales = module.learned()
    changed = Graph(graph)
    for name, value in weights.items():
        changed.set(name, value)
    write_int8(graph, model.card, tmp_path / "aware.onnx", {}, ranges=ranges, limit=REDUCED_LIMIT, scales=scales,
               merge_input=True)  # fmt: skip
    found = run(tmp_path / "aware.onnx", "int8", x)
    steps = np.abs(found - mine) / np.abs(mine).max()
    assert np.median(steps) < 2e-3  # the same codes but for ties of rounding
    assert steps.max() < 3e-2


def test_what_cannot_be_quantised(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no calibration images"):
        quantise(whole, tmp_path / "x.onnx", tiles(1)[:0], ())
    with pytest.raises(InputError, match="calibration method"):
        quantise(whole, tmp_path / "x.onnx", tiles(2), ("a", "b"), "guess")
    model = read_model(whole)
    write_model(model.graph(), replace(model.card, precision="int8"), tmp_path / "int8.onnx")
    with pytest.raises(InputError, match="int8 weights"):
        quantise(tmp_path / "int8.onnx", tmp_path / "x.onnx", tiles(2), ("a", "b"))
