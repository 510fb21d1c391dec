"""What only a CUDA GPU can show: training and sessions on it give the CPU's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from skytrigger.core.card import ModelCard
from skytrigger.eo.networks import build
from skytrigger.export.onnx_file import export_onnx
from skytrigger.export.parity import parity
from skytrigger.learn.batches import Batches
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
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
    assert parity(reference, logits)["relative_error_max"] < (2e-2 if precision == "fp16" else 5e-3)  # TF32 allowed
