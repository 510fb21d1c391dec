"""Members of zip archives, read without unpacking and without believing a declared size."""

from __future__ import annotations

import contextlib
import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path

from skytrigger.core.errors import InputError

METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated", zipfile.ZIP_LZMA: "LZMA"}
_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_ENCRYPTED = 0x1


class MemberError(Exception):
    """A member that cannot be read; its text is the reason."""


def open_zip(path: Path) -> zipfile.ZipFile:
    """The archive's directory.

    Raises
    ------
    InputError
        It is not a zip file, or its directory is damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises a dozen kinds on damaged directories
        raise InputError(f"{path} cannot be read as a zip archive: {error}", **_advice(path)) from error


def _advice(path: Path) -> dict[str, str]:
    """What to do, by what the file is: only a zip that is damaged is worth another download."""
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        if stream.read(2) != b"PK":
            return {"expected": "a zip, tar, tar.gz, tar.bz2 or tar.xz archive, or a folder"}
    return {"remedy": "download it again, or test it with: python -m zipfile -t FILE"}


def unsafe_name(name: str) -> str:
    """Why a member's name must not be used, or an empty text."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or (parts[0].endswith(":") and len(parts[0]) == 2):
        return "its path is absolute"
    if ".." in parts:
        return "its path leaves the archive"
    if "\0" in name:
        return "its name holds a NUL"
    return ""


def check_member(info: zipfile.ZipInfo, limit_bytes: int) -> None:
    """Refuse what must not be read, from the archive's directory alone.

    Raises
    ------
    MemberError
        Unsafe name, link, encryption, unknown compression, or a size over `limit_bytes`.
    """
    reason = unsafe_name(info.orig_filename)
    if reason:
        raise MemberError(reason)
    if (info.external_attr >> 16) & 0o170000 == 0o120000:
        raise MemberError("it is a symbolic link")
    if info.flag_bits & _ENCRYPTED:
        raise MemberError("it is encrypted")
    if info.compress_type not in METHODS:
        raise MemberError(f"compression method {info.compress_type}; stored, deflated and LZMA are read")
    if info.file_size > limit_bytes or info.compress_size > limit_bytes:
        size = max(info.file_size, info.compress_size)
        raise MemberError(f"{size} bytes; a tile has at most {limit_bytes}")


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit_bytes: int) -> bytes:
    """Content of one member, never more than its declared size, itself at most `limit_bytes`.

    `zipfile` bounds deflate but not LZMA, where a few kilobytes become gigabytes in one call;
    so the three methods are decompressed here with a bound.

    Raises
    ------
    MemberError
        As `check_member`, and where the bytes contradict the directory (length, CRC-32).
    """
    check_member(info, limit_bytes)
    stream = archive.fp
    if stream is None:
        raise MemberError("its archive is closed")
    try:
        content = _decompress(_raw_bytes(stream.fileno(), info), info)
    except (zlib.error, lzma.LZMAError, struct.error, ValueError, OverflowError, OSError) as error:
        raise MemberError(f"its data are damaged ({error})") from error
    if len(content) != info.file_size:
        raise MemberError(f"{len(content)} bytes unpacked, {info.file_size} declared")
    if zlib.crc32(content) != info.CRC:
        raise MemberError("its checksum (CRC-32) is wrong")
    return content


def _raw_bytes(descriptor: int, info: zipfile.ZipInfo) -> bytes:
    header = os.pread(descriptor, _LOCAL_HEADER.size, info.header_offset)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        raise MemberError("its header is missing: the archive is damaged")
    name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    raw = os.pread(descriptor, info.compress_size, start)
    if len(raw) < info.compress_size:
        raise MemberError("the archive ends before its data")
    return raw


def _decompress(raw: bytes, info: zipfile.ZipInfo) -> bytes:
    bound = info.file_size + 1  # one more, so that a longer content is seen
    if info.compress_type == zipfile.ZIP_STORED:
        return raw
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-15).decompress(raw, bound)
    # APPNOTE 5.8.8: version (2), properties size (2), properties: lc/lp/pb byte and dictionary size.
    (size,) = struct.unpack_from("<H", raw, 2)
    packed, dictionary = struct.unpack_from("<BI", raw, 4)
    if size != 5 or packed >= 225:
        raise ValueError("bad LZMA properties")
    options = {
        "id": lzma.FILTER_LZMA1,
        "lc": packed % 9,
        "lp": packed // 9 % 5,
        "pb": packed // 45,
        "dict_size": min(max(dictionary, 4096), max(info.file_size, 4096)),  # more is never referred to
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options]).decompress(raw[4 + size :], bound)
