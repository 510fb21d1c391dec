"""Model files on native pixels are opened like others: sessions, evaluation, bench; what they take is checked."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scene.oracle import matrix
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.eo.bands import BY_NAME
from skytrigger.eo.packaged import packaged
from skytrigger.model.export import write_model
from skytrigger.model.file import read_model
from skytrigger.model.native import with_native_inputs
from skytrigger.model.native_inputs import Group, native_of, read_groups, upsampling, write_groups
from skytrigger.runtimes.open import open_session

SIDE = 192


def factors(channels):
    return [BY_NAME[c].resolution_m // 10 for c in channels]


def small(card):
    """Standardisation, 4x4 convolution of stride 2, means, a dense layer."""
    random = np.random.default_rng(0)
    values = {
        "mean": np.array(card.mean).reshape(1, -1, 1, 1), "std": np.array(card.std).reshape(1, -1, 1, 1),
        "w": random.normal(0, 0.2, (8, 13, 4, 4)), "b": random.normal(0, 1, 8), "v": random.normal(0, 1, (10, 8)),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Sub", ["tiles", "mean"], ["c"]), node("Div", ["c", "std"], ["x"]),
        node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1]), node("Relu", ["y"], ["z"]),
        node("GlobalAveragePool", ["z"], ["m"]), node("Flatten", ["m"], ["f"]),
        node("Gemm", ["f", "v"], ["logits"], transB=1),
    ]  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "n", [value("tiles", TensorProto.FLOAT, ["batch", 13, 64, 64])],
        [value("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in values.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small network on tiles, and the same on native pixels."""
    folder = tmp_path_factory.mktemp("native")
    card = replace(read_model(packaged("eurosat_ms")).card, precision="fp32", notes={})
    write_model(small(card), card, folder / "plain.onnx")
    plain = read_model(folder / "plain.onnx")
    native = with_native_inputs(plain.graph(), factors(card.channels))
    (folder / "native.onnx").write_bytes(native.SerializeToString())
    return plain, read_model(folder / "native.onnx")


