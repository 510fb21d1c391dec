"""What only a CUDA GPU can show of TensorRT: sessions on it give the network's answers, as fast as asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import UnavailableError
from skytrigger.eo.networks import build
from skytrigger.model.export import export_onnx, with_normalisation
from skytrigger.model.parity import parity
from skytrigger.model.quantise import quantise
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import RUNTIMES
from skytrigger.runtimes.session import Session
from skytrigger.runtimes.tensorrt.build import RTX_CAPABILITIES

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]
TOLERANCE = {"fp32": 1e-4, "tf32": 5e-3, "bf16": 1e-1, "fp16": 3e-2, "int8": 0.3}


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def runtime(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(RUNTIMES[request.param].package) is None:
        pytest.skip(f"{request.param} is not installed")
    major, minor = torch.cuda.get_device_capability()
    if request.param == "tensorrt_rtx" and f"{major}.{minor}" not in RTX_CAPABILITIES:
        pytest.skip(f"tensorrt_rtx does not support this GPU ({major}.{minor})")
    return request.param


class Files:
    """The same network as model files of several precisions, with tiles and the framework's answers."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(3)
        self.card = ModelCard(
            "basic", ("a", "b"), ("x", "y", "z"), (32, 32), (900.0, 1100.0), (200.0, 300.0), "DN", "h"
        )
        self.network = build("basic", 2, (32, 32), 3).eval()
        self.tiles = np.random.default_rng(0).integers(300, 2500, (37, 2, 32, 32)).astype(np.float32)
        self.paths = {"fp32": folder / "fp32.onnx", "fp16": folder / "fp16.onnx", "int8": folder / "int8.onnx"}
        export_onnx(self.network, self.card, self.paths["fp32"])
        export_onnx(self.network, self.card, self.paths["fp16"], "fp16")
        quantise(self.paths["fp32"], self.paths["int8"], self.tiles, tuple(map(str, range(37))))
        self.paths |= {"tf32": self.paths["fp32"], "bf16": self.paths["fp32"]}
        with torch.inference_mode():
            self.logits = with_normalisation(self.network, self.card)(torch.from_numpy(self.tiles)).numpy()

    def open(self, runtime: str, precision: str = "fp32", batch_size: int = 8, streams: int = 1) -> Session:
        return open_session(self.paths[precision], runtime, precision, batch_size, 1, streams, "cuda")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tensorrt"))


@pytest.mark.parametrize("precision", list(TOLERANCE))
def test_every_precision_answers_like_the_network(files: Files, runtime: str, precision: str) -> None:
    session = files.open(runtime, precision)
    logits = session.run(files.tiles)  # four full batches and one of five
    assert parity(files.logits, logits)["relative_error_max"] < TOLERANCE[precision]
    facts = session.facts
    assert facts["precision_run"] == precision
    kind = "fp32" if precision == "tf32" else precision
    assert facts["inspector"]["products"].get(kind, 0) >= 8
    session.close()


@pytest.mark.parametrize("streams", [1, 2, 4])
def test_streams_and_replays_change_nothing(files: Files, runtime: str, streams: int) -> None:
    session = files.open(runtime, streams=streams)
    for _ in range(3):
        for tiles, logits in ((files.tiles, files.logits), (files.tiles[::-1].copy(), files.logits[::-1])):
            assert parity(logits, session.run(tiles))["relative_error_max"] < TOLERANCE["fp32"]
    assert session.facts["cuda_graphs"]
    session.close()


def test_two_sessions_do_not_disturb_each_other(files: Files, runtime: str) -> None:
    first, second = files.open(runtime), files.open(runtime, batch_size=5)
    for _ in range(3):
        assert parity(files.logits[:8], first.run(files.tiles[:8]))["relative_error_max"] < TOLERANCE["fp32"]
        assert parity(files.logits[8:13], second.run(files.tiles[8:13]))["relative_error_max"] < TOLERANCE["fp32"]


def test_the_second_session_is_not_built(files: Files, runtime: str) -> None:
    files.open(runtime, batch_size=6).close()
    assert files.open(runtime, batch_size=6).facts["engine_source"] == "cache"


def test_work_on_the_device_alone(files: Files, runtime: str) -> None:
    session = files.open(runtime)
    session.run(files.tiles[:8])
    for _ in range(10):
        session.enqueue(8)  # type: ignore[attr-defined]
    session.synchronize()
    assert parity(files.logits[:8], session.run(files.tiles[:8]))["relative_error_max"] < TOLERANCE["fp32"]


def test_an_unsupported_gpu_is_said(files: Files) -> None:
    major, minor = torch.cuda.get_device_capability()
    if f"{major}.{minor}" in RTX_CAPABILITIES:
        pytest.skip("tensorrt_rtx supports this GPU")
    with pytest.raises(UnavailableError, match="does not support compute capability"):
        files.open("tensorrt_rtx")
