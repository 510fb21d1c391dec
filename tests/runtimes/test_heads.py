"""A network of two heads on every engine: an array for each, by name."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from runtimes import simulated_gpu
from runtimes.conftest import CHANNELS, card_of
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.heads import Head
from skytrigger.model.file import ModelFile
from skytrigger.runtimes import cuda_lanes
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.spec import EngineSpec

HEADS = (
    Head("identity", "classes", ("photon", "pion", "muon")),
    Head("energy", "values", ("energy", "length"), "GeV", loss="gaussian"),
)


def two_headed(reverse: bool = False) -> ModelFile:
    """Mean of each channel, then a product for each head; `reverse`: outputs stand the other way round in the graph."""
    rng = np.random.default_rng(3)
    weights = {h.name: rng.standard_normal((h.outputs, len(CHANNELS))).astype(np.float32) for h in HEADS}
    nodes = [helper.make_node("GlobalAveragePool", ["tiles"], ["means"]), helper.make_node("Flatten", ["means"], ["x"])]
    nodes += [helper.make_node("Gemm", ["x", f"w_{n}"], [n], transB=1) for n in weights]
    outputs = [helper.make_tensor_value_info(h.name, TensorProto.FLOAT, ["n", h.outputs]) for h in HEADS]
    graph = helper.make_graph(
        nodes, "two", [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", len(CHANNELS), 32, 32])],
        outputs[::-1] if reverse else outputs,
        [numpy_helper.from_array(w, f"w_{n}") for n, w in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    card = replace(card_of("two"), heads=HEADS, classes=())
    return ModelFile(Path("two.onnx"), content, hashlib.sha256(content).hexdigest(), card)


def expected(model: ModelFile, tiles: np.ndarray) -> dict[str, np.ndarray]:
    means = tiles.astype(np.float64).mean((2, 3))
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph().graph.initializer}
    return {h.name: means @ arrays[f"w_{h.name}"].T for h in HEADS}


@pytest.mark.parametrize("runtime", ["torch", "torch-compiled", "onnxruntime", "openvino"])
@pytest.mark.parametrize(("reverse", "streams"), [(False, 1), (True, 2)])
def test_answers_by_name(runtime: str, reverse: bool, streams: int) -> None:
    model = two_headed(reverse)
    tiles = np.random.default_rng(0).integers(0, 4000, (11, 4, 32, 32)).astype(np.float32)
    session = open_session(model, EngineSpec("", runtime, batch_size=4, streams=streams))
    found = session.answers(tiles)  # 11 images in batches of 4: the partial one counts
    assert list(found) == ["identity", "energy"]
    for name, values in expected(model, tiles).items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=0.5)
    with pytest.raises(InputError, match=r"heads identity, energy.*\n.*\n.*answers"):
        session.run(tiles)
    session.close()


def test_one_head_answers_by_name_too(made: Any) -> None:
    model = made()
    session = open_session(model.path, batch_size=4, threads=1)
    found = session.answers(model.tiles)
    assert list(found) == ["logits"]
    np.testing.assert_array_equal(found["logits"], session.run(model.tiles))


def test_lanes_of_a_simulated_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    model = two_headed(reverse=True)
    simulated_gpu.install(monkeypatch, simulated_gpu.Gpu(model.content, 3), SimpleNamespace(Runtime=None))
    monkeypatch.setattr(cuda_lanes, "gpu_of", lambda name: torch.device("cpu"))
    tiles = np.random.default_rng(0).integers(0, 4000, (11, 4, 32, 32)).astype(np.float32)
    session = open_session(model, "torch", "fp32", 4, 1, 2, "cuda")
    for name, values in expected(model, tiles).items():
        np.testing.assert_allclose(session.answers(tiles)[name], values, rtol=1e-4, atol=0.5)
    session.close()


def test_hopper_names_the_heads_it_does_not_run() -> None:
    model = two_headed()
    card = replace(model.card, precision="fp16")
    with pytest.raises(UnavailableError, match="one head, this one has identity, energy"):
        open_session(replace(model, card=card), "hopper", "fp16", 4, device="cuda")


def test_a_spec_stands_for_all_words(made: Any) -> None:
    spec = EngineSpec("elsewhere.onnx", batch_size=3, input_type="uint16")
    session = open_session(made().path, spec)
    assert (session.spec.model, session.spec.batch_size) == (str(made().path), 3)
    assert EngineSpec.from_json({**session.facts, "model": spec.model}) == spec
    with pytest.raises(InputError, match="threads = 4096"):
        open_session(made().path, EngineSpec(threads=4096))


def test_labels_tell_engines_apart() -> None:
    words = EngineSpec("runs/a/model.onnx", "openvino", "int8", 8, 2, 2, "cpu", "uint16")
    assert words.label == "a openvino int8, batch 8, 2 threads x 2 streams, uint16 tiles"
    assert words.images == 16
    assert EngineSpec("a.onnx", precision="bf16").file_precision == "fp32"
