"""Real engines, built ahead of time without a GPU: every network, every precision, several targets."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError, SkytriggerError, UnavailableError
from skytrigger.eo.networks import NAMES
from skytrigger.model.export import write_model
from skytrigger.model.file import ModelFile, read_model
from skytrigger.model.parity import parity
from skytrigger.model.quantise import quantise
from skytrigger.runtimes.tensorrt.build import Target, build_engine, prepared
from skytrigger.runtimes.tensorrt.layers import layers_of, precision_of_layers, summary
from skytrigger.runtimes.tensorrt.types import typed_in
from skytrigger.runtimes.torch.graph import module_of

pytest.importorskip("tensorrt_rtx_bindings", reason="pip install 'skytrigger[tensorrt-rtx]'")


@pytest.fixture(scope="module")
def model(made, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("int8")

    def get(name: str = "basic", precision: str = "fp32") -> ModelFile:
        if precision != "int8":
            return read_model(made(name, precision).path)
        path = folder / f"{name}.onnx"
        if not path.exists():
            quantise(made(name).path, path, made(name).tiles, tuple(map(str, range(11))))
        return read_model(path)

    return get


def build(model: ModelFile, capability: str = "8.6", precision: str = ""):
    precision = precision or model.card.precision
    content, _ = prepared(model, precision)
    return build_engine(content, model.card, Target("tensorrt_rtx", precision, (capability,), 8))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_every_network_in_every_precision(model, name: str, precision: str) -> None:
    file = model(name, precision)
    built = build(file)
    found = summary(list(built.layers))
    operators = Counter(node.op_type for node in file.graph().graph.node)
    # each convolution and matrix product of the graph is one layer, in the precision of the file
    assert found["products"] == {precision: operators["Conv"] + operators["Gemm"]}
    assert precision_of_layers(list(built.layers), tf32=False) == precision
    assert b"accelerators={sm86 }" in built.plan
    assert b"tf32=0" in built.plan


@pytest.mark.parametrize(("capability", "precision"), [("8.0", "fp32"), ("8.9", "fp16"), ("12.0", "int8")])
def test_other_capabilities(model, capability: str, precision: str) -> None:
    built = build(model("basic", precision), capability)
    assert f"accelerators={{sm{capability.replace('.', '')} }}".encode() in built.plan
    assert precision_of_layers(list(built.layers), tf32=False) == precision


def test_tf32_is_asked_for_by_name(model) -> None:
    built = build(model(), precision="tf32")
    assert b"tf32=1" in built.plan
    assert precision_of_layers(list(built.layers), tf32=True) == "tf32"


@pytest.mark.parametrize("name", ["basic", "regularized"])
def test_bf16_comes_from_a_float32_file(model, name: str) -> None:
    found = summary(list(build(model(name), precision="bf16").layers))
    assert found["products"] == {"bf16": 9}


def test_a_graph_typed_in_16_bits_answers_like_the_float32_one(made) -> None:
    file = made("regularized")
    graph = onnx.load(file.path)
    typed_in(graph, onnx.TensorProto.FLOAT16)  # as for BF16, in a type that the framework's own graph runs
    onnx.checker.check_model(graph)
    logits = module_of(graph)(torch.from_numpy(file.tiles))[0].numpy()
    assert logits.dtype == np.float32
    assert 1e-6 < parity(file.logits, logits)["relative_error_max"] < 3e-2


def test_turing_has_no_fp32_products_and_says_what_to_do(model) -> None:
    with pytest.raises(UnavailableError, match=r"7\.5 has no FP32.*\n.*FP16.*\n.*--precision fp16"):
        build(model(), "7.5")
    assert b"accelerators={sm75 }" in build(model("basic", "fp16"), "7.5").plan


@pytest.mark.parametrize(("capability", "words"), [("9.0", "Hopper"), ("6.0", "6.0"), ("x", "x")])
def test_capabilities_that_are_not_supported(model, capability: str, words: str) -> None:
    with pytest.raises(UnavailableError, match=words) as caught:
        build(model(), capability)
    assert "pip install 'skytrigger[tensorrt]'" in str(caught.value)
    with pytest.raises(InputError, match="no compute capability"):
        build_engine(model().content, model().card, Target("tensorrt_rtx", "fp32", (), 8))


def with_operator(model: ModelFile, operator: str) -> bytes:
    graph = model.graph()
    last = graph.graph.node[-1]
    last.output[0] = "before"
    graph.graph.initializer.append(numpy_helper.from_array(np.array([-1, 5, 1, 1]), "as_matrices"))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([-1, 5]), "as_rows"))
    graph.graph.node.extend(
        [
            helper.make_node("Reshape", ["before", "as_matrices"], ["matrices"]),
            helper.make_node(operator, ["matrices"], ["odd"], "the_odd_one"),
            helper.make_node("Reshape", ["odd", "as_rows"], ["logits"]),
        ]
    )
    return graph.SerializeToString()


def test_an_unsupported_operator_is_named(model) -> None:
    target = Target("tensorrt_rtx", "fp32", ("8.6",), 8)
    with pytest.raises(UnavailableError, match=r"operator Det of node 'the_odd_one'.*not supported") as caught:
        build_engine(with_operator(model(), "Det"), model().card, target)
    assert "--runtime onnxruntime" in str(caught.value)


def test_broken_graphs_are_errors_not_crashes(model) -> None:
    target = Target("tensorrt_rtx", "fp32", ("8.6",), 8)
    for damage in (b"not a model", model().content[:2000]):
        with pytest.raises(UnavailableError, match="cannot take this model"):
            build_engine(damage, model().card, target)
    wrong = model().graph()
    next(n for n in wrong.graph.node if n.op_type == "Conv").input[0] = "nowhere"
    with pytest.raises(SkytriggerError, match="Conv"):
        build_engine(wrong.SerializeToString(), model().card, target)


def test_a_missing_library_names_its_install_command(model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    with pytest.raises(UnavailableError, match=r"pip install 'skytrigger\[tensorrt-rtx\]'"):
        build(model())


def test_layers_are_read_in_the_words_of_both_versions() -> None:
    eleven = (
        "Layers:\nName: conv1_myl0_2, LayerType: correlation, Inputs: [ { Name: a, Dimensions: [-1,4,32,32], "
        "Datatype: Int8, Format: (NHWC) Channel major format }], Constants: [ { Name: w, Dimensions: [16,4,3,3], "
        "Datatype: Int8 }], Outputs: [ { Name: b, Dimensions: [-1,16,32,32], Datatype: Float }], "
        "TacticName: t, StreamId: 0, Metadata: [ONNX Layer: conv1]\x1e[ONNX Layer: relu1]\n\nI/O Tensors:\n Name: x"
    )
    (layer,) = layers_of(eleven)
    assert (layer.precision, layer.constants, layer.outputs) == ("int8", ("int8",), ("fp32",))
    assert layer.fused == ("conv1", "relu1")
    assert layer.tactic == "t"
    ten = (
        "Layers:\nName: fc, LayerType: CaskGemmMatrixMultiply, Inputs: [ { Name: a, Location: Device, "
        "Dimensions: [8,64], Format/Datatype: Row major linear FP16 format }], Outputs: [ { Name: b, "
        "Location: Device, Dimensions: [8,10], Format/Datatype: Row major linear FP16 format }], "
        "TacticName: k, StreamId: 0, Metadata: \n"
    )
    assert precision_of_layers(layers_of(ten), tf32=True) == "fp16"
    assert precision_of_layers([], tf32=False) == "unknown"


def test_command(model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = model("basic", "fp16"), tmp_path / "b.engine"
    asked = ["export", str(file.path), "--engine", "tensorrt_rtx", "--out", str(out), "--batch-size", "16"]
    assert main([*asked, "--compute-capability", "8.6", "8.9", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert out.stat().st_size == record["bytes"]
    assert json.loads((tmp_path / "b.engine.json").read_text())["key"] == record["key"]
    assert record["key"]["capabilities"] == ["8.6", "8.9"]
    assert record["inspector"]["products"] == {"fp16": 9}
    assert main([*asked, "--compute-capability", "8.9"]) == 0
    assert "products: 9 in fp16" in capsys.readouterr().out
    for wrong, words in (
        (["--compute-capability", "9.0"], "Hopper"),
        ([], "--compute-capability"),
        (["--compute-capability", "8.9", "--precision", "int8"], "fp16 weights"),
        (["--compute-capability", "8.9", "--batch-size", "0"], "batch size"),
    ):
        assert main([*asked, *wrong]) == 2
        assert words in capsys.readouterr().err


def test_the_command_refuses_what_is_no_model_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--engine", "tensorrt_rtx", "--compute-capability", "8.9", "--out", str(tmp_path / "x.engine")]
    assert main(["export", str(tmp_path), *out]) == 2
    assert "skytrigger export RUN" in capsys.readouterr().err
    assert not (tmp_path / "x.engine").exists()


def test_an_engine_of_another_precision_than_the_card_says_is_refused(model, tmp_path: Path) -> None:
    lying = tmp_path / "lying.onnx"
    write_model(model().graph(), replace(model().card, precision="fp16"), lying)
    out = ["--engine", "tensorrt_rtx", "--compute-capability", "8.6", "--out", str(tmp_path / "x.engine")]
    assert main(["export", str(lying), *out]) == 2
    assert not (tmp_path / "x.engine").exists()
