"""What only a CUDA GPU can show: training and sessions on it give the CPU's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from skytrigger.core.card import ModelCard
from skytrigger.eo.networks import build
from skytrigger.learn.batches import Batches
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.model.export import export_onnx
from skytrigger.model.parity import parity
from skytrigger.runtimes.cuda_lanes import page_locked
from skytrigger.runtimes.open import open_session

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]


def test_resident_tiles_are_the_files_tiles() -> None:
    data = tiny.dataset()
    data.x[0, 0, 0, 0] = 65535
    batches = Batches(data, (10.0,) * 3, (2.0,) * 3, torch.device("cuda"))
    images, labels = batches.take(np.array([0, 7]))
    expected = (data.x[[0, 7]].astype(np.float32) - 10) / 2
    np.testing.assert_allclose(images.cpu().numpy(), expected, rtol=1e-6)
    assert labels.tolist() == data.y[[0, 7]].tolist()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_on_the_gpu_learns_and_resumes(tmp_path: Path, precision: str) -> None:
    recipe = Recipe("basic", epochs=12, batch_size=16, precision=precision)
    run = train(build, tiny.dataset(), tiny.split(), recipe, tmp_path / "run", device="cuda")
    assert run.history()[-1]["val_accuracy"] > 0.9
    assert run.card().notes["device"].startswith("cuda")


@pytest.mark.parametrize(("runtime", "precision"), [("torch", "fp32"), ("torch-compiled", "fp32"), ("torch", "fp16")])
def test_sessions_on_the_gpu(tmp_path: Path, runtime: str, precision: str) -> None:
    card = ModelCard("basic", ("a", "b"), ("x", "y"), (32, 32), (0.0, 0.0), (1.0, 1.0), "DN", "h")
    export_onnx(build("basic", 2, (32, 32), 2).eval(), card, tmp_path / "m.onnx")
    export_onnx(build("basic", 2, (32, 32), 2).eval(), card, tmp_path / "h.onnx", "fp16")
    path = tmp_path / ("h.onnx" if precision == "fp16" else "m.onnx")
    tiles = np.random.default_rng(0).normal(size=(9, 2, 32, 32)).astype(np.float32)
    reference = open_session(path, "torch", precision, batch_size=4).run(tiles)
    session = open_session(path, runtime, precision, batch_size=4, device="cuda")
    logits = session.run(tiles)
    session.synchronize()
    assert session.facts["provider"].startswith("cuda")
    assert parity(reference, logits)["relative_error_max"] < (2e-2 if precision == "fp16" else 1e-4)


def _file(folder: Path) -> Path:
    torch.manual_seed(0)
    card = ModelCard("basic", ("a", "b"), ("x", "y"), (32, 32), (900.0, 800.0), (300.0, 200.0), "DN", "h")
    export_onnx(build("basic", 2, (32, 32), 2).eval(), card, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize("runtime", ["torch", "torch-compiled"])
@pytest.mark.parametrize("kind", ["float32", "uint16"])
def test_lanes_input_types_and_memory(tmp_path: Path, runtime: str, kind: str) -> None:
    path = _file(tmp_path)
    tiles = np.random.default_rng(0).integers(0, 40_000, (23, 2, 32, 32)).astype(kind)
    reference = open_session(path, "torch", batch_size=23).run(tiles.astype(np.float32))
    session = open_session(path, runtime, batch_size=4, streams=3, device="cuda", input_type=kind)
    for given in (tiles, page_locked(tiles), tiles[::-1].copy()):
        expected = reference if given[0, 0, 0, 0] == tiles[0, 0, 0, 0] else reference[::-1]
        assert parity(expected, session.run(given))["relative_error_max"] < 1e-4  # no tf32 here
    assert session.facts["cuda_graphs"] == (runtime == "torch-compiled")


def test_work_on_the_device_alone(tmp_path: Path) -> None:
    session = open_session(_file(tmp_path), "torch-compiled", batch_size=8, streams=2, device="cuda")
    tiles = np.random.default_rng(0).normal(900, 300, (16, 2, 32, 32)).astype(np.float32)
    logits = session.run(tiles)
    for stream in (0, 1, 0, 1):
        session.enqueue(8, stream)  # type: ignore[attr-defined]
    session.synchronize()
    np.testing.assert_array_equal(session.run(tiles), logits)


def test_tf32_is_asked_for_or_not_there(tmp_path: Path) -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("no tf32 products")
    path = _file(tmp_path)
    tiles = np.random.default_rng(0).normal(900, 300, (8, 2, 32, 32)).astype(np.float32)
    reference = open_session(path, "torch", batch_size=8).run(tiles)
    errors = {
        p: parity(reference, open_session(path, "torch", p, 8, device="cuda").run(tiles))["relative_error_max"]
        for p in ("fp32", "tf32")
    }
    assert errors["fp32"] < 3e-5 < errors["tf32"] < 1e-2
