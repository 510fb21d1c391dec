"""What the runtime `hopper` reads from a model file, run by plain torch operators, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import UnavailableError
from skytrigger.eo.networks import build
from skytrigger.hep.doublets.networks import build as build_filter
from skytrigger.model.export import export_onnx, with_normalisation
from skytrigger.model.file import ModelFile, read_model
from skytrigger.runtimes.hopper.plan import Plan, plan_of
from skytrigger.runtimes.hopper.shapes import SHARED_BYTES, Shape
from skytrigger.runtimes.open import open_session


def exported(folder: Path, network: torch.nn.Module, channels: int, size: int) -> tuple[ModelFile, ModelCard]:
    names = tuple(f"c{i}" for i in range(channels))
    mean, std = tuple(range(5, 5 + channels)), tuple(range(2, 2 + channels))
    card = ModelCard("n", names, ("x", "y", "z"), (size, size), mean, std, "DN", "h")
    export_onnx(network.eval(), card, folder / "m.onnx", "fp16")
    return read_model(folder / "m.onnx"), card


def run(plan: Plan, tiles: torch.Tensor) -> torch.Tensor:
    """The plan in float32, with the first dense layer's columns in the kernels' order."""
    f = torch.nn.functional
    mean, scale = (torch.from_numpy(v).view(1, -1, 1, 1) for v in (plan.mean, plan.scale))
    x = (tiles - mean) * scale
    for layer in plan.convolutions:
        weight, bias = torch.tensor(layer.weight).float(), torch.tensor(layer.bias)
        x = f.relu(f.conv2d(x, weight, bias, padding=1))
        if layer.shape.pool == "image":
            x = f.max_pool2d(x, 2)
        elif layer.shape.pool == "channels":
            x = f.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        assert tuple(x.shape[1:]) == layer.shape.output
    n, c, h, w = x.shape
    x = x.reshape(n, c // 8, 8, h, w).permute(0, 1, 3, 4, 2).reshape(n, -1)
    for dense in plan.dense:
        x = f.linear(x, torch.tensor(dense.weight).float(), torch.tensor(dense.bias))
        x = f.relu(x) if dense.relu else x
    return x


@pytest.mark.parametrize("name", ["basic", "1moreconv", "from64_1lessconv", "origin", "image"])
def test_the_plan_is_the_network(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    filters = name in ("origin", "image")
    channels, size = (20, 16) if filters else (3, 64)
    network = build_filter("doublets_cnn", 20, (16, 16), 3, first_pooling=name) if filters else build(
        name, 3, (64, 64), 3
    )  # fmt: skip
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.normal_(module.bias, std=0.2)
    model, card = exported(tmp_path, network, channels, size)
    plan = plan_of(model)
    tiles = torch.rand(3, channels, size, size) * 20
    with torch.inference_mode():
        expected = with_normalisation(network, card)(tiles)
        found = run(plan, tiles)
    assert float((found - expected).abs().max() / expected.abs().max()) < 5e-3  # weights were rounded to float16


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    model, _ = exported(tmp_path, build("regularized", 2, (64, 64), 3), 2, 64)
    with pytest.raises(UnavailableError, match="BatchNormalization"):
        plan_of(model)
    strided = torch.nn.Sequential(
        torch.nn.Conv2d(2, 16, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16 * 64, 3)
    )
    model, _ = exported(tmp_path, strided, 2, 16)
    with pytest.raises(UnavailableError, match="Conv"):
        plan_of(model)


def test_channels_between_convolutions_fill_sixteen(tmp_path: Path) -> None:
    """48 filters pooled over channels are 24, which the next convolution would read as 32."""

    class Pool(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)

    def convolution(source: int, filters: int) -> list[torch.nn.Module]:
        return [torch.nn.Conv2d(source, filters, 3, padding=1), torch.nn.ReLU()]

    layers = [*convolution(2, 48), Pool(), *convolution(24, 16), torch.nn.Flatten(), torch.nn.Linear(16 * 128, 3)]
    model, _ = exported(tmp_path, torch.nn.Sequential(*layers), 2, 16)
    with pytest.raises(UnavailableError) as caught:
        plan_of(model)
    assert "16 channels" in str(caught.value)


def test_it_runs_on_gpus_only(tmp_path: Path) -> None:
    exported(tmp_path, build("basic", 2, (32, 32), 3), 2, 32)
    with pytest.raises(UnavailableError, match="GPUs only"):
        open_session(tmp_path / "m.onnx", "hopper", "fp16")
    if not torch.cuda.is_available():
        with pytest.raises(UnavailableError, match="no CUDA GPU"):
            open_session(tmp_path / "m.onnx", "hopper", "fp16", device="cuda")


@pytest.mark.parametrize("shape", [
    Shape(13, 32, 64, 64), Shape(128, 128, 16, 16, "image"), Shape(512, 512, 8, 8, "image"), Shape(32, 128, 8, 16),
])  # fmt: skip
def test_blocks_fit_a_multiprocessor(shape: Shape) -> None:
    assert shape.stages >= 3
    assert shape.blocks * (shape.shared_bytes + 1024) <= SHARED_BYTES + 1024
    rows, columns, images = shape.tile
    assert rows * columns * images == 256
    weight = np.random.default_rng(0).normal(size=(shape.channels_out, shape.channels_in, 3, 3))
    assert np.isclose(np.abs(shape.arranged(weight).astype(float)).sum(), np.abs(weight).sum(), rtol=1e-3)


@pytest.mark.parametrize(("shape", "word"), [
    ((3, 32, 60, 60), "sides"), ((3, 20, 64, 64), "multiple of 16"), ((4096, 32, 64, 64), "shared memory"),
])  # fmt: skip
def test_impossible_shapes(shape: tuple[int, int, int, int], word: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        Shape(*shape)
    assert word in str(caught.value)
