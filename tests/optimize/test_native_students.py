"""Students on native pixels: trained on tiles, written with an input a resolution, and the same in both forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.eo.application import EUROSAT
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.packaged import packaged
from skytrigger.model.calibration import tensor_ranges
from skytrigger.model.export import export_onnx, write_model
from skytrigger.model.file import read_model
from skytrigger.model.fold import fold
from skytrigger.model.native_inputs import from_tile
from skytrigger.model.native_student import native_form, student_groups
from skytrigger.model.qdq import quantised_tensors
from skytrigger.model.quantise import write_int8
from skytrigger.optimize.candidates import counted, family
from skytrigger.optimize.prune import prune
from skytrigger.optimize.qat import fake_quantised
from skytrigger.optimize.students import build, multiply_adds, native_pixels
from skytrigger.runtimes.kernels import executed_kernels
from skytrigger.runtimes.open import open_session

FACTORS = [EUROSAT.factors[c] for c in EUROSAT_ORDER]
OPTIONS = {"widths": [8, 16], "depths": [0, 1], "stem": "native", "block": "plain", "factors": FACTORS}


def tiles_of(count=6):
    card = read_model(packaged("eurosat_ms")).card
    random = np.random.default_rng(1)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (card.mean, card.std))
    low = random.normal(size=(count, 13, 8, 8)).repeat(8, 2).repeat(8, 3)
    return np.clip(np.rint(mean + std * (low + 0.3 * random.normal(size=(count, 13, 64, 64)))), 1, None).astype("f4")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(network, card, folder): the network's files on tiles and on native pixels, float32 and INT8."""
    folder = tmp_path_factory.mktemp("students")
    card = replace(read_model(packaged("eurosat_ms")).card, precision="fp32", notes={}, options=OPTIONS)
    torch.manual_seed(0)
    network = build("student", 13, (64, 64), 10, **OPTIONS)
    network(torch.from_numpy(tiles_of(32) / 1000))  # statistics of batch normalisation
    network.eval()
    export_onnx(network, card, folder / "whole.onnx")
    model = fold(read_model(folder / "whole.onnx").graph())
    write_model(model, card, folder / "tiles.onnx")
    assert native_form(model, FACTORS)
    onnx.checker.check_model(model, full_check=True)
    write_model(model, card, folder / "native.onnx")
    model = fold(read_model(folder / "whole.onnx").graph(), input_too=False)
    ranges = tensor_ranges(model, quantised_tensors(model), tiles_of(16), ["minmax"])["minmax"]
    write_int8(model, card, folder / "int8.onnx", {}, ranges=ranges, merge_input=True)
    write_int8(model, replace(card, options={}), folder / "int8_tiles.onnx", {}, ranges=ranges, merge_input=True)
    return network, card, folder


def answers(path, tiles, runtime="onnxruntime", precision="fp32"):
    return open_session(path, runtime, precision, len(tiles), 1).run(tiles)


def test_both_forms_are_the_network(written):
    network, card, folder = written
    tiles = tiles_of()
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (card.mean, card.std))
    with torch.inference_mode():
        expected = network((torch.from_numpy(tiles) - mean) / std).numpy()
    native = read_model(folder / "native.onnx")
    assert [(g.input, g.side, g.phases, g.grid) for g in native.native] == [
        ("tiles_10m", 64, 1, 0), ("tiles_20m", 32, 1, 0), ("tiles_60m", 16, 1, 16)]  # fmt: skip
    for name in ("tiles.onnx", "native.onnx"):
        assert np.abs(answers(folder / name, tiles) - expected).max() < 1e-3 * np.abs(expected).max()


def test_the_command_gives_a_student_its_native_inputs(written, tmp_path):
    _, _, folder = written
    out = tmp_path / "n.onnx"
    assert main(["export", str(folder / "tiles.onnx"), "--native", "--out", str(out)]) == 0
    assert read_model(out).native == read_model(folder / "native.onnx").native


