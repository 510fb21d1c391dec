"""One tile from one file: what is read right, and what is refused with which reason."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.tiles import BadTile, decode


def description(names: tuple[str, ...]) -> str:
    items = (f'<Item name="DESCRIPTION" sample="{k}" role="description">{n}</Item>' for k, n in enumerate(names))
    return f"<GDALMetadata>{''.join(items)}</GDALMetadata>"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"rowsperstrip": 4},
        {"tile": (32, 32)},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
    ],
    ids=str,
)
def test_tiff_variants_give_the_same_pixels(make: SimpleNamespace, options: dict[str, object]) -> None:
    found = decode(make.tiff(make.pixels(1), **options), "a.tif")
    np.testing.assert_array_equal(found.pixels, make.pixels(1).transpose(2, 0, 1))
    assert found.pixels.dtype == np.uint16
    assert found.pixels.dtype.isnative
    assert found.channels == make.BANDS == EUROSAT_ORDER
    assert found.units == "DN"


def test_bands_in_planes_or_pages(make: SimpleNamespace) -> None:
    planes = make.pixels(2).transpose(2, 0, 1)
    separate = decode(make.tiff(planes, planarconfig="separate"), "a.tiff")
    pages = decode(make.tiff(planes, planarconfig=None), "a.TIF")
    np.testing.assert_array_equal(separate.pixels, planes)
    np.testing.assert_array_equal(pages.pixels, planes)


def test_described_bands_are_named_by_their_descriptions(make: SimpleNamespace) -> None:
    order = (*make.BANDS[:8], "B8A", *make.BANDS[8:12])  # a product's order, not EuroSAT's
    tags = [(42112, "s", 0, description(order), True)]
    assert decode(make.tiff(make.pixels(1), extratags=tags), "a.tif").channels == order
    unknown = [(42112, "s", 0, description(("x",) * 13), True)]
    with pytest.raises(BadTile, match=r"name no band: 1 'x'.*--band-names"):
        decode(make.tiff(make.pixels(1), extratags=unknown), "a.tif")


def test_place_is_the_centre(make: SimpleNamespace) -> None:
    # PROJ: EPSG:32630 601215.010, 4326949.880 is -1.8297262759, 39.0858013501
    tags = make.geo_tags(600895.0021822372 + 0.0084, 4327269.855440698 + 0.025, 32630)
    lon, lat = decode(make.tile(1, extratags=tags), "a.tif").lonlat
    assert lon == pytest.approx(-1.8297262759, abs=1e-8)
    assert lat == pytest.approx(39.0858013501, abs=1e-8)


def test_coordinates_of_pixel_centres_lie_half_a_pixel_off(make: SimpleNamespace) -> None:
    """RasterPixelIsPoint: the tie point is the first pixel's centre, 5 m right of and below its corner."""
    corner = make.geo_tags(600_000.0, 4_327_000.0, 32630)
    centre = make.geo_tags(600_005.0, 4_326_995.0, 32630)
    keys = list(centre[2][3])
    keys[keys.index(1025) + 3] = 2
    centre[2] = (*centre[2][:3], tuple(keys), True)
    of_corner = decode(make.tile(1, extratags=corner), "a.tif").lonlat
    of_centre = decode(make.tile(1, extratags=centre), "a.tif").lonlat
    assert of_centre == pytest.approx(of_corner, abs=1e-9)  # 1e-9 degrees are 0.1 mm
    unshifted = decode(make.tile(1, extratags=make.geo_tags(600_005.0, 4_326_995.0, 32630)), "a.tif").lonlat
    assert abs(unshifted[0] - of_corner[0]) > 5e-5


def test_a_transformation_matrix_places_as_a_tie_point_does(make: SimpleNamespace) -> None:
    tie = make.geo_tags(600_000.0, 4_327_000.0, 32630)
    matrix = (10.0, 0, 0, 600_000.0, 0, -10.0, 0, 4_327_000.0, 0, 0, 0, 0, 0, 0, 0, 1)
    by_matrix = [(34264, "d", 16, matrix, True), tie[2]]
    found = decode(make.tile(1, extratags=by_matrix), "a.tif").lonlat
    assert found == pytest.approx(decode(make.tile(1, extratags=tie), "a.tif").lonlat, abs=1e-9)


@pytest.mark.parametrize("epsg", [0, 3857, 32600])
def test_unknown_place_is_nan(make: SimpleNamespace, epsg: int) -> None:
    assert np.isnan(decode(make.tile(1, extratags=make.geo_tags(4e5, 5e6, epsg)), "a.tif").lonlat).all()
    assert np.isnan(decode(make.tiff(make.pixels(1)), "a.tif").lonlat).all()


def test_jpeg(make: SimpleNamespace) -> None:
    content = make.jpeg(5)
    found = decode(content, "a.JPEG")
    assert (found.channels, found.units) == (("B04", "B03", "B02"), "rgb8")
    np.testing.assert_array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(content))).transpose(2, 0, 1))


def float_tile(make: SimpleNamespace) -> bytes:
    image = make.pixels(1).astype(np.float32)
    image[3, 4, 5] = np.nan
    return bytes(make.tiff(image))


