"""Tiles made on a device, here torch on the CPU, are those of the CPU's own way; and what is queued there, in order."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch

from scene.conftest import Fingerprints
from scene.make_scenes import band_folder, pixels, safe
from skytrigger.core.errors import InputError
from skytrigger.eo.packaged import packaged
from skytrigger.eo.scene import device_stream, device_tiles, native_rows, stream
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.classify import Options, classify_scene
from skytrigger.eo.scene.engine import Lanes, ResidentNetwork, model_for, resident_runtime
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.results import Parts
from skytrigger.model.file import read_model
from skytrigger.model.unquantise import float_model
from skytrigger.runtimes.open import open_session

BANDS = ("B02", "B01", "B8A", "B03", "B10")


class Prints:
    """A network on a 'device' whose answers are facts of the tiles that it was given; see `conftest.fingerprint`."""

    device, stream = torch.device("cpu"), None

    def __init__(self, own: bool = True) -> None:
        self.seen, self.given = 0, []

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.seen += len(tiles)
        self.given.append(tiles)
        t = tiles.double()
        half = t.shape[-1] // 2
        parts = [t[..., a : a + half, b : b + half].mean((2, 3)) for a in (0, half) for b in (0, half)]
        return torch.cat([*parts, *(t[..., a, b] for a in (0, -1) for b in (0, -1))], 1).float()


def both(scene, tmp_path, tile=32, stride=32, network=None, bands=BANDS):
    cells = Cells(scene.grid, tile, stride)
    args = scene, cells, bands
    cpu = stream.classify_rows(*args, 8 * len(bands), Fingerprints(1), Parts(tmp_path / "a", "a"), lambda *a: None)
    network = network or Prints()
    there = device_stream.classify_rows(*args, network, Parts(tmp_path / "b", "b"), lambda *a: None, 2)
    assert cpu[1] == there[1]
    return cpu[0], there[0]


def agree(cpu, there):
    for name in ("valid", "seen", "cloud"):
        np.testing.assert_allclose(getattr(there, name), getattr(cpu, name), atol=1e-6, err_msg=name)
    assert np.abs(there.picture.astype(int) - cpu.picture).max() <= 1
    np.testing.assert_allclose(there.means, cpu.means, rtol=1e-5, atol=0.01)
    np.testing.assert_allclose(there.spreads, cpu.spreads, rtol=1e-4, atol=0.02)
    away = np.abs(there.logits - cpu.logits)
    assert away.max() <= 1.0  # whole DN that round the other way
    assert away.mean() < 1e-3
    assert (there.logits[cpu.seen < 0.5] == 0).all()


@pytest.mark.parametrize(("width", "height"), [(330, 270), (66, 126), (30, 18), (127, 65)])
def test_tiles_and_measures_are_those_of_the_cpu(tmp_path, width, height):
    """Odd sizes, tiles over the edges, a hole without data in all of them."""
    scene = open_scene(band_folder(tmp_path / "s", pixels(width, height)))
    agree(*both(scene, tmp_path))


@pytest.mark.parametrize("stride", [16, 8])
def test_overlapping_tiles(tmp_path, stride):
    scene = open_scene(band_folder(tmp_path / "s", pixels(150, 114)))
    agree(*both(scene, tmp_path, stride=stride))


def test_offsets_saturation_and_scene_classification(tmp_path):
    """A Level-2A product: DN with an offset, saturated pixels and single gaps, clouds from SCL."""
    bands = pixels(258, 198, offset=-1000.0)
    random = np.random.default_rng(1)
    for name in ("B02", "B05", "B01"):
        spots = random.integers(0, bands[name].size, 40)
        bands[name].reshape(-1)[spots[:20]] = 65_535
        bands[name].reshape(-1)[spots[20:]] = 0
    scl = random.integers(0, 12, bands["B05"].shape)
    scene = open_scene(safe(tmp_path, bands, level="L2A", scl=scl))
    agree(*both(scene, tmp_path, bands=("B05", "B01", "B02", "B8A")))


def test_small_parts_and_chunks_change_nothing(tmp_path, monkeypatch):
    scene = open_scene(band_folder(tmp_path / "s", pixels(330, 270)))
    whole = both(scene, tmp_path)[1]
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (64, 64))
    monkeypatch.setattr(device_tiles, "BATCH", 11)
    parts = both(scene, tmp_path / "p")[1]
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, name), value, err_msg=name)


def test_kept_chunks_are_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (64, 64))
    scene = open_scene(band_folder(tmp_path / "s", pixels(330, 270)))
    cells = Cells(scene.grid, 32, 32)
    first, second = Prints(), Prints()
    once = device_stream.classify_rows(scene, cells, BANDS, first, Parts(tmp_path / "o", "k"), lambda *a: None)[0]
    sorted((tmp_path / "o" / ".parts").glob("*.npz"))[1].unlink()
    again = device_stream.classify_rows(scene, cells, BANDS, second, Parts(tmp_path / "o", "k"), lambda *a: None)[0]
    assert second.seen == 2 * cells.columns < first.seen
    np.testing.assert_array_equal(once.logits, again.logits)


class Queue:
    """A stream on which work is only noted: what must be ordered, and what is waited for."""

    def __init__(self, device: Any = None) -> None:
        self.waited: list[Any] = []

    def wait_stream(self, other: Any) -> None:
        self.waited.append(other)

    def record_event(self) -> Queue:
        return self

    def synchronize(self) -> None:
        self.waited.append("event")


def test_what_is_queued_on_a_gpu(tmp_path, monkeypatch):
    """Streams and page-locked memory of a GPU that is not there: computing waits for its uploads, results for it."""
    network = Prints()
    network.stream = compute = Queue()
    empty, copies = torch.empty, []
    copy = torch.Tensor.copy_

    def noted(self: Any, other: Any, non_blocking: bool = False) -> Any:
        copies.append(non_blocking)
        return copy(self, other)

    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **k: empty(*a, **k))
    monkeypatch.setattr(torch.Tensor, "copy_", noted)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, s: None)
    for name, value in {"Stream": Queue, "stream": lambda s: contextlib.nullcontext(),
                        "current_stream": lambda: compute, "synchronize": lambda d=None: None}.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    scene = open_scene(band_folder(tmp_path / "s", pixels(330, 270)))
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (64, 64))
    agree(*both(scene, tmp_path, network=network))
    chunks = -(-9 // 2)
    assert sum(isinstance(w, Queue) for w in compute.waited) == compute.waited.count("event") == chunks
    assert sum(copies) >= chunks * (3 + 6)  # bands up, results down: none of them is waited for


@pytest.fixture(scope="module")
def real_tiles():
    """Tiles of the real granule on its 160 m grid, all bands, as the CPU makes them."""
    import os
    from pathlib import Path

    folder = os.environ.get("SKYTRIGGER_TEST_DATA")
    if not folder:
        pytest.skip("SKYTRIGGER_TEST_DATA is not set")
    return Path(folder) / "sentinel2_l1c_T19UDP_160m"


@pytest.mark.parametrize(("name", "precision"), [("eurosat_ms", "fp32"), ("eurosat_ms_fast", "fp32"),
                                                 ("eurosat_ms_fast", "fp16")])  # fmt: skip
def test_int8_files_as_float_ones(name, precision):
    """Answers are the INT8 file's but for its roundings, also far outside the range of its codes."""
    model = read_model(packaged(name))
    random = np.random.default_rng(0)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (model.card.mean, model.card.std))
    tiles = mean + std * random.normal(size=(24, 13, 1, 1)).astype(np.float32) * 1.5
    tiles = tiles + std * 0.5 * random.normal(size=(24, 13, 64, 64)).astype(np.float32)
    tiles = np.clip(np.rint(tiles), 1, 65_535).astype(np.float32)
    tiles[-4:] = 30_000
    expected = open_session(model, "onnxruntime", "int8", 24, 1).run(tiles)
    given = float_model(model, precision)
    found = open_session(given, "torch", precision, 24, 1).run(tiles)
    assert np.abs(found - expected).max() < 0.25 * expected.std()
    assert np.abs(found - expected).mean() < 0.04 * expected.std()
    if precision == "fp32":
        onnx_runtime = open_session(given, "onnxruntime", "fp32", 24, 1).run(tiles)
        assert np.abs(found - onnx_runtime).max() < 1e-3 * expected.std()
        with pytest.raises(InputError, match="fp32"):
            float_model(given)


def test_a_scene_by_the_command_s_way(tmp_path, monkeypatch, real_tiles):
    """`classify_scene` with tiles made where the network is, against its CPU way with the same float network."""
    file = model_for("eurosat_ms_fast")
    there = ResidentNetwork(file, "torch", "cpu", 64)
    lanes = Lanes(float_model(file), "torch", 1)
    here, plain = (
        classify_scene(real_tiles, file, tmp_path / str(k), Options(), open_lanes=lambda *a: (engine, lambda: None))  # noqa: B023
        for k, engine in enumerate((there, lanes))
    )
    assert here["area_km2"] == plain["area_km2"]
    assert here["tiles"] == plain["tiles"] == 121
    assert here["engine"]["tiles_made_on"] == "cpu"
    assert "not rounded" in here["engine"]["int8_file"]


def test_which_runtimes_take_tiles_on_their_device():
    assert resident_runtime(None, "cpu") is None
    assert resident_runtime("openvino", "cpu") is None
    assert resident_runtime(None, "cuda") == resident_runtime("torch", "cuda:1") == "torch"
    assert resident_runtime("hopper", "cuda") == "hopper"
    assert resident_runtime("tensorrt", "cuda") is None
