"""HDF5 files from strangers: nothing outside the file is read, and nothing larger than was agreed is allocated.

HDF5 can name other files in three ways (external links, external storage, virtual datasets), and a few bytes can
declare terabytes (chunks never written, filters upon filters, one string referred to a million times). All readers open
files here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require

LIMIT_BYTES = 4 << 30
MAX_INFLATION = 1100  # deflate reaches 1,032 to 1 (all zeros); what declares more was never written, or packed twice
FREE_BYTES = 1 << 20  # up to this size a dataset may declare whatever it likes
MAX_OBJECTS = 100_000
WHOLE = "the data in the file itself"


@contextlib.contextmanager
def open_checked(path: str | Path, *, limit_bytes: int = LIMIT_BYTES) -> Iterator[Any]:
    """The file, opened to read, after every group and dataset in it was looked at.

    Parameters
    ----------
    path
        An HDF5 file.
    limit_bytes
        Most that one dataset, or one chunk of it, may take in memory.

    Yields
    ------
    h5py.File
        Read its datasets with `read_bounded`.

    Raises
    ------
    InputError
        No HDF5, damaged; an external or user-defined link, external storage or a virtual dataset anywhere; a dataset or
        chunk over `limit_bytes`, or over 1,100 times what it takes in the file (beyond what any one compressor gains).
    """
    h5py = require("h5py", why="reading HDF5")
    path = Path(path)
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError) as error:
        if not path.is_file():
            raise InputError(f"{path} is not there, or no file") from error
        raise InputError(f"{path} is not a valid HDF5 file: {error}") from error
    with file:
        try:
            _walk(file, path, limit_bytes)
        except (KeyError, OSError, RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"{path} is damaged: {error}", remedy="fetch it again") from error
        yield file


def read_bounded(
    dataset: Any, start: int = 0, stop: int | None = None, *, limit_bytes: int = LIMIT_BYTES
) -> NDArray[Any]:
    """Rows `start` to `stop` of a dataset (all of it by default) if they take at most `limit_bytes`.

    Strings and lists of free length lie outside the array and may be referred to again and again: they are read one at
    a time and their bytes counted.

    Raises
    ------
    InputError
        Not a dataset, too large, damaged, or a type of references.
    """
    h5py = require("h5py", why="reading HDF5")
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{getattr(dataset, 'name', dataset)} is not an HDF5 dataset", expected="an array")
    where = f"{dataset.file.filename}: {dataset.name}"
    try:
        if dataset.shape is None or h5py.check_ref_dtype(dataset.dtype) is not None:
            raise InputError(f"{where} holds no values", expected="numbers or strings")
        rows = range(*slice(start, stop).indices(dataset.shape[0])) if dataset.ndim else range(1)
        row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=object))
        if len(rows) * row_bytes > limit_bytes:
            raise InputError(f"{where} takes {len(rows) * row_bytes} bytes", expected=f"at most {limit_bytes}")
        if dataset.dtype.hasobject:
            return _free_lengths(dataset, rows, where, limit_bytes)
        return np.asarray(dataset[rows.start : rows.stop] if dataset.ndim else dataset[()])
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"{where} is damaged: {error}", remedy="fetch it again") from error


def _free_lengths(dataset: Any, rows: range, where: str, limit_bytes: int) -> NDArray[Any]:
    values: NDArray[Any] = np.empty((len(rows), *dataset.shape[1:]) if dataset.ndim else (), dtype=object)
    total = 0
    for index in np.ndindex(values.shape):
        value = dataset[(rows.start + index[0], *index[1:])] if index else dataset[()]
        total += value.nbytes if isinstance(value, np.ndarray) else len(value)
        if total > limit_bytes:
            raise InputError(f"{where} takes more than {limit_bytes} bytes", expected=f"at most {limit_bytes}")
        values[index] = value
    return values


def _walk(file: Any, path: Path, limit_bytes: int) -> None:
    """Look at everything that hard links reach; soft links lead to the same, by another name."""
    h5py = require("h5py")
    seen = {_address(file)}
    groups = [file]
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.SoftLink):
                continue
            if not isinstance(link, h5py.HardLink):
                raise InputError(f"{path}: {group.name.rstrip('/')}/{name} is a link to elsewhere", expected=WHOLE)
            member = group[name]
            address = _address(member)
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MAX_OBJECTS:
                raise InputError(f"{path} holds more than {MAX_OBJECTS} objects", expected="a few arrays")
            if isinstance(member, h5py.Group):
                groups.append(member)
            elif isinstance(member, h5py.Dataset):
                _check_dataset(member, path, limit_bytes)


def _address(member: Any) -> int:
    h5o = require("h5py.h5o")
    return int(h5o.get_info(member.id).addr)


def _check_dataset(dataset: Any, path: Path, limit_bytes: int) -> None:
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{path}: {dataset.name} is stored in other files", expected=WHOLE)
    itemsize = dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    for what, shape in (("", dataset.shape), ("a chunk of ", dataset.chunks)):
        declared = itemsize * int(np.prod(shape or (), dtype=object))  # Python's integers: no overflow
        if declared > limit_bytes:
            raise InputError(f"{path}: {what}{dataset.name} takes {declared} bytes", expected=f"at most {limit_bytes}")
        if declared > max(FREE_BYTES, MAX_INFLATION * stored):
            raise InputError(
                f"{path}: {what}{dataset.name} declares {declared} bytes and stores {stored}",
                expected=f"at most {MAX_INFLATION} times what is stored",
            )