@pytest.fixture(scope="module")
def scene():
    """Native DN of a scene, and its bands at 10 m by an independent product over the whole band."""
    random = np.random.default_rng(3)
    channels = read_model(packaged("eurosat_ms")).card.channels
    native = [random.integers(300, 6000, (SIDE // f, SIDE // f)).astype(np.uint16) for f in factors(channels)]
    whole = [matrix(SIDE, SIDE // f, f) @ n @ matrix(SIDE, SIDE // f, f).T
             for f, n in zip(factors(channels), native, strict=True)]  # fmt: skip
    return native, np.stack(whole).astype(np.float32)


def windows(model, native, starts):
    from skytrigger.model.native_inputs import NativeTiles

    found, phase = {}, None
    for g in model.native:
        cuts = []
        for top, left in starts:
            (y0, y1, py), (x0, x1, px) = g.window(top), g.window(left)
            cuts.append(np.stack([native[c][y0:y1, x0:x1] for c in g.channels]))
            phase = (py, px) if g.phases > 1 else phase
        found[g.input] = np.stack(cuts).astype(np.float32)
    return NativeTiles(found, phase)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
def test_sessions_answer_as_on_whole_bands(files, scene, runtime):
    pytest.importorskip({"openvino": "openvino"}.get(runtime, "numpy"))
    plain, file = files
    native, whole = scene
    starts = [(64, 64), (64, 64), (64, 64)]
    tiles = np.stack([whole[:, t : t + 64, x : x + 64] for t, x in starts])
    expected = open_session(plain, "onnxruntime", batch_size=4).run(tiles)
    session = open_session(file, runtime, batch_size=2, threads=1)
    found = session.run(windows(file, native, starts))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    lane = session.lanes()[0](windows(file, native, starts[:1]))
    assert np.abs(lane["logits"] - expected[:1]).max() < 1e-4 * np.abs(expected).max()
    session.close()


def test_other_phases(files, scene):
    plain, file = files
    native, whole = scene
    for top, left in ((64, 128 - 64 + 0), (0 + 64, 64)):
        expected = open_session(plain).run(whole[None, :, top : top + 64, left : left + 64])
        found = open_session(file).run(windows(file, native, [(top, left)]))
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_tiles_go_back_to_the_pixels_they_were_made_of(files, scene):
    """A tile that begins with its native pixels: those within it come back, and answers are the plain network's."""
    plain, file = files
    native, whole = scene
    tile = whole[None, :, 60:124, 60:124]
    back = native_of(tile, file.native)
    group = next(g for g in file.native if g.factor == 2)
    inner = np.stack([native[c][30:62, 30:62] for c in group.channels])
    away = np.abs(back.windows[group.input][0][:, 2:34, 2:34] - inner)
    assert away[:, 3:-3, 3:-3].max() < 1.0
    assert away.mean() < 10  # white noise: what lies beyond the border is unknown
    expected, found = open_session(plain).run(tile), open_session(file).run(tile)
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    rounded = open_session(file).run(np.rint(tile))
    assert np.abs(rounded - expected).max() < 1e-2 * np.abs(expected).max()


@pytest.mark.parametrize("factor", [2, 6])
@pytest.mark.parametrize("start", [0, 1])
def test_upsampling_is_the_oracle_s(factor, start):
    whole = matrix(240, 240 // factor, factor)
    first = 60 // factor - 2
    mine = upsampling(factor, 64, start)
    np.testing.assert_allclose(mine, whole[60 + start : 124 + start, first : first + mine.shape[1]], atol=1e-12)


def test_evaluate_and_bench(files, tmp_path, capsys):
    _, file = files
    bench = ["bench", str(file.path), "--runtime", "onnxruntime", "--seconds", "0.2", "--out", str(tmp_path / "b")]
    assert main([*bench, "--json"]) == 0, capsys.readouterr().err


def test_real_tiles(tmp_path, capsys):
    """The packaged network's weights on EuroSAT's tiles, brought back to native pixels: it answers as on the tiles."""
    data = os.environ.get("SKYTRIGGER_TEST_DATA")
    if not data:
        pytest.skip("SKYTRIGGER_TEST_DATA is not set")
    out = str(tmp_path / "native.onnx")
    assert main(["export", str(packaged("eurosat_ms")), "--native", "--out", out]) == 0
    capsys.readouterr()
    tiles = str(Path(data) / "eurosat_ms_val.zip")
    arguments = ["--data", tiles, "--split", "all", "--out", str(tmp_path / "e"), "--json"]
    assert main(["evaluate", out, *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 276
    assert abs(found["correct"] - 260) <= 3  # the INT8 file's own


def test_what_does_not_fit_is_refused(files, tmp_path):
    _, file = files
    with pytest.raises(UnavailableError, match="native pixels"):
        open_session(file, "torch-compiled")
    with pytest.raises(UnavailableError, match="input type"):
        open_session(file, input_type="uint16")
    session = open_session(file)
    with pytest.raises(InputError, match="tiles of shape"):
        session.run(np.zeros((1, 12, 64, 64), np.float32))
    few = native_of(np.zeros((2, 13, 64, 64), np.float32), file.native)
    with pytest.raises(InputError, match="windows"):
        session.run(replace(few, phase=None))
    with pytest.raises(InputError, match="windows"):
        session.run(replace(few, windows={k: v[..., 1:] for k, v in few.windows.items()}))
    model = file.graph()
    for stated in ("[]", "{}", '[{"input": "tiles_10m"}]', write_groups(file.native[:2])):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        next(p for p in changed.metadata_props if p.key == "skytrigger.native").value = stated
        (tmp_path / "bad.onnx").write_bytes(changed.SerializeToString())
        with pytest.raises(InputError, match="native"):
            read_model(tmp_path / "bad.onnx")


def test_groups_are_written_and_read():
    groups = (Group("a", (0, 2), 1, 64, 1, 64), Group("b", (1,), 2, 32, 1, 64, 0), Group("c", (3,), 6, 8, 1, 64, 0, 8))
    assert read_groups(write_groups(groups), "x") == groups
    assert read_groups(None, "x") == ()
