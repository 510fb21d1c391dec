"""Members of tar archives; one that is compressed as a whole is unpacked into the cache once."""

from __future__ import annotations

import functools
import json
import os
import tarfile
import zlib
from lzma import LZMAError
from pathlib import Path

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path, cache_folder, sha256_json
from skytrigger.core.progress import say
from skytrigger.eo.archive import MemberError, unsafe_name

_COMPRESSED = {b"\x1f\x8b": "r:gz", b"BZh": "r:bz2", b"\xfd7zXZ\0": "r:xz"}
_OPENERS = {"r:gz": "gzip", "r:bz2": "bz2", "r:xz": "lzma"}
_LABEL_BYTES, _JSON_BYTES = 256, 1 << 16
LABELS = ("label", "class", "class_name", "cls", "category")  # of a JSON file beside a picture
_LIMIT_BYTES, _BLOCK = 1 << 38, 1 << 22  # of an archive unpacked: 275 GB


def is_tar(path: Path) -> bool:
    """Whether the first bytes are those of a tar or of a compressed one."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return start[257:262] == b"ustar" or _mode(start) != "r:" or path.suffix.lower() == ".tar"


def _mode(start: bytes) -> str:
    return next((mode for magic, mode in _COMPRESSED.items() if start.startswith(magic)), "r:")


def plain(path: Path) -> Path:
    """The archive itself, or its uncompressed copy in the cache: members of a stream cannot be reached one by one."""
    with open(path, "rb") as stream:
        mode = _mode(stream.read(16))
    if mode == "r:":
        return path
    facts = path.stat()
    key = sha256_json([str(path.resolve()), facts.st_size, facts.st_mtime_ns, facts.st_ino])
    copy = cache_folder() / "unpacked" / f"{key[:32]}.tar"
    if not copy.exists():
        say(f"unpacking {path.name} into {copy}")
        _unpack(path, copy, mode)
    return copy


def _unpack(path: Path, copy: Path, mode: str) -> None:
    import importlib

    opener = importlib.import_module(_OPENERS[mode])
    written = 0
    try:
        with opener.open(path, "rb") as stream, atomic_path(copy) as temporary, open(temporary, "wb") as out:
            while block := stream.read(_BLOCK):
                written += len(block)
                if written > _LIMIT_BYTES:
                    raise InputError(f"{path} unpacks to more than {_LIMIT_BYTES} bytes")
                out.write(block)
    except (EOFError, zlib.error, LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(
            f"{path} is damaged: {error}", remedy="download it again, or test it with: tar -tf FILE"
        ) from error


@functools.lru_cache(maxsize=4)
def _members(path: Path, stamp: tuple[int, int]) -> tuple[tarfile.TarInfo, ...]:
    with tarfile.open(path, "r:") as opened:
        return tuple(opened.getmembers())


def members(path: Path) -> tuple[tarfile.TarInfo, ...]:
    """The archive's members, in its order.

    Raises
    ------
    InputError
        It is no tar, or is damaged.
    """
    try:
        source = plain(path)
        facts = source.stat()
        return _members(source, (facts.st_size, facts.st_mtime_ns))
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a tar archive: {error}",
            remedy="test it with: tar -tf FILE, and download or pack it again where that fails",
        ) from error


def sidecars(path: Path) -> dict[str, str]:
    """Path without ending -> class, where a member beside a picture says it, as in WebDataset's shards.

    ``.cls`` is the class; without any of those in the archive, a ``.json`` whose one entry of `LABELS` is.
    """
    found: dict[str, str] = {}
    described: dict[str, str] = {}
    for index, info in enumerate(members(path)):
        stem, _, ending = info.name.rpartition(".")
        if ending not in ("cls", "json") or problem(info, _LABEL_BYTES if ending == "cls" else _JSON_BYTES):
            continue
        text = read(path, index, _JSON_BYTES).decode("utf-8", "replace").strip()
        label = text if ending == "cls" else _label(text)
        if label.isprintable() and label:
            (found if ending == "cls" else described)[stem] = label
    return found or described


def _label(text: str) -> str:
    """The class in a JSON object: the one text or whole number among its `LABELS`, or nothing."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    values = {str(raw[key]) for key in LABELS if type(raw.get(key)) in (str, int)} if isinstance(raw, dict) else set()
    return values.pop() if len(values) == 1 else ""


def problem(info: tarfile.TarInfo, limit_bytes: int) -> str:
    """Why a member must not be read, or an empty text."""
    if reason := unsafe_name(info.name):
        return reason
    if not info.isreg() or info.sparse is not None:
        return "it is a link" if info.issym() or info.islnk() else "not a regular file"
    return f"{info.size} bytes; a tile has at most {limit_bytes}" if info.size > limit_bytes else ""


def read(path: Path, index: int, limit_bytes: int) -> bytes:
    """Content of the member at this place.

    Raises
    ------
    MemberError
        It must not be read, or the archive ends before its data.
    """
    info = members(path)[index]
    if reason := problem(info, limit_bytes):
        raise MemberError(reason)
    with open(plain(path), "rb") as stream:
        content = os.pread(stream.fileno(), info.size, info.offset_data)
    if len(content) < info.size:
        raise MemberError("the archive ends before its data")
    return content
