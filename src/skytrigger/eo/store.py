"""The packed store: a folder of arrays that opens at once.

``meta.json``, ``x.npy`` (n, c, h, w) in the stored dtype, ``y.npy`` (n,) int64, ``lonlat.npy`` (n, 2)
float64 degrees (NaN where unknown) and ``ids.json``. Nothing in it is believed before it is checked: array
headers against file sizes, names and labels against their hash, pixels against the content hash.
Pixels are read for that once, and again only when ``x.npy`` is another file than the one checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import PARTS, Dataset, content_hash
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.files import cache_folder, read_json, sha256_json, write_json

FORMAT, VERSION = "skytrigger-tiles", 1
META, X, Y, IDS, LONLAT = "meta.json", "x.npy", "y.npy", "ids.json", "lonlat.npy"
DTYPES = ("uint8", "uint16", "int16", "float32")
_STRINGS = ("dtype", "units", "content_hash", "labels_hash", "meta_hash")
_LISTS = ("channels", "classes", "shape")


def is_store(path: Path) -> bool:
    """Whether the folder is, or claims to be, a packed store."""
    return (path / META).is_file() and any((path / name).is_file() for name in (X, Y, IDS))


def labels_hash(y: NDArray[np.int64], ids: Sequence[str], lonlat: NDArray[np.float64]) -> str:
    """SHA-256 over all that is small: labels, names, places."""
    digest = hashlib.sha256(repr(list(ids)).encode())
    digest.update(np.ascontiguousarray(y, "<i8").tobytes())
    digest.update(np.ascontiguousarray(lonlat, "<f8").tobytes())
    return digest.hexdigest()


def write_around(folder: Path, dataset: Dataset, *, key: str = "") -> None:
    """Write all of a store but ``x.npy``, ``meta.json`` last.

    `key` is what the store was made from, for the maker's own use. A dataset whose ``content_hash`` is empty gets it
    here: hashing reads every pixel once.
    """
    y = np.ascontiguousarray(dataset.y, "<i8")
    places = np.full((len(y), 2), np.nan) if dataset.lonlat is None else dataset.lonlat
    lonlat = np.ascontiguousarray(places, "<f8")
    np.save(folder / Y, y)
    np.save(folder / LONLAT, lonlat)
    write_json(folder / IDS, list(dataset.ids))
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "key": key,
        "shape": list(dataset.x.shape),
        "dtype": dataset.x.dtype.name,
        "units": dataset.units,
        "channels": list(dataset.channels),
        "classes": list(dataset.classes),
        "content_hash": dataset.content_hash
        or content_hash(dataset.x, dataset.y, dataset.ids, dataset.channels, dataset.classes),
        "labels_hash": labels_hash(y, dataset.ids, lonlat),
        "source": dataset.source,
    }
    if dataset.parts:
        meta["parts"] = "".join(str(PARTS.index(part)) for part in dataset.parts)
    write_json(folder / META, _seal(meta))


def save_store(dataset: Dataset, out: Path) -> None:
    """Write a dataset that is in memory as a new store; by one rename, so two writers do no harm.

    Raises
    ------
    InputError
        Its type is none of a store's.
    """
    if dataset.x.dtype.name not in DTYPES:
        raise InputError(f"a store of {dataset.x.dtype}", expected=", ".join(DTYPES))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            made = Path(name) / "store"
            made.mkdir()
            np.save(made / X, dataset.x)
            write_around(made, dataset)
            if not out.exists():
                os.rename(made, out)
                stamp(out)
    except OSError as error:
        if not is_store(out):  # else another process was first
            raise SkytriggerError(
                f"cannot write {out}: {error.strerror}\n  remedy: free space, or set SKYTRIGGER_CACHE to another disk"
            ) from error


def _seal(meta: dict[str, Any]) -> dict[str, Any]:
    """`meta` with a hash of itself."""
    body = {key: value for key, value in meta.items() if key != "meta_hash"}
    return {**body, "meta_hash": sha256_json(body)}


def open_store(path: Path, *, verify: bool | None = None) -> Dataset:
    """The dataset in a store, its pixels memory-mapped.

    Parameters
    ----------
    verify
        Read and check every pixel: True, False, or None for only where ``x.npy`` was not checked before.

    Raises
    ------
    InputError
        Something in it is damaged or contradicts the rest.
    """
    meta = _read_meta(path)
    shape, dtype = tuple(meta["shape"]), np.dtype(meta["dtype"])
    x = _open_array(path / X, shape, dtype)
    y = np.array(_open_array(path / Y, shape[:1], np.dtype("<i8")), np.int64)
    lonlat = np.array(_open_array(path / LONLAT, (shape[0], 2), np.dtype("<f8")), np.float64)
    ids = read_json(path / IDS)
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
        raise damaged(path, f"{IDS} is no list of names")
    if labels_hash(y, ids, lonlat) != meta["labels_hash"]:
        raise damaged(path, f"{Y}, {IDS} or {LONLAT} is not what was packed")
    channels, classes = tuple(meta["channels"]), tuple(meta["classes"])
    if verify or (verify is None and not _is_stamped(path, meta["meta_hash"])):
        if content_hash(x, y, ids, channels, classes) != meta["content_hash"]:
            raise damaged(path, f"{X} is not what was packed")
        stamp(path)
    return Dataset(
        x=x,
        y=y,
        ids=tuple(ids),
        channels=channels,
        classes=classes,
        content_hash=meta["content_hash"],
        units=meta["units"],
        lonlat=lonlat if np.isfinite(lonlat).any() else None,
        source=meta["source"],
        parts=tuple(PARTS[int(digit)] for digit in meta.get("parts", "")),
    )


def _read_meta(path: Path) -> dict[str, Any]:
    meta = read_json(path / META)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise InputError(f"{path} is not a packed store: {META} does not say {FORMAT!r}")
    if meta.get("version") != VERSION:
        raise InputError(f"{path} is a store of version {meta.get('version')}", expected=str(VERSION), remedy=_REMEDY)
    if _seal(meta)["meta_hash"] != meta.get("meta_hash"):
        raise damaged(path, f"{META} was changed")
    good = (
        all(isinstance(meta.get(key), str) for key in _STRINGS)
        and all(isinstance(meta.get(key), list) for key in _LISTS)
        and all(isinstance(name, str) for name in meta["channels"] + meta["classes"])
        and len(meta["shape"]) == 4
        and all(isinstance(size, int) and size > 0 for size in meta["shape"])
        and meta["dtype"] in DTYPES
        and re.fullmatch(f"[0-{len(PARTS) - 1}]{{{meta['shape'][0]}}}|", meta.get("parts", ""))
        and isinstance(meta.get("source"), dict)
    )
    if not good:
        raise damaged(path, f"{META} lacks a field or has one of the wrong kind")
    return meta


def _open_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Map an array whose header, meta data and file size must agree."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # mapping allocates nothing
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        raise damaged(path.parent, f"{path.name} cannot be opened: {error}") from error
    if not isinstance(array, np.memmap) or array.shape != shape or array.dtype != dtype:
        found = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else "no array"
        raise damaged(path.parent, f"{path.name} holds {found}, expected {shape} {dtype}")
    size = path.stat().st_size
    if array.offset + array.nbytes != size:
        raise damaged(path.parent, f"{path.name} has {size} bytes, {array.offset + array.nbytes} expected")
    return array


_REMEDY = "pack again: delete the store and run the command once more (or: skytrigger data pack PATH --out STORE)"


def damaged(path: Path, problem: str) -> InputError:
    """The error for a store that is not what was packed."""
    return InputError(f"the packed store {path} is damaged: {problem}", remedy=_REMEDY)


def _stamp_path(path: Path) -> Path:
    return cache_folder() / "verified" / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]}.json"


def _facts(path: Path, meta_hash: str) -> dict[str, Any]:
    facts = (path / X).stat()
    return {
        "meta_hash": meta_hash,
        "size": facts.st_size,
        "mtime_ns": facts.st_mtime_ns,
        "ctime_ns": facts.st_ctime_ns,
        "inode": facts.st_ino,
        "device": facts.st_dev,
    }


def stamp(path: Path) -> None:
    """Remember that the pixels of this very store, with this meta.json, were read and found right."""
    with contextlib.suppress(SkytriggerError):  # without a cache they are read every time
        write_json(_stamp_path(path), _facts(path, _read_meta(path)["meta_hash"]))


def _is_stamped(path: Path, meta_hash: str) -> bool:
    memo = _stamp_path(path)
    return memo.exists() and read_json(memo) == _facts(path, meta_hash)


def array_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The first bytes of an .npy file of this type and shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    return header.getvalue()
