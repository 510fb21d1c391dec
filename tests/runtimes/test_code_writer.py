"""Sessions that write an INT8 network's codes themselves answer as the engine does from tiles, bit for bit."""

from __future__ import annotations

import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.eo.packaged import packaged
from skytrigger.model.code_blocks import CodeBlocks, code_blocks
from skytrigger.model.file import read_model
from skytrigger.model.input_codes import InputCodes, input_codes
from skytrigger.runtimes import code_writer as module
from skytrigger.runtimes.code_writer import CodeWriter, code_writer
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.spec import EngineSpec

pytest.importorskip("numba")
NAMES = ("eurosat_ms_fast", "eurosat_rgb_fast", "eurosat_rgb")


def tiles_of(name: str, count: int, kind: str = "uint16") -> np.ndarray:
    model = read_model(packaged(name))
    most = 256 if kind == "uint8" else 12_000
    shape = (count, len(model.card.channels), *model.card.size)
    return np.random.default_rng(0).integers(0, most, shape).astype(kind)


def by_engine(monkeypatch: pytest.MonkeyPatch, name: str, runtime: str, tiles: np.ndarray) -> np.ndarray:
    """What the engine makes of the tiles itself; OpenVINO with its own mean."""
    engine = importlib.import_module(f"skytrigger.runtimes.{runtime}_session")
    with monkeypatch.context() as patched:
        patched.setattr(engine, "code_writer", lambda *_: None)
        patched.setattr(engine, "pool_by_windows", lambda _: None, raising=False)
        session = open_session(packaged(name), runtime, "int8", 4, 1, input_type=str(tiles.dtype))
    assert session.facts["codes_by"] == "engine"
    return session.run(tiles)


@pytest.mark.parametrize("kind", ["float32", "uint16", "uint8"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_answers_are_the_engines_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, runtime: str, name: str, kind: str
) -> None:
    pytest.importorskip(runtime)
    if runtime == "openvino":  # planes, too, where it would rather do it itself
        monkeypatch.setattr("skytrigger.runtimes.openvino_session.PLANES", module.WRITTEN)
    tiles = tiles_of(name, 11, kind)
    expected = by_engine(monkeypatch, name, runtime, tiles)
    for streams in (1, 2):
        session = open_session(packaged(name), runtime, "int8", 4, 1, streams=streams, input_type=kind)
        assert session.facts["codes_by"] == "numba"
        np.testing.assert_array_equal(session.run(tiles), expected)
        np.testing.assert_array_equal(session.run(tiles[::-1])[::-1], expected)  # strides; no trace of a call before
    locked = tiles[:3].copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(session.run(locked), expected[:3])
    assert not locked.flags.writeable
    assert tiles.flags.writeable


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_callers_in_several_threads_do_not_mix_their_tiles(runtime: str) -> None:
    pytest.importorskip(runtime)
    session = open_session(packaged("eurosat_rgb_fast"), runtime, "int8", 4, 1, input_type="uint8")
    tiles = tiles_of("eurosat_rgb_fast", 48, "uint8").reshape(12, 4, 3, 64, 64)
    alone = [session.run(batch) for batch in tiles]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(session.run, [*tiles] * 8))
    np.testing.assert_array_equal(together, alone * 8)