def test_int8_quantises_native_pixels_at_once(written):
    _, _, folder = written
    tiles = tiles_of()
    native = read_model(folder / "int8.onnx")
    first = {n.input[0]: n.op_type for n in native.graph().graph.node if n.input[0].startswith("tiles_")}
    assert first == dict.fromkeys(("tiles_10m", "tiles_20m", "tiles_60m"), "QuantizeLinear")
    expected = answers(folder / "tiles.onnx", tiles)
    same = answers(folder / "int8_tiles.onnx", tiles, precision="int8")
    found = answers(folder / "int8.onnx", tiles, precision="int8")
    assert np.abs(found - expected).mean() < 0.1 * expected.std()
    assert np.abs(found - same).mean() < 0.05 * expected.std()  # means are moved by up to half a step
    for runtime in ("onnxruntime", "openvino"):
        assert executed_kernels(native, runtime, tiles)
    vino = answers(folder / "int8.onnx", tiles, "openvino", "int8")
    assert np.abs(found - vino).mean() < 0.05 * expected.std()


def test_tuned_under_rounding(written):
    """Quantisation-aware training takes such a graph as it is."""
    _, card, folder = written
    model = fold(read_model(folder / "whole.onnx").graph(), input_too=False)
    tiles = tiles_of(16)
    ranges = tensor_ranges(model, quantised_tensors(model), tiles, ["minmax"])["minmax"]
    module = fake_quantised(model, ranges, 127).eval()
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (card.mean, card.std))
    with torch.inference_mode():
        found = module((torch.from_numpy(tiles) - mean) / std).numpy()
    expected = answers(folder / "int8.onnx", tiles, precision="int8")
    assert np.abs(found - expected).mean() < 0.05 * expected.std()
    weights, scales = module.learned()
    assert weights
    assert "div" not in scales


def test_the_front_is_what_native_inputs_are():
    """The module's blocks against native pixels by their matrices, one by one."""
    x = torch.from_numpy(tiles_of(2))
    blocks = native_pixels(FACTORS, 64)(x).numpy()
    assert blocks.shape == (2, 91, 16, 16)
    for g in student_groups(FACTORS, 64):
        way = from_tile(g.factor, 64, g.side, g.margin, g.grid)
        own = way @ x.numpy()[:, list(g.channels)].astype(float) @ way.T
        at, k = (0 if g.factor == 1 else 64 if g.factor == 2 else 88), g.side // 16
        for i in range(len(g.channels) * k * k):
            band, row, column = i // (k * k), i // k % k, i % k
            np.testing.assert_allclose(blocks[:, at + i], own[:, band, row::k, column::k], rtol=2e-3, atol=0.5)


def test_they_are_among_the_candidates():
    whole = family(EUROSAT_ORDER, (64, 64), 10, EUROSAT.factors)
    mine = [c for c in whole if c.options["stem"] == "native"]
    assert mine
    for candidate in mine[:3]:
        network = build("student", 13, (64, 64), 10, **candidate.options)
        assert multiply_adds(network, 13, (64, 64)) == candidate.multiply_adds
        assert sum(p.numel() for p in network.parameters()) == candidate.parameters
    few = ("B04", "B11", "B01")
    some = [c for c in family(few, (64, 64), 10, EUROSAT.factors) if c.options["stem"] == "native"]
    assert some[0].options["factors"] == [1, 2, 6]
    assert not [c for c in family(("B04", "B03"), (64, 64), 10, EUROSAT.factors) if c.options["stem"] == "native"]
    assert not [c for c in family(("a", "b"), (64, 64), 10) if c.options["stem"] == "native"]
    assert counted({**OPTIONS, "widths": [8] * 6, "depths": [0] * 6}, EUROSAT_ORDER, (64, 64), 10) is None


def test_pruning_and_refusals(written):
    network, _, _ = written
    options, weights = prune(network, OPTIONS, 0.5)
    smaller = build("student", 13, (64, 64), 10, **options)
    smaller.load_state_dict(weights)
    assert smaller(torch.from_numpy(tiles_of(2))).shape == (2, 10)
    with pytest.raises(InputError, match="factors"):
        build("student", 13, (64, 64), 10, stem="native")
    with pytest.raises(InputError, match="factors"):
        build("student", 13, (64, 64), 10, factors=FACTORS)
