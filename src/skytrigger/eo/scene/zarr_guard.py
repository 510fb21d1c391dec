"""What a Zarr product may ask for before anything of it is read: sizes, kinds of arrays, members of its zip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.eo.archive import MemberError, check_member, open_zip
from skytrigger.eo.scene.tree import FILES_LIMIT, METADATA_LIMIT

SIDE_LIMIT = 1 << 18  # pixels; a Sentinel-2 band has 10,980
CHUNK_LIMIT = 1 << 28  # pixels that are decoded together: a whole band at 10 m is less than half
MEMBER_LIMIT = 2 * CHUNK_LIMIT + (1 << 20)  # bytes of a chunk in a zip
METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")


def check_zip(path: Path) -> None:
    """Refuse archives whose directory alone tells that they must not be read.

    Raises
    ------
    InputError
        Too many members; one that leaves the archive, is a link, encrypted, or unpacks to more than any chunk holds.
    """
    with open_zip(path) as archive:
        members = archive.infolist()
    if len(members) > FILES_LIMIT:
        raise InputError(f"{path} holds {len(members)} files", expected=f"at most {FILES_LIMIT}")
    for info in members:
        small = info.filename.rpartition("/")[2] in METADATA
        try:
            check_member(info, METADATA_LIMIT if small else MEMBER_LIMIT)
        except MemberError as error:
            raise InputError(f"{path}: {info.filename!r}: {error}", expected="a product as downloaded") from error


def check_sizes(array: Any, where: str) -> None:
    """Refuse arrays and chunks that no product has: one chunk is decoded at once, whatever is stored of it.

    Raises
    ------
    InputError
        A side or a chunk over the limits, or of nothing.
    """
    sizes = [int(n) for n in (*array.shape, *array.chunks)]
    chunk = int(np.prod([int(n) for n in array.chunks], dtype=np.float64))
    if min(sizes) < 1 or max(sizes) > SIDE_LIMIT or chunk > CHUNK_LIMIT:
        raise InputError(
            f"{where}: {' x '.join(map(str, array.shape))} in chunks of {' x '.join(map(str, array.chunks))}",
            expected=f"sides of 1 to {SIDE_LIMIT}, chunks of at most {CHUNK_LIMIT} pixels",
        )


def coordinate(group: Any, name: str, length: int, where: str) -> NDArray[np.float64]:
    """The coordinates of an axis, which must have `length` numbers.

    Raises
    ------
    InputError
        They have not, or are no numbers.
    """
    array = group[name]
    if tuple(array.shape) != (length,) or np.dtype(array.dtype).kind not in "iuf":
        raise InputError(
            f"{where}: coordinates {name} of shape {tuple(array.shape)} and type {array.dtype}",
            expected=f"{length} numbers",
        )
    check_sizes(array, f"{where}: coordinates {name}")
    return np.asarray(array[:], np.float64)
