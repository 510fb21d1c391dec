"""Scenes through networks on native pixels: answers are those on whole bands at 10 m; what borders and gaps do."""

from __future__ import annotations

import numpy as np
import pytest

from scene.conftest import fingerprint
from scene.make_scenes import band_folder, multiband, pixels
from skytrigger.cli.main import main
from skytrigger.eo.bands import BY_NAME
from skytrigger.eo.packaged import packaged
from skytrigger.eo.scene import native_rows
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.engine import Lanes
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.results import Parts
from skytrigger.eo.scene.stream import classify_rows
from skytrigger.model.export import write_model
from skytrigger.model.file import read_model
from skytrigger.model.native import with_native_inputs
from skytrigger.model.native_inputs import HALO, Group, native_of
from skytrigger.model.unquantise import float_model


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """The packaged weights in float32 on tiles at 10 m, and on native pixels."""
    plain = float_model(read_model(packaged("eurosat_ms")), bounded=False)
    path = tmp_path_factory.mktemp("networks") / "native.onnx"
    factors = [BY_NAME[c].resolution_m // 10 for c in plain.card.channels]
    write_model(with_native_inputs(plain.graph(), factors), plain.card, path)
    return plain, read_model(path)


def rows_of(scene, model, out, stride=64):
    cells = Cells(scene.grid, 64, stride)
    lanes = Lanes(model, "onnxruntime", 1, codes=False)
    found = classify_rows(scene, cells, model.card.channels, 10, lanes, Parts(out, "k"), lambda *a: None)
    lanes.close()
    return found[0]


@pytest.mark.parametrize(("stride", "offset"), [(64, -1000.0), (32, 0.0)])
def test_answers_are_those_on_whole_bands(tmp_path, monkeypatch, networks, stride, offset):
    """Whatever the phase; tiles at the scene's edges and with gaps go by the pixels that fit them best."""
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (128, 128))
    bands = pixels(522, 456, offset)
    scene = open_scene(band_folder(tmp_path / "s", bands), offset=str(offset) if offset else "metadata")
    expected = rows_of(scene, networks[0], tmp_path / "a", stride)
    found = rows_of(scene, networks[1], tmp_path / "b", stride)
    np.testing.assert_allclose(found.seen, expected.seen, atol=1e-6)
    np.testing.assert_allclose(found.valid, expected.valid, atol=1e-6)
    enough = expected.seen >= 0.5
    whole = expected.seen == 1
    inside = np.zeros_like(whole)
    edge = 1 if stride == 64 else 2
    inside[edge : -edge - 1, edge : -edge - 1] = whole[edge : -edge - 1, edge : -edge - 1]
    away = np.abs(found.logits - expected.logits).max(-1)
    spread = expected.logits[enough].std()
    assert inside.sum() > 5
    assert away[inside].max() < 0.1 * spread  # DN that were rounded
    assert away[enough].max() < 0.2 * spread  # a mirrored or filled tile is no upsampled image
    assert (found.logits[~enough] == 0).all()
    np.testing.assert_allclose(found.means[inside], expected.means[inside], rtol=0.01, atol=1)
    assert np.nanmax(np.abs(found.cloud - expected.cloud)) < 0.05
    assert np.abs(found.picture[inside].astype(int) - expected.picture[inside]).max() <= 1


def test_bands_on_one_grid_are_brought_back(tmp_path, networks):
    """A raster that has all bands at 10 m: no native pixels to be had but those that fit best."""
    scene = open_scene(multiband(tmp_path / "m.tif", pixels(192, 192, hole=False)))
    expected = rows_of(scene, networks[0], tmp_path / "a")
    found = rows_of(scene, networks[1], tmp_path / "b")
    assert found.logits.shape == expected.logits.shape == (3, 3, 10)
    assert np.abs(found.logits - expected.logits).max() < 1.5 * expected.logits.std()  # repeated pixels are no cubics


class Prints:
    """Lanes that answer with facts of the windows which they are given."""

    input_type, codes, batch, facts = "float32", None, 29, {"version": "0"}

    def __init__(self, native):
        self.native = native

    def __len__(self):
        return 1

    def logits(self, lane):
        return lambda tiles: np.concatenate([fingerprint(w) for w in tiles.windows.values()], axis=1)


def test_own_pixels_and_means_of_blocks(tmp_path):
    """Students' inputs: 20 m without a halo, 60 m as means over blocks, from whole bands; gaps and edges too."""
    channels = ("B02", "B05", "B01", "B03")
    groups = (
        Group("tiles_10m", (0, 3), 1, 64, 1, 64), Group("tiles_20m", (1,), 2, 32, 1, 64, 0),
        Group("tiles_60m", (2,), 6, 8, 1, 64, HALO, 8),
    )  # fmt: skip
    scene = open_scene(band_folder(tmp_path / "s", pixels(522, 456)))
    cells = Cells(scene.grid, 64, 64)
    found = classify_rows(scene, cells, channels, 32, Prints(groups), Parts(tmp_path / "a", "k"), lambda *a: None)[0]

    class Numbers(Prints):
        native = ()

        def __init__(self):
            pass

        def logits(self, lane):
            return lambda tiles: np.concatenate(
                [fingerprint(w) for w in native_of(tiles, groups).windows.values()], axis=1
            )

    expected = classify_rows(scene, cells, channels, 32, Numbers(), Parts(tmp_path / "b", "k"), lambda *a: None)[0]
    inside = (expected.seen == 1)[1:-2, 1:-2]
    a, b = found.logits[1:-2, 1:-2][inside], expected.logits[1:-2, 1:-2][inside]
    assert inside.sum() > 5
    corners = slice(20, 24)  # of the one band at 20 m: from a tile they are known but roughly
    away = np.abs(a - b)
    assert away[:, corners].max() < 150
    away[:, corners] = 0
    assert away.max() < 1.0
    outer = np.abs(found.logits - expected.logits)[0]
    assert outer.max() == 0  # resampled like any other


def test_the_command(tmp_path, capsys, networks):
    out = str(tmp_path / "n.onnx")
    assert main(["export", str(packaged("eurosat_ms")), "--native", "--out", out]) == 0
    folder = band_folder(tmp_path / "s", pixels(330, 270))
    capsys.readouterr()
    arguments = ["classify", str(folder), "--model", out, "--runtime", "onnxruntime", "--out", str(tmp_path / "m")]
    assert main([*arguments, "--json"]) == 0
    assert (tmp_path / "m" / "landcover.tif").is_file()
    assert main([*arguments, "--device", "cuda", "--force"]) != 0
    assert "native pixels" in capsys.readouterr().err
