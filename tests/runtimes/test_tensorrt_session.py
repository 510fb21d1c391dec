"""Sessions: what is missing is named; lanes, graphs and caches on a simulated GPU (a real one: tests/gpu)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runtimes import simulated_gpu
from skytrigger.cli.main import main
from skytrigger.core.errors import UnavailableError
from skytrigger.model.file import read_model
from skytrigger.model.parity import parity
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.tensorrt import cache as tensorrt_cache
from skytrigger.runtimes.tensorrt.session import MAX_GRAPHS


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYTRIGGER_CACHE", str(tmp_path))


@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt_rtx"])
def test_a_missing_gpu_is_named_and_nothing_falls_back(made, runtime: str) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UnavailableError, match="no CUDA GPU") as caught:
        open_session(made().path, runtime, device="cuda")
    if runtime == "tensorrt_rtx":
        assert "skytrigger export MODEL.onnx --engine tensorrt_rtx" in str(caught.value)
    with pytest.raises(UnavailableError, match=r"NVIDIA GPUs only.*'cpu'"):
        open_session(made().path, runtime)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("runtime", "module"), [("tensorrt", "tensorrt"), ("tensorrt_rtx", "tensorrt_rtx_bindings")])
def test_a_missing_library_is_named(made, monkeypatch: pytest.MonkeyPatch, runtime: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    extra = runtime.replace("_", "-")
    with pytest.raises(UnavailableError, match=rf"{module}.*\n.*pip install 'skytrigger\[{extra}\]'"):
        open_session(made().path, runtime, device="cuda")


def test_hopper_is_sent_to_tensorrt(made, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("tensorrt_rtx_bindings")
    simulated_gpu.install(monkeypatch, simulated_gpu.Gpu(made().path.read_bytes(), 5), library, capability=(9, 0))
    with pytest.raises(UnavailableError, match=r"9\.0 \(Hopper\)") as caught:
        open_session(made().path, "tensorrt_rtx", device="cuda")
    assert "pip install 'skytrigger[tensorrt]'" in str(caught.value)
    assert "--runtime tensorrt" in str(caught.value)


def test_bench_says_why_it_cannot_measure(made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(made().path), "--runtime", "tensorrt_rtx", "--out", str(tmp_path), "--batch-size", "1"])
    assert "NVIDIA GPUs only" in capsys.readouterr().err


@pytest.fixture
def gpu(made, monkeypatch: pytest.MonkeyPatch) -> simulated_gpu.Gpu:
    library = pytest.importorskip("tensorrt_rtx_bindings")
    found = simulated_gpu.Gpu(made().path.read_bytes(), 5)
    simulated_gpu.install(monkeypatch, found, library)
    return found


@pytest.mark.parametrize(("count", "batch", "streams"), [(1, 1, 1), (11, 4, 1), (11, 3, 2), (5, 8, 2), (11, 2, 3)])
def test_simulated_sessions_answer_like_the_network(made, gpu, count: int, batch: int, streams: int) -> None:
    model = made()
    session = open_session(model.path, "tensorrt_rtx", "fp32", batch, 1, streams, "cuda")
    for tiles, logits in ((model.tiles, model.logits), (model.tiles[::-1].copy(), model.logits[::-1])):
        # replayed graphs read the buffer anew: the second call has other tiles of the same shapes
        found = session.run(tiles[:count])
        assert parity(logits[:count], found)["relative_error_max"] < 1e-5
    assert gpu.replays > 0
    session.close()


def test_simulated_graphs_are_captured_once_for_each_shape(made, gpu) -> None:
    model = made()
    session = open_session(model.path, "tensorrt_rtx", "fp32", 4, 1, 1, "cuda")
    assert gpu.captures == 1  # the full batch, when it is opened
    for _ in range(3):
        session.run(model.tiles)  # 4 + 4 + 3
    assert gpu.captures == 2
    assert gpu.replays == 9
    assert session.facts["cuda_graphs"]


def test_simulated_engines_that_cannot_be_captured_run_without_graphs(made, gpu) -> None:
    model = made()
    gpu.capturable = False
    session = open_session(model.path, "tensorrt_rtx", "fp32", 4, 1, 1, "cuda")
    assert parity(model.logits, session.run(model.tiles))["relative_error_max"] < 1e-5
    assert (gpu.captures, gpu.replays) == (0, 0)
    assert not session.facts["cuda_graphs"]


def test_simulated_many_shapes_do_not_capture_without_end(made, gpu) -> None:
    model = made()
    session = open_session(model.path, "tensorrt_rtx", "fp32", 2 * MAX_GRAPHS, 1, 1, "cuda")
    tiles = model.tiles[[0] * 2 * MAX_GRAPHS]
    for count in range(1, 2 * MAX_GRAPHS):
        session.run(tiles[:count])
    assert gpu.captures == MAX_GRAPHS


def test_simulated_enqueue_runs_on_what_lies_on_the_device(made, gpu) -> None:
    model = made()
    session = open_session(model.path, "tensorrt_rtx", "fp32", 4, 1, 1, "cuda")
    session.run(model.tiles[:4])
    before = gpu.replays
    session.enqueue(4)
    session.synchronize()
    assert gpu.replays == before + 1


def test_simulated_facts_come_from_the_engine(made, gpu, tmp_path: Path) -> None:
    first = open_session(made().path, "tensorrt_rtx", "fp32", 4, 1, 1, "cuda").facts
    second = open_session(made().path, "tensorrt_rtx", "fp32", 4, 1, 1, "cuda").facts
    assert (first["engine_source"], second["engine_source"]) == ("built", "cache")
    assert first["provider"] == "Simulated GPU (compute capability 8.6)"
    assert first["precision_run"] == "fp32"
    assert first["inspector"]["products"] == {"fp32": 1}
    assert first["engine_hash"] == second["engine_hash"]
    assert first["engine_bytes"] == next(tensorrt_cache.folder().glob("*.engine")).stat().st_size
    assert next(tensorrt_cache.folder().glob("*.kernels")).read_bytes() == b"kernels"


def test_simulated_engine_that_does_not_load_is_built_again(made, gpu, capsys: pytest.CaptureFixture[str]) -> None:
    open_session(made().path, "tensorrt_rtx", "fp32", 4, 1, 1, "cuda")
    gpu.refused_plans = 1
    session = open_session(made().path, "tensorrt_rtx", "fp32", 4, 1, 1, "cuda")
    assert session.facts["engine_source"] == "built"
    assert "built again" in capsys.readouterr().err


def test_an_engine_built_ahead_is_found_where_it_runs(made, gpu, tmp_path: Path, capsys) -> None:
    out = tmp_path / "elsewhere" / "b.engine"
    file = read_model(made().path)
    asked = ["export", str(file.path), "--engine", "tensorrt_rtx", "--out", str(out), "--batch-size", "4"]
    assert main([*asked, "--compute-capability", "8.9", "8.6"]) == 0
    for path in tensorrt_cache.folder().iterdir():
        path.unlink()
    for path in (out, out.with_name("b.engine.json")):
        path.rename(tensorrt_cache.folder() / path.name)
    assert open_session(file, "tensorrt_rtx", "fp32", 4, 1, 1, "cuda").facts["engine_source"] == "cache"