def lzw(make: SimpleNamespace) -> bytes:
    """Only the tag: writing LZW needs another package."""
    return bytes(make.tile(1)).replace(struct.pack("<HHIH", 259, 3, 1, 1), struct.pack("<HHIH", 259, 3, 1, 5), 1)


def bomb(make: SimpleNamespace) -> bytes:
    """The pixels' place is taken by a deflate stream that becomes 100 MB."""
    random = np.random.default_rng(0).integers(0, 60_000, (64, 64, 13)).astype(np.uint16)
    content = bytearray(make.tiff(random, compression="zlib"))
    packed = zlib.compress(bytes(100_000_000))
    start = content.index(b"\x78\x9c")
    content[start : start + len(packed)] = packed
    return bytes(content)


def huge_parts(make: SimpleNamespace) -> bytes:
    content = bytearray(make.tiff(make.pixels(1), compression="zlib", tile=(64, 64)))
    for tag in (322, 323):  # TileWidth, TileLength
        for kind, width in ((3, "<HHIHH"), (4, "<HHII")):
            old = struct.pack(width, tag, kind, 1, 64, *([0] if kind == 3 else []))
            if old in content:
                at = content.index(old)
                content[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 1_000_000)
    return bytes(content)


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "PNG")
    return stream.getvalue()


BAD = [
    ("empty", "a.tif", lambda make: b"", "empty"),
    ("text", "a.tif", lambda make: b"not a picture", "not a TIFF"),
    ("truncated tiff", "a.tif", lambda make: make.tile(1)[:60_000], "truncated"),
    ("header only", "a.tif", lambda make: make.tile(1)[:8], "corrupt or truncated"),
    ("nan", "a.tif", float_tile, "1 NaN or infinite"),
    ("double", "a.tif", lambda make: make.tiff(make.pixels(1).astype(np.float64)), "float64 values; uint8, uint16"),
    ("int32", "a.tif", lambda make: make.tiff(make.pixels(1).astype(np.int32)), "int32 values; uint8, uint16"),
    ("lzw", "a.tif", lzw, "corrupt or truncated"),
    ("deflate bomb", "a.tif", bomb, "a part unpacks to more than its 106496 bytes"),
    ("huge parts", "a.tif", huge_parts, "parts of 1000000x1000000"),
    ("12 bands", "a.tif", lambda make: make.tiff(make.pixels(1, bands=12)), "12 bands without names.*--band-names"),
    ("10 bands", "a.tif", lambda make: make.tiff(make.pixels(1, bands=10)), "10 bands without names.*--band-names"),
    ("4 bands", "a.tif", lambda make: make.tiff(make.pixels(1, bands=4)), "4 bands without names.*--band-names"),
    ("100 bands", "a.tif", lambda make: make.tiff(make.pixels(1, bands=100, size=8)), "claims 100 bands"),
    ("truncated jpeg", "a.jpg", lambda make: make.jpeg(1)[:-200], "truncated"),
    ("no end marker", "a.jpg", lambda make: make.jpeg(1)[:-2], "no end marker"),
    ("cmyk jpeg", "a.jpg", lambda make: make.jpeg(1, mode="CMYK"), "mode CMYK"),
    ("png called jpg", "a.jpg", lambda make: png(), "not a JPEG but a PNG.*rename"),
    ("tiff called jpg", "a.jpg", lambda make: make.tile(1), "not a JPEG but a TIFF"),
]


@pytest.mark.parametrize(("name", "build", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_tiles_say_why(make: SimpleNamespace, name: str, build: object, reason: str) -> None:
    with pytest.raises(BadTile, match=reason):
        decode(build(make), name)  # type: ignore[operator]


def test_claimed_sizes_are_not_allocated(make: SimpleNamespace) -> None:
    content = bytearray(make.tile(1))
    at = content.index(struct.pack("<HHII", 256, 4, 1, 64))  # ImageWidth, one LONG
    content[at : at + 12] = struct.pack("<HHII", 256, 4, 1, 2_000_000_000)
    tracemalloc.start()
    with pytest.raises(BadTile, match="claims 13 bands of 2000000000x64"):
        decode(bytes(content), "a.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


def test_claimed_jpeg_size_is_not_allocated(make: SimpleNamespace) -> None:
    content = bytearray(make.jpeg(1))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 10_000, 10_000)
    with pytest.raises(BadTile, match="claims 10000x10000"):
        decode(bytes(content), "a.jpg")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["a.tif", "a.jpg"]))
def test_damaged_bytes_never_raise_anything_else(make: SimpleNamespace, data: st.DataObject, kind: str) -> None:
    content = bytearray(make.tile(1, rowsperstrip=16) if kind == "a.tif" else make.jpeg(1))
    reach = min(len(content), 1200) - 1  # the headers, where bytes mean something
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(4, reach))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    with contextlib.suppress(BadTile):
        found = decode(bytes(content[:cut]), kind)
        assert found.pixels.ndim == 3
        assert len(found.channels) == len(found.pixels)
