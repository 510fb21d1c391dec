"""Tiles whose tags carry XML bombs, names of other files or endless chains of pages."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from skytrigger.eo.tiles import BadTile, decode

LAUGHS = "".join(
    ['<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a0 "laughs and laughs">']
    + [f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 12)]
    + ["]>"]
)
OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels>{}</Pixels></Image></OME>'
# file:///... as an external entity, and another file's pixels by name
XXE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
FOREIGN = '<TiffData IFD="0"><UUID FileName="secret.tif">urn:uuid:0</UUID></TiffData>'


@pytest.mark.parametrize("code", [270, 42112], ids=["ImageDescription", "GDAL_METADATA"])
@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + OME.format("&a11;"),
        LAUGHS + "<GDALMetadata>&a11;</GDALMetadata>",
        LAUGHS + "<DataObject ObjectType='DPUfsImport'>&a11;</DataObject>",
        XXE + OME.format("&f;"),
        OME.format(FOREIGN),
    ],
    ids=["OME bomb", "GDAL bomb", "Philips bomb", "external entity", "other file"],
)
def test_xml_in_tags_expands_to_nothing(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, text: str
) -> None:
    (tmp_path / "secret.tif").write_bytes(make.tiff(np.full((64, 64, 13), 9999, np.uint16)))
    monkeypatch.chdir(tmp_path)
    content = make.tile(3, extratags=[(code, "s", 0, text, True), *make.geo_tags(4e5, 5e6)], description=None)
    tracemalloc.start()
    found = decode(content, "a.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found.pixels, make.pixels(3).transpose(2, 0, 1))
    assert found.channels == make.BANDS
    assert peak < 40_000_000


def test_a_chain_of_pages_that_bites_its_tail_ends(make: SimpleNamespace) -> None:
    content = bytearray(make.tiff(make.pixels(1)[..., 0], planarconfig=None))
    first = struct.unpack_from("<I", content, 4)[0]
    entries = struct.unpack_from("<H", content, first)[0]
    struct.pack_into("<I", content, first + 2 + 12 * entries, first)
    assert decode(bytes(content), "a.tif").channels == ("grey",)  # the first page once, and no more


@pytest.mark.parametrize("size", [(65_500, 65_500), (65_500, 400)])
def test_a_jpeg_header_that_claims_more_than_there_is(make: SimpleNamespace, size: tuple[int, int]) -> None:
    content = bytearray(make.jpeg(5))
    frame = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, frame + 5, *size)
    tracemalloc.start()
    with pytest.raises(BadTile, match=r"claims|decompression bomb"):
        decode(bytes(content), "a.jpg")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
