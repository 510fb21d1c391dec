"""Damaged JPEG 2000 never takes much memory: it is refused by file and byte, or read; honest files of any make pass."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scene.make_scenes import write_band
from skytrigger.core.errors import InputError
from skytrigger.eo.codestream import Size, check_stream
from skytrigger.eo.scene.jpeg2000 import check_jpeg2000
from skytrigger.eo.scene.raster_band import open_quietly

TILED = {"BLOCKXSIZE": 128, "BLOCKYSIZE": 128, "RESOLUTIONS": 3, "PRECINCTS": "{32,32},{32,32},{32,32}"}


def image(height: int = 150, width: int = 200) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (1000 + 300 * np.sin(x / 40) + 200 * np.cos(y / 30)).astype(np.uint16)


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("jp2") / "B02.jp2"
    return write_band(path, image(), 10, profile=TILED).read_bytes()


def flips(path: Path, limit_mb: int, *spans: tuple[int, int]) -> dict[str, int]:
    """See flipped.py; the process is killed where it takes more memory than it may."""
    command = [sys.executable, str(Path(__file__).with_name("flipped.py")), str(path), str(limit_mb)]
    done = subprocess.run(
        [*command, *(f"{a}-{b}" for a, b in spans)], capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def parts_of(content: bytes, first: int) -> list[int]:
    """Where each tile-part begins."""
    found, at = [], first
    while content[at : at + 2] == b"\xff\x90":
        found.append(at)
        at += struct.unpack(">I", content[at + 6 : at + 10])[0]
    return found


def test_flips_in_every_header_byte(tmp_path, content):
    """256 MB are enough for each: four tiles of 128 x 128; without the check some ask for many times that."""
    stream = content.index(b"jp2c") + 4
    first = content.index(b"\xff\x90\x00\x0a", stream)
    parts = parts_of(content, first)
    assert len(parts) == 4
    path = tmp_path / "B02.jp2"
    path.write_bytes(content)
    box = content.index(b"jp2h") - 4
    spans = [(0, box + 60), (stream - 8, stream + 80), (parts[0], parts[0] + 16), (parts[3], parts[3] + 16),
             (parts[2] + 14, parts[2] + 60)]  # fmt: skip
    found = flips(path, 256, *spans)
    assert set(found) <= {"refused", "same", "pixels"}, found  # never another shape
    assert found["refused"] > 150


@pytest.mark.real
def test_flips_in_a_real_file(tmp_path, real_data):
    path = tmp_path / "B03.jp2"
    shutil.copyfile(real_data / "sentinel2_l1c_T19UDP_160m" / "B03.jp2", path)
    content = path.read_bytes()
    stream = content.index(b"jp2c") + 4
    found = flips(path, 256, (stream - 8, stream + 45))
    assert set(found) <= {"refused", "same", "pixels"}, found
    assert found["refused"] > 80


def test_a_file_that_is_cut_off_names_the_byte(tmp_path, content):
    path = tmp_path / "B02.jp2"
    for kept in (
        5,
        20,
        100,
        content.index(b"jp2c") + 2,
        content.index(b"jp2c") + 30,
        3000,
        len(content) - 40,
        len(content) - 2,
    ):
        path.write_bytes(content[:kept])
        with pytest.raises(InputError, match=r"B02\.jp2.*(byte \d+|cannot be opened)"):
            open_quietly(str(path))


@pytest.mark.parametrize(
    "options",
    [
        {"BLOCKXSIZE": 200, "BLOCKYSIZE": 150},
        {"BLOCKXSIZE": 1024, "BLOCKYSIZE": 1024},
        {"PROGRESSION": "RPCL", "PLT": "YES", "TLM": "YES", **TILED},
        {"SOP": "YES", "EPH": "YES", "CODEBLOCK_WIDTH": 4, "CODEBLOCK_HEIGHT": 1024, "RESOLUTIONS": 1},
        {"REVERSIBLE": "NO", "QUALITY": "10,25,50,100", "RESOLUTIONS": 6},
        {"JP2": "NO", "CODEC": "J2K"},
        {"NBITS": 12, "RESOLUTIONS": 5},
    ],
)  # fmt: skip
def test_what_other_encoders_write_passes(tmp_path, options):
    path = write_band(tmp_path / "B02.jp2", image(), 10, profile=options)
    assert open_quietly(str(path)).read(1).shape == (150, 200)


@pytest.mark.real
def test_real_files_pass(real_data):
    for path in sorted((real_data / "sentinel2_l1c_T19UDP_160m").glob("*.jp2")):
        check_jpeg2000(str(path), path.name)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_zips(tmp_path, content, method):
    at = content.index(b"\xff\x51\x00\x29") + 4 + 2
    damaged = bytearray(content)
    damaged[at : at + 4] = (1 << 30).to_bytes(4, "big")
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("good/B02.jp2", content)
        archive.writestr("bad/B03.jp2", bytes(damaged))
    check_jpeg2000(f"/vsizip/{path}/good/B02.jp2", "")
    with pytest.raises(InputError, match=r"B03\.jp2.*byte \d+"):
        open_quietly(f"/vsizip/{path}/bad/B03.jp2")


def test_what_is_no_jpeg_2000_is_left_to_gdal(tmp_path):
    for name, text in (("a.tif", b"II*\0"), ("b.jp2", b""), ("c.jp2", b"text")):
        (tmp_path / name).write_bytes(text)
        check_jpeg2000(str(tmp_path / name), name)
    check_jpeg2000(str(tmp_path / "none.jp2"), "none")


def reader(content: bytes):
    stream = io.BytesIO(content)

    def read(at: int, count: int) -> bytes:
        stream.seek(at)
        return stream.read(count)

    return read


def header(
    size: tuple[int, ...] = (200, 150, 64, 64), coding: bytes = b"\0\0\0\1\0\2\4\4\0\1", more: bytes = b""
) -> bytes:
    """SOC, SIZ, COD, QCD and one empty tile-part a tile."""
    width, height, across, down = size
    siz = struct.pack(">H8IH", 0, width, height, 0, 0, across, down, 0, 0, 1) + b"\x0f\1\1"
    segments = ((0xFF51, siz), (0xFF52, coding), (0xFF5C, b"\x40" + bytes(7)))
    head = b"\xff\x4f" + b"".join(struct.pack(">HH", m, len(b) + 2) + b for m, b in segments) + more
    tiles = min(-(-width // across) * -(-height // down), 1000)
    return head + b"".join(struct.pack(">HHHIBBH", 0xFF90, 10, k, 14, 0, 1, 0xFF93) for k in range(tiles)) + b"\xff\xd9"


def test_a_header_that_is_honest_passes():
    good = header()
    assert check_stream(reader(good), 0, len(good)) == Size(200, 150, 64, 64, 1)
    small = header(coding=b"\1\0\0\1\0\2\4\4\0\1\x11\x11\x11")  # precincts of 2 x 2 pixels, few in such tiles
    check_stream(reader(small), 0, len(small))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (header((200, 150, 1, 1)), "30000 tiles"),
        (header((1 << 31, 1 << 31, 1 << 31, 1 << 31)), "code-blocks that take"),
        (header((200, 150, 1 << 31, 64)), "tiles of 2147483648"),
        (header((10980, 10980, 10980, 10980), b"\1\0\0\1\0\2\4\4\0\1\x11\x11\x11"), "precincts and code-blocks"),
        (header(coding=b"\1\0\0\1\0\2\4\4\0\1\x88"), "1 sizes of precincts for 3"),
        (header(coding=b"\1\0\0\1\0\2\4\4\0\1\0\0\0"), "precincts of one pixel"),
        (header(coding=b"\0\0\0\0\0\2\4\4\0\1"), "0 layers"),
        (header(coding=b"\0\0\0\1\0\2\x09\x09\0\1"), "code-blocks of"),
        (header(coding=b"\0\0\0\1"), "COD of 4 bytes"),
        (header(more=b"\xff\x30"), "0xff30"),
        (header(more=b"\xff\x53\0\5\0\0\2"), "coding style of 3 bytes"),  # COC that is too short
        (header()[:-20], "cut off|before tile"),
    ],
)
def test_what_headers_state_is_counted(bad, words):
    with pytest.raises(InputError, match=rf"byte \d+.*({words})"):
        check_stream(reader(bad), 0, len(bad))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 10**6))
def test_any_damage_is_refused_by_byte_or_passes(changes, cut):
    content = bytearray(header())
    for at, value in changes:
        content[at % len(content)] = value
    if cut % 3 == 0:
        del content[cut % len(content) :]
    try:
        said = f"bytes {check_stream(reader(bytes(content)), 0, len(content)).tiles}"
    except InputError as error:
        said = str(error)
    assert "byte" in said
