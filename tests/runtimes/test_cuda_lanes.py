"""Lanes of a GPU session on a simulated GPU: each batch on its stream, nothing lost, bits of uint16 kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from runtimes import simulated_gpu
from skytrigger.core.errors import UnavailableError
from skytrigger.model.file import ModelFile
from skytrigger.runtimes import cuda_lanes
from skytrigger.runtimes.cuda_lanes import CudaSession, gpu_of, page_locked
from skytrigger.runtimes.input_type import as_float
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.spec import EngineSpec


class Means(CudaSession):
    """The mean of each channel as logits."""

    def __init__(self, model: ModelFile, spec: EngineSpec) -> None:
        super().__init__(model, spec)
        self.batches: list[tuple[int, int]] = []

        def forward_of(number: int) -> Any:
            def forward(tiles: torch.Tensor) -> torch.Tensor:
                self.batches.append((number, len(tiles)))
                means = as_float(torch, tiles, spec.input_type).mean((2, 3))
                return (torch.nn.functional.pad(means, (0, len(model.card.classes) - means.shape[1])),)

            return forward

        self._open_lanes(forward_of)
        self.batches.clear()


@pytest.fixture
def gpu(made, monkeypatch: pytest.MonkeyPatch) -> Any:
    model = made()
    simulated = simulated_gpu.Gpu(model.path.read_bytes(), 5)
    simulated_gpu.install(monkeypatch, simulated, SimpleNamespace(Runtime=None))
    return model


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("kind", ["float32", "uint16", "uint8"])
def test_batches_go_to_lanes_in_turn(gpu: Any, streams: int, kind: str) -> None:
    from skytrigger.model.file import read_model

    session = Means(read_model(gpu.path), EngineSpec("", "torch", "fp32", 4, 1, streams, "cuda", kind))
    tiles = (gpu.tiles * (1 if kind == "float32" else 12 if kind == "uint16" else 0.05)).astype(kind)
    found = session.run(tiles)
    np.testing.assert_allclose(found[:, :4], tiles.astype(np.float32).mean((2, 3)), rtol=1e-4)
    lanes = [i % streams for i in range(3)]
    assert sorted(session.batches) == sorted(zip(lanes, (4, 4, 3), strict=True))
    session.enqueue(3, streams - 1)
    session.synchronize()
    assert session.batches[-1] == (streams - 1, 3)
    session.close()


def test_gpus_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert gpu_of("cuda:0").index == 0
    for name in ("cuda:7", "cudax"):
        with pytest.raises(UnavailableError, match=name):
            gpu_of(name)


def test_page_locked_is_a_copy(gpu: Any) -> None:
    locked = page_locked(gpu.tiles)
    np.testing.assert_array_equal(locked, gpu.tiles)
    locked[0] = 0
    assert gpu.tiles[0].any()


def test_without_a_gpu(made) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UnavailableError, match="no CUDA GPU"):
        open_session(made().path, "torch", batch_size=2, device="cuda")
    with pytest.raises(UnavailableError, match="needs a CUDA GPU"):
        page_locked(made().tiles)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("kind", ["float32", "uint16"])
def test_the_eager_session_on_lanes(gpu: Any, monkeypatch: pytest.MonkeyPatch, precision: str, kind: str) -> None:
    """PyTorch's session with the simulated GPU's streams and the CPU's arithmetic."""
    monkeypatch.setattr(cuda_lanes, "gpu_of", lambda name: torch.device("cpu"))
    tiles = gpu.tiles.astype(kind)
    expected = open_session(gpu.path, "torch", batch_size=4, threads=1).run(tiles.astype(np.float32))
    before = (torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.benchmark)
    session = open_session(gpu.path, "torch", precision, 4, 1, 2, "cuda", kind)
    np.testing.assert_allclose(session.run(tiles), expected, rtol=1e-4, atol=1e-4)
    assert (torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.benchmark) == before
    assert (session.facts["provider"], session.facts["cuda_graphs"]) == ("cuda eager", False)
    session.close()
