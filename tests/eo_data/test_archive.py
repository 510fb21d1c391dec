"""Zip members: the three methods, and archives that lie."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrigger.core.errors import InputError
from skytrigger.eo.archive import MemberError, open_zip, read_member
from skytrigger.eo.load import load

LIMIT = 1 << 20
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]
CONTENT = bytes(range(256)) * 500


def archive_bytes(
    content: bytes = CONTENT, method: int = zipfile.ZIP_DEFLATED, name: str = "River/River_1.tif"
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def read(tmp_path: Path, raw: bytes, limit: int = LIMIT) -> bytes:
    path = tmp_path / "a.zip"
    path.write_bytes(raw)
    with open_zip(path) as archive:
        return read_member(archive, archive.infolist()[0], limit)


def patch_directory(raw: bytes, offset: int, layout: str, value: int) -> bytes:
    """Overwrite a field of the first entry of the central directory."""
    start = raw.index(b"PK\x01\x02") + offset
    return raw[:start] + struct.pack(layout, value) + raw[start + struct.calcsize(layout) :]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=["empty", "one byte", "many"])
def test_methods_agree_with_zipfile(tmp_path: Path, method: int, content: bytes) -> None:
    raw = archive_bytes(content, method)
    with zipfile.ZipFile(io.BytesIO(raw)) as reference:
        assert reference.read("River/River_1.tif") == content
    assert read(tmp_path, raw) == content


@pytest.mark.parametrize("method", METHODS)
def test_smaller_declared_than_real_is_refused(tmp_path: Path, method: int) -> None:
    raw = patch_directory(archive_bytes(method=method), 24, "<I", 1000)
    with pytest.raises(MemberError, match=r"1001 bytes unpacked|128000 bytes unpacked"):
        read(tmp_path, raw)


def test_lzma_bomb_is_not_unpacked(tmp_path: Path) -> None:
    raw = archive_bytes(b"\0" * 40_000_000, zipfile.ZIP_LZMA)
    assert len(raw) < 60_000
    raw = patch_directory(raw, 24, "<I", 100_000)  # claims to be a tile
    tracemalloc.start()
    with pytest.raises(MemberError, match="100001 bytes unpacked, 100000 declared"):
        read(tmp_path, raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_larger_than_a_tile_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(MemberError, match=f"a tile has at most {LIMIT}"):
        read(tmp_path, archive_bytes(b"\0" * (LIMIT + 1)))
    with pytest.raises(MemberError, match="a tile has at most"):
        read(tmp_path, patch_directory(archive_bytes(), 20, "<I", 1 << 31))


def test_wrong_checksum(tmp_path: Path) -> None:
    with pytest.raises(MemberError, match="CRC-32"):
        read(tmp_path, patch_directory(archive_bytes(), 16, "<I", 12345))


@pytest.mark.parametrize("method", METHODS)
def test_damaged_data(tmp_path: Path, method: int) -> None:
    raw = bytearray(archive_bytes(method=method))
    for at in range(120, 160):
        raw[at] ^= 0x55
    with pytest.raises(MemberError, match=r"damaged|CRC-32|unpacked"):
        read(tmp_path, bytes(raw))


def test_data_beyond_the_end_and_lost_header(tmp_path: Path) -> None:
    raw = archive_bytes(method=zipfile.ZIP_STORED)
    with pytest.raises(MemberError, match="archive ends"):
        read(tmp_path, patch_directory(patch_directory(raw, 20, "<I", 900_000), 24, "<I", 900_000))
    with pytest.raises(MemberError, match="header is missing"):
        read(tmp_path, patch_directory(raw, 42, "<I", 7))


def test_encrypted(tmp_path: Path) -> None:
    with pytest.raises(MemberError, match="encrypted"):
        read(tmp_path, patch_directory(archive_bytes(), 8, "<H", 1))


def test_unknown_method(tmp_path: Path) -> None:
    with pytest.raises(MemberError, match="compression method 98"):
        read(tmp_path, patch_directory(archive_bytes(), 10, "<H", 98))


@pytest.mark.parametrize(
    "name", ["../River_1.tif", "/etc/River_1.tif", "a/../../River_1.tif", "C:/River_1.tif", "..\\r.tif"]
)
def test_names_that_escape(tmp_path: Path, name: str) -> None:
    with pytest.raises(MemberError, match="path"):
        read(tmp_path, archive_bytes(name=name))


def test_links_in_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("River/River_1.tif")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(MemberError, match="symbolic link"):
        read(tmp_path, path.read_bytes())


def test_bad_lzma_properties(tmp_path: Path) -> None:
    raw = bytearray(archive_bytes(method=zipfile.ZIP_LZMA))
    start = raw.index(b"River_1.tif") + len("River_1.tif")
    raw[start + 4] = 255  # lc, lp, pb
    with pytest.raises(MemberError, match="damaged"):
        read(tmp_path, bytes(raw))


def test_huge_lzma_dictionary_is_not_allocated(tmp_path: Path) -> None:
    raw = bytearray(archive_bytes(method=zipfile.ZIP_LZMA))
    start = raw.index(b"River_1.tif") + len("River_1.tif")
    raw[start + 5 : start + 9] = struct.pack("<I", 0xFFFFFFFF)
    assert read(tmp_path, bytes(raw)) == CONTENT


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), method=st.sampled_from(METHODS))
def test_damaged_archives_raise_nothing_else(
    make: SimpleNamespace, cache: Path, tmp_path: Path, data: st.DataObject, method: int
) -> None:
    raw = bytearray(archive_bytes(method=method))
    directory = raw.index(b"PK\x01\x02")
    for _ in range(data.draw(st.integers(1, 5))):
        part = data.draw(st.sampled_from([(0, 80), (directory, len(raw) - 1)]))
        raw[data.draw(st.integers(*part))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError, MemberError):
        assert len(read(tmp_path, bytes(raw))) <= LIMIT
    with contextlib.suppress(InputError):
        load([str(tmp_path / "a.zip")], skip_bad=True)


@pytest.mark.parametrize("raw", [b"", b"not a zip" * 100, archive_bytes()[:-30], b"PK\x05\x06" + b"\xff" * 18])
def test_not_an_archive(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read as a zip archive"):
        read(tmp_path, raw)
