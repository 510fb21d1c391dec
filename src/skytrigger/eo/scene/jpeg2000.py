"""JPEG 2000 files (ISO/IEC 15444-1, annex I): their boxes and codestream are looked at before GDAL opens them.

Local files and stored members of zips are looked at to their last tile-part. Of compressed members and of remote files
only the beginning is: all else would be read twice.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.eo.archive import open_zip
from skytrigger.eo.codestream import Read, check_stream

_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_BARE = b"\xff\x4f\xff\x51"  # a codestream without boxes
_ZIP = "/vsizip/"
REMOTE = ("/vsicurl/", "/vsis3/", "/vsigs/", "/vsiaz/")
_BOXES = 64
_BEGINNINGS = (1 << 16, 1 << 12)  # bytes of a remote file; fewer of a small one


def check_jpeg2000(path: str, shown: str) -> None:
    """Check what GDAL would open at `path` where it is JPEG 2000; any other file passes.

    Raises
    ------
    InputError
        A box or header that is damaged or states what would take much memory; a file that is cut off. File and byte
        are named.
    """
    try:
        member = archive_of(path)
        if member is not None:
            facts = member[0].stat()
            _member(*member, facts.st_size, facts.st_mtime_ns)
        elif path.startswith(REMOTE) and not path.split("?")[0].lower().endswith((".tif", ".tiff")):
            _remote(path)
        elif os.path.isfile(path):
            facts = os.stat(path)
            _local(path, facts.st_size, facts.st_mtime_ns)
    except InputError as error:
        raise InputError(
            f"{shown}: {error.problem}", expected=error.expected or "a whole file", remedy="download it again"
        ) from error


def archive_of(path: str) -> tuple[Path, str] | None:
    """Zip and member that ``/vsizip/{ARCHIVE}/MEMBER`` names; without braces the zip is the file on the way."""
    if not path.startswith(_ZIP):
        return None
    archive, braces, name = path.removeprefix(f"{_ZIP}{{").partition("}/")
    if braces:
        return Path(archive), name
    whole = Path(path.removeprefix(_ZIP))
    found = next((p for p in whole.parents if p.is_file()), None)
    return (found, whole.relative_to(found).as_posix()) if found else None


@functools.lru_cache(maxsize=512)
def _local(path: str, size: int, mtime_ns: int) -> None:
    """Once for each content: every thread opens every file."""
    with open(path, "rb") as stream:

        def read(at: int, count: int) -> bytes:
            stream.seek(at)
            return stream.read(count)

        _check(read, size, parts=True)


@functools.lru_cache(maxsize=512)
def _member(archive: Path, name: str, size: int, mtime_ns: int) -> None:
    with open_zip(archive) as opened:
        try:
            info = opened.getinfo(name)
            with opened.open(info) as stream:
                stored = info.compress_type == zipfile.ZIP_STORED

                def read(at: int, count: int) -> bytes:
                    stream.seek(at)
                    return stream.read(count)

                _check(read, info.file_size, parts=stored)
        except InputError:
            raise
        except Exception as error:  # zipfile, zlib and lzma raise a dozen kinds on damaged members
            raise InputError(f"it cannot be unpacked: {error}") from error


@functools.lru_cache(maxsize=512)
def _remote(path: str) -> None:
    """GDAL reads the bytes, as a raster of one row: it has the connection's options and credentials."""
    rasterio = require("rasterio", why="scenes")
    source = path.replace("&", "&amp;").replace("<", "&lt;")
    content = next((c for c in (_bytes(rasterio, source, n) for n in _BEGINNINGS) if c), b"")

    def read(at: int, count: int) -> bytes:
        if at + count > len(content):
            raise EOFError  # a header longer than what was read: nothing is known of it
        return content[at : at + count]

    with contextlib.suppress(EOFError):
        _check(read, len(content), parts=False)


def _bytes(rasterio: Any, source: str, count: int) -> bytes:
    """The first `count`; none where the file is smaller, or not there: then GDAL says so when it opens it itself."""
    raw = (
        f'<VRTDataset rasterXSize="{count}" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1" '
        f'subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">{source}</SourceFilename>'
        "<PixelOffset>1</PixelOffset></VRTRasterBand></VRTDataset>"
    )
    try:
        with rasterio.Env(GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE="ALL"), rasterio.open(raw) as dataset:
            content: bytes = dataset.read(1).tobytes()
    except rasterio.errors.RasterioError:
        return b""
    return content


def _check(read: Read, size: int, *, parts: bool) -> None:
    start = read(0, len(_SIGNATURE))
    if start[:4] == _BARE:
        check_stream(read, 0, size, parts=parts)
    elif start[4:8] == _SIGNATURE[4:8]:
        if start != _SIGNATURE:
            raise InputError("byte 0: the signature of JPEG 2000 is damaged")
        _check_boxes(read, size, parts=parts)


def _check_boxes(read: Read, size: int, *, parts: bool) -> None:
    """From the signature to the codestream, whose size the image header must state, too."""
    stated: tuple[int, int, int] | None = None
    for kind, at, begin, end in _boxes(read, size, parts):
        if kind == b"jp2h":
            stated = _image_header(read, begin)
        if kind == b"jp2c":
            found = check_stream(read, begin, end, parts=parts)
            if stated != (found.height, found.width, found.components):
                raise InputError(
                    f"byte {at}: the codestream has {found.width} x {found.height} pixels in {found.components} "
                    f"components, and the image header says {stated}"
                )
            return
    if parts:
        raise InputError(f"byte {size}: the file ends before its codestream begins")


def _boxes(read: Read, size: int, known_size: bool) -> Iterator[tuple[bytes, int, int, int]]:
    """(type, where it begins, where its content does, where it ends) of each box (I.4)."""
    at = 0
    for _ in range(_BOXES):
        header = read(at, 16)
        if at >= size or len(header) < 8:
            return
        length, kind = struct.unpack(">I4s", header[:8])
        skip = 8
        if length == 1 and len(header) == 16:
            length, skip = struct.unpack(">Q", header[8:])[0], 16
        elif length == 0:
            length = size - at
        last = kind == b"jp2c"
        if length < skip or ((known_size or not last) and at + length > size):
            raise InputError(f"byte {at}: a box {kind!r} of {length} bytes, where {size - at} are left")
        yield kind, at, at + skip, at + length
        at += length


def _image_header(read: Read, at: int) -> tuple[int, int, int]:
    """(height, width, components) of ``ihdr``, which comes first (I.5.3.1)."""
    box = read(at, 22)
    if len(box) < 22 or box[:8] != b"\0\0\0\x16ihdr":
        raise InputError(f"byte {at}: no image header")
    height, width, components = struct.unpack(">IIH", box[8:18])
    return height, width, components