def test_threads_share_a_large_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of one batch; the same codes, and no threads are left."""
    model = read_model(packaged("eurosat_ms_fast"))
    tiles = tiles_of("eurosat_ms_fast", 7)
    expected = code_writer(model, EngineSpec(batch_size=7, input_type="uint16")).write(tiles, 0)
    monkeypatch.setattr(module, "SHARE", expected.size // 3)
    before = threading.active_count()
    writer = code_writer(model, EngineSpec(batch_size=7, threads=16, input_type="uint16"))
    for _ in range(3):
        writer.buffers[0][:] = 0
        np.testing.assert_array_equal(writer.write(tiles, 0), expected)
    assert threading.active_count() == before + 2
    writer.close()
    assert threading.active_count() == before


def test_without_numba_the_engine_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find", lambda _: None)
    session = open_session(packaged("eurosat_rgb_fast"), "onnxruntime", "int8", 2, 1)
    assert session.facts["codes_by"] == "engine"


@pytest.mark.parametrize("how", [{"device": "gpu"}, {"input_type": "float16"}])
def test_where_the_engine_is_left_alone(how: dict[str, Any]) -> None:
    model = read_model(packaged("eurosat_rgb_fast"))
    assert code_writer(model, EngineSpec(**{"batch_size": 2, **how})) is None


def test_files_without_codes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_model(packaged("eurosat_rgb_fast"))
    monkeypatch.setattr(module, "input_codes", lambda _: None)
    assert code_writer(model, EngineSpec(batch_size=2)) is None


CASES = {"blocks of rows that are read": ((2, 4), (2, 4)), "blocks": ((2, 2), (1, 1)), "a row": ((1, 8), (1, 1)),
         "planes": (None, (1, 1)), "planes of rows that are read": (None, (1, 4))}  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    case=st.sampled_from(sorted(CASES)), kind=st.sampled_from(["float32", "uint16", "uint8"]),
    count=st.integers(1, 3), channels=st.integers(1, 9), seed=st.integers(0, 99),
)  # fmt: skip
def test_codes_are_those_of_the_formula(case: str, kind: str, count: int, channels: int, seed: int) -> None:
    """`InputCodes.of` and `CodeBlocks.of` in NumPy: halves, both ends, numbers that no code reaches."""
    window, rows = CASES[case]
    rng = np.random.default_rng(seed)
    gains = rng.choice([0.5, 0.25, 0.011, 0.3], channels).astype(np.float32)
    codes = InputCodes(gains, rng.integers(0, 256, channels).astype(np.float32), rows)
    height, width = 16, 8
    blocks = None
    if window:
        used = channels * window[0] * window[1]
        depth = used if used <= 64 else -(-used // 64) * 64
        blocks = CodeBlocks(b"", window, codes.height(height) // window[0], width // window[1], depth)
    tiles = rng.integers(0, 256, (count, channels, height, width)).astype(kind)
    if kind != "uint8":
        tiles.flat[:3] = [65_535, 0, 40_000]
    if kind == "float32":
        tiles.flat[3:8] = [-1e30, 3e38, -7.5, 1e9, np.inf]
    card = SimpleNamespace(channels=("b",) * channels, size=(height, width))
    model: Any = SimpleNamespace(card=card)
    short = SimpleNamespace(content=b"", card=SimpleNamespace(size=(codes.height(height), width)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "from_codes", lambda _: short)
        writer = CodeWriter(model, codes, blocks, EngineSpec(batch_size=3, input_type=kind, streams=2))
    expected = codes.of(tiles)
    found = writer.write(tiles, 1)
    np.testing.assert_array_equal(found, blocks.of(expected) if blocks else expected)
    assert found.base is writer.buffers[1] or found is writer.buffers[1]


def test_packaged_fast_networks_take_blocks_and_the_others_planes() -> None:
    for name, window in {"eurosat_ms_fast": (2, 4), "eurosat_rgb_fast": (2, 4), "eurosat_rgb": None}.items():
        model = read_model(packaged(name))
        assert input_codes(model) is not None
        blocks = code_blocks(model)
        assert (blocks.window if blocks else None) == window


def test_openvino_is_given_planes_only_where_it_gains() -> None:
    openvino = pytest.importorskip("skytrigger.runtimes.openvino_session")
    for name, kind, writes in (("eurosat_ms", "uint16", True), ("eurosat_ms", "float32", False),
                               ("eurosat_rgb", "uint8", False), ("eurosat_rgb_fast", "uint8", True)):  # fmt: skip
        model = read_model(packaged(name))
        session = openvino.OpenVinoSession(model, EngineSpec(batch_size=2, precision="int8", input_type=kind))
        assert session.facts["codes_by"] == ("numba" if writes else "engine")
        session.close()


def test_means_over_images_become_windows_and_no_others() -> None:
    openvino = pytest.importorskip("openvino")
    from openvino import opset1

    from skytrigger.runtimes.openvino_session import pool_by_windows

    image = opset1.parameter([2, 3, 4, 6], np.float32)
    means = [opset1.reduce_mean(image, np.array(axes, np.int64), keep) for axes, keep in
             (([2, 3], True), ([2, 3], False), ([-1, -2], True), ([1, 2], True), ([3], True))]  # fmt: skip
    graph = openvino.Model(means, [image], "means")
    pool_by_windows(graph)
    kinds = [r.input_value(0).get_node().get_type_name() for r in graph.get_results()]
    assert kinds == ["AvgPool", "ReduceMean", "AvgPool", "ReduceMean", "ReduceMean"]
    values = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 6)).astype(np.float32)
    answers = openvino.Core().compile_model(graph, "CPU")(values)
    np.testing.assert_allclose(answers[0], values.mean((2, 3), keepdims=True), rtol=1e-6)
