"""Tiles as others have them: pixels against the writers' own, ids, parts, no-data, and what is refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from eo_data.odd_tiles import FOUR
from eo_data.tile_files import each, picture, planes, rgb16, tif
from skytrigger.eo.load import load
from skytrigger.eo.reading import Reading
from skytrigger.eo.statistics import channel_statistics
from skytrigger.eo.tiff import FLOAT_NO_DATA
from skytrigger.eo.tiles import BadTile, decode
from skytrigger.learn.batches import channel_statistics as learnt_statistics


def test_eurosats_names_keep_their_ids_and_hashes(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    """The hash that earlier versions gave these tiles."""
    data = load([str(make.write_folder(tmp_path / "a", make.small_set(per_class=12)))])
    assert data.ids[:2] == ("Forest_1", "Forest_2")
    assert data.content_hash == "4c3becfae021c1e761e8b4f16d4d1d6465d444b300980756c5a2f84148c72743"
    assert list(data.source["assumptions"].values()) == [24]


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("eurosat_ms_val.zip", "666f341faab5fccbdb5a08e5ac5b46edffeb757239d5494fca1339e7f131aefd"),
        ("eurosat_rgb_val.zip", "1c2e9e8828ad06bf80699dec7c39aa13978e83a8facf51ef7c56caa95559da07"),
    ],
)
def test_real_tiles_keep_their_hashes(cache: Path, real_data: Path, name: str, digest: str) -> None:
    data = load([str(real_data / name)])
    assert data.content_hash == digest
    assert "no_data" not in data.source


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "zstd"])
def test_the_stored_type_stays(cache: Path, tmp_path: Path, dtype: str, compress: str) -> None:
    each(lambda path, seed: tif(path, planes(seed, 4, dtype, (8, 24)), FOUR, compress=compress))(tmp_path / "a")
    data = load([str(tmp_path / "a")])
    assert (data.x.dtype.name, data.x.shape) == (dtype, (6, 4, 8, 24))
    np.testing.assert_array_equal(data.x[4], planes(102, 4, dtype, (8, 24)))


def test_lerc_and_16_bit_colours(tmp_path: Path) -> None:
    values = planes(1, 3, "float32")
    tif(tmp_path / "a.tif", values, FOUR[:3], compress="lerc", max_z_error=0)
    np.testing.assert_array_equal(decode((tmp_path / "a.tif").read_bytes(), "a.tif").pixels, values)
    rgb16(tmp_path / "a.png", 3)
    found = decode((tmp_path / "a.png").read_bytes(), "a.png")
    np.testing.assert_array_equal(found.pixels, planes(3, 3) * np.uint16(50))


def test_without_rasterio_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tif(tmp_path / "a.tif", planes(1, 3), FOUR[:3], compress="lzw")
    rgb16(tmp_path / "a.png", 3)
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    for name, what in (("a.tif", "compression LZW"), ("a.png", "16 bits a colour")):
        with pytest.raises(BadTile, match=rf"{what}.*pip install 'skytrigger\[geo\]'"):
            decode((tmp_path / name).read_bytes(), name)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "I;16"])
def test_png_against_pillow(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    picture(path, 1, mode, (10, 14))
    expected = np.asarray(Image.open(path) if mode == "I;16" else Image.open(path).convert("RGB"))
    found = decode(path.read_bytes(), "a.png").pixels.transpose(1, 2, 0)
    np.testing.assert_array_equal(found, expected[..., :1] if found.shape[2] == 1 and expected.ndim == 3 else
                                  expected.reshape(*expected.shape[:2], -1))  # fmt: skip


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[0, :3, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(BadTile, match="3 of 16 pixels are transparent"):
        decode((tmp_path / "a.png").read_bytes(), "a.png")
    Image.fromarray(pixels[..., :3]).save(tmp_path / "b.png", transparency=(255, 255, 255))
    with pytest.raises(BadTile, match="16 of 16 pixels are transparent"):
        decode((tmp_path / "b.png").read_bytes(), "b.png")


def test_a_fourth_colour_of_a_tiff_is_asked_for(tmp_path: Path) -> None:
    """rasterio writes four bands of bytes as red, green, blue and alpha, whatever they are."""
    values = planes(1, 4, "uint8")
    tif(tmp_path / "a.tif", values)
    content = (tmp_path / "a.tif").read_bytes()
    with pytest.raises(BadTile, match=r"1 more that nothing names.*--band-names"):
        decode(content, "a.tif")
    assert decode(content, "a.tif", Reading(("B04", "B03", "B02", "B08"))).channels[3] == "B08"
    values[3] = 255
    tif(tmp_path / "b.tif", values)
    assert decode((tmp_path / "b.tif").read_bytes(), "b.tif").units == "rgb8"


def test_overviews_are_no_bands_and_masks_are_refused(tmp_path: Path) -> None:
    import rasterio

    path = tmp_path / "a.tif"
    tif(path, planes(1, 1))
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4])
    assert decode(path.read_bytes(), "a.tif").pixels.shape == (1, 32, 32)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as out:
        out.write_mask(np.eye(32, dtype=np.uint8) * np.uint8(255))
    with pytest.raises(BadTile, match="a mask as a page"):
        decode(path.read_bytes(), "a.tif")


def test_jpeg_that_ends_in_a_thumbnails_marker_is_truncated(make: SimpleNamespace) -> None:
    good = make.jpeg(1)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 20) + b"Exif\0\0" + bytes(12) + b"\xff\xd9"
    whole = good[:2] + thumbnail + good[2:]
    np.testing.assert_array_equal(decode(whole, "a.jpg").pixels, decode(good, "a.jpg").pixels)
    with pytest.raises(BadTile, match="truncated"):
        decode(whole[:-2], "a.jpg")
    progressive = io.BytesIO()
    Image.open(io.BytesIO(good)).save(progressive, "JPEG", progressive=True)
    assert not decode(progressive.getvalue(), "a.jpg").notes
    assert decode(progressive.getvalue() + b"more", "a.jpg").notes


# --- no data


def test_statistics_leave_no_data_out(cache: Path, tmp_path: Path) -> None:
    stored = {}

    def write(path: Path, seed: int) -> None:
        values = planes(seed, 3) + np.uint16(1)
        values[:, :10] = 65535 if seed % 2 else 0
        stored[f"{path.parent.name}/{path.name}"] = values
        tif(path, values, FOUR[:3], nodata=65535 if seed % 2 else 0)

    each(write)(tmp_path / "a")
    data = load([str(tmp_path / "a")])
    assert data.source["no_data"] == {"values": [0.0, 65535.0], "tiles": 6, "pixels": 6 * 320, "max_share": 0.5}
    everything = np.stack([stored[name] for name in sorted(stored)]).astype(np.float64)
    masked = np.ma.masked_array(everything, (everything == 0) | (everything == 65535))
    learnt = learnt_statistics(data, np.arange(len(data)), block=2)
    for k, found in enumerate(channel_statistics(data)):
        assert found.mean == pytest.approx(masked[:, k].mean(), rel=1e-12)
        assert found.std == pytest.approx(masked[:, k].std(), rel=1e-12)
        assert (found.min, found.max) == (masked[:, k].min(), masked[:, k].max())
        assert (learnt[0][k], learnt[1][k]) == pytest.approx((found.mean, found.std), rel=1e-9)


@pytest.mark.parametrize("value", [float("nan"), -9999.0])
def test_floats_without_data(cache: Path, tmp_path: Path, value: float) -> None:
    def write(path: Path, seed: int) -> None:
        values = planes(seed, 3, "float32")
        values[:, 3, :7] = value
        values[0, 0, 0] = 0.0  # measured, and no hole
        tif(path, values, FOUR[:3], nodata=value)

    each(write)(tmp_path / "a")
    data = load([str(tmp_path / "a")])
    assert data.source["no_data"]["pixels"] == 6 * 7
    assert np.isfinite(data.x).all()
    masked = np.ma.masked_array(data.x, data.x == np.float32(FLOAT_NO_DATA)).astype(np.float64)
    assert masked.mask.sum() == 6 * 7 * 3
    for k, found in enumerate(channel_statistics(data)):
        assert found.mean == pytest.approx(masked[:, k].mean(), rel=1e-9)
        assert found.p50 == np.percentile(masked[:, k].compressed(), 50, method="inverted_cdf")
    assert channel_statistics(data)[0].min == 0.0


def test_a_tag_that_is_no_number(make: SimpleNamespace) -> None:
    for text, bad in (("none", True), ("-9999", False), ("0.5", False)):
        content = make.tiff(make.pixels(1), extratags=[(42113, "s", 0, text, True)])
        if bad:
            with pytest.raises(BadTile, match="no-data tag says 'none'"):
                decode(content, "a.tif")
        else:  # no whole number of this type: no pixel can have it
            assert decode(content, "a.tif").no_data is None
