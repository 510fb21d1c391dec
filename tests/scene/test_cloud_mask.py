"""The adapter of OmniCloudMask against a stand-in of its interface (version 1.7); its networks are not run here."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from scene.make_scenes import band_folder, pixels
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.eo.scene.classify import Options, classify_scene
from skytrigger.eo.scene.cloud_mask import with_cloud_mask
from skytrigger.eo.scene.opening import open_scene


@pytest.fixture
def stand_in(monkeypatch):
    """(3, h, w) red, green, near infrared -> (1, h, w) uint8: 0 clear, 1 thick, 2 thin, 3 shadow; here by columns."""
    module, given = ModuleType("omnicloudmask"), []

    def predict_from_array(input_array, *, no_data_value, apply_no_data_mask, inference_device):
        assert input_array.ndim == 3
        assert len(input_array) == 3
        assert min(input_array.shape[1:]) >= 32  # it refuses less
        given.append(input_array.copy())
        codes = np.broadcast_to(np.arange(input_array.shape[2]) * 4 // input_array.shape[2], input_array.shape[1:])
        masked = (input_array == no_data_value).any(axis=0)
        return np.where(masked & apply_no_data_mask, 0, codes).astype(np.uint8)[None]

    module.predict_from_array = predict_from_array
    monkeypatch.setitem(sys.modules, "omnicloudmask", module)
    return given


def test_bands_are_brought_to_20_m(tmp_path, stand_in):
    bands = pixels(330, 270)
    scene = with_cloud_mask(open_scene(band_folder(tmp_path, bands)))
    (red, green, near) = stand_in[0]
    assert red.shape == (135, 165)
    blocks = bands["B04"].reshape(135, 2, 165, 2)
    full = (blocks != 0).all(axis=(1, 3))
    assert (red[~full] == 0).all()
    assert np.abs(red[full] - blocks.mean(axis=(1, 3))[full]).max() <= 0.5
    assert (near == bands["B8A"]).all()
    assert (green != red).any()
    codes = scene.bands["SCL"].dn()
    assert set(np.unique(codes)) == {0, 3, 4, 9, 10}
    assert (codes == 0).sum() == (stand_in[0] == 0).any(axis=0).sum()


def test_a_map_with_it(tmp_path, stand_in):
    folder = band_folder(tmp_path / "s", pixels(384, 256, hole=False))
    options = Options(runtime="onnxruntime", clouds="omnicloudmask")
    summary = classify_scene(folder, "eurosat_ms", tmp_path / "o", options)
    # columns 96 to 287 of 384 are cloudy: of each of four rows two whole cells, and just half of two
    assert summary["tiles_cloud"] == 8
    assert "OmniCloudMask" in " ".join(summary["notes"])
    rules = classify_scene(folder, "eurosat_ms", tmp_path / "o", Options(runtime="onnxruntime"))
    assert rules["key"] != summary["key"]


def test_odd_and_small_scenes(tmp_path, stand_in):
    bands = pixels(30, 18, hole=False)
    scene = with_cloud_mask(open_scene(band_folder(tmp_path, bands)))
    assert stand_in[0].shape == (3, 64, 64)
    assert (stand_in[0][:, 9:] == 0).all()
    assert scene.bands["SCL"].dn().shape == (9, 15)
    scene.factors()


def test_refusals(tmp_path, monkeypatch, stand_in):
    with pytest.raises(InputError, match="--clouds magic"):
        Options(clouds="magic")
    some = {n: v for n, v in pixels(66, 66).items() if n != "B03"}
    with pytest.raises(InputError, match="no B03"):
        with_cloud_mask(open_scene(band_folder(tmp_path / "a", some)))
    monkeypatch.setitem(sys.modules, "omnicloudmask", None)
    with pytest.raises(UnavailableError, match=r"pip install 'skytrigger\[clouds\]'"):
        with_cloud_mask(open_scene(band_folder(tmp_path / "b", pixels(66, 66))))


@pytest.mark.real
def test_pixels_that_it_does_not_know(real_data, stand_in):
    with pytest.raises(InputError, match=r"159\.8 m"):
        with_cloud_mask(open_scene(real_data / "sentinel2_l1c_T19UDP_160m"))
