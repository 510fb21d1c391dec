"""The pixel-doublet files of the track-seed filter study (pandas frames in HDF5), gzipped or not.

``data/block0_values`` is (n, 512): the 16x16 pad around the inner hit's cluster, then the outer hit's;
``data/block1_values`` is (n, 2), one-hot, column 1 = the two hits belong to one track. The charges are
called ADC there and here, after CMS's calibration: they are electrons.

Di Florio, Pantaleo, Carta, "Convolutional Neural Network for Track Seed Filtering at the CMS
High-Level Trigger" (2018).
"""

from __future__ import annotations

import contextlib
import gzip
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset, content_hash
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.hdf5 import open_checked, read_bounded

CHANNELS = ("inner", "outer")
CLASSES = ("fake", "true")
UNITS = "ADC"
PAD = 16
WIDTH = len(CHANNELS) * PAD * PAD
CHARGES, LABELS, COLUMNS = "block0_values", "block1_values", "block0_items"
LIMIT_BYTES = 4 << 30  # of the file once inflated, and of its charges as float16
BLOCK_ROWS = 65_536
EXPECTED = f"HDF5 with data/{CHARGES} (n, {WIDTH}) and data/{LABELS} (n, 2)"


def read_doublets(path: str | Path, *, limit_bytes: int = LIMIT_BYTES) -> Dataset:
    """All doublets of a file, in the file's order.

    Whole doublets may repeat (the CMS file holds each of its 11,554 eight times): `source` counts
    rows and distinct doublets, and the split and the intervals take it into account.

    Returns
    -------
    Dataset
        `x` (n, 2, 16, 16) float16 electrons, channels ``inner`` and ``outer``, classes ``fake`` and ``true``.

    Raises
    ------
    InputError
        Not HDF5, damaged, other shapes or types, links out of the file, charges that are not finite,
        negative or beyond float16, labels that are not one-hot, or one class only.
    """
    path = Path(path)
    with _opened(path, limit_bytes) as file:
        group = _member(file, "data", path)
        charges, labels = (_checked(_member(group, name, path), path) for name in (CHARGES, LABELS))
        _check_shapes(charges.shape, labels.shape, path)
        if charges.shape[0] * WIDTH * 2 > limit_bytes:
            raise InputError(f"{path}: {charges.shape[0]} doublets", expected=f"at most {limit_bytes} bytes")
        if COLUMNS in group:
            _check_columns(_checked(_member(group, COLUMNS, path), path, kinds="SO"), path)
        x = _read_charges(charges, path)
        y = _read_labels(labels, path)
    return doublet_dataset(x, y, {"kind": "file", "file": path.name})


def doublet_dataset(x: NDArray[np.float16], y: NDArray[np.int64], source: dict[str, Any]) -> Dataset:
    """Two-pad doublets as a dataset; `source` gets their number, and how many are distinct."""
    from skytrigger.hep.doublets.split import distinct_doublets

    ids = tuple(f"doublet_{i}" for i in range(len(x)))
    if len(np.unique(y)) < 2:
        raise InputError(
            f"all {len(y)} doublets are {CLASSES[int(y[0])] if len(y) else 'missing'}",
            expected="true and fake doublets in one file",
        )
    source = {**source, "rows": len(x), "distinct": int(distinct_doublets(x).max()) + 1}
    return Dataset(x, y, ids, CHANNELS, CLASSES, content_hash(x, y, ids, CHANNELS, CLASSES), UNITS, source=source)


@contextlib.contextmanager
def _opened(path: Path, limit_bytes: int) -> Iterator[Any]:
    """The HDF5 file, inflated to a temporary file first if it is gzipped."""
    with contextlib.ExitStack() as stack:
        try:
            with open(path, "rb") as stream:
                gzipped = stream.read(2) == b"\x1f\x8b"
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        plain = path
        if gzipped:
            plain = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "doublets.h5"
            _inflate(path, plain, limit_bytes)
        # float64 is four times as wide as what is kept
        yield stack.enter_context(open_checked(plain, limit_bytes=4 * limit_bytes, called=path))


def _inflate(path: Path, out: Path, limit_bytes: int) -> None:
    written = 0
    try:
        with gzip.open(path, "rb") as source, open(out, "wb") as target:
            while block := source.read(1 << 22):
                written += len(block)
                if written > limit_bytes:
                    raise InputError(f"{path} inflates to more than {limit_bytes} bytes")
                target.write(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is a damaged gzip file: {error}", remedy="fetch it again") from error


def _member(group: Any, name: str, path: Path) -> Any:
    """A member of `group` that lies in this file; links elsewhere are not followed."""
    h5py = require("h5py")
    try:
        link = group.get(name, getlink=True)
        if link is None:
            raise InputError(f"{path} has no {group.name.rstrip('/')}/{name}", expected=EXPECTED)
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{path}: {name} is a link to elsewhere", expected="the data in the file itself")
        return group[name]
    except (KeyError, OSError, RuntimeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: cannot open {name}: {error}", expected=EXPECTED) from error


def _checked(member: Any, path: Path, kinds: str = "fiub") -> Any:
    """`member` if it is an array of plain numbers (or strings)."""
    h5py = require("h5py")
    if not isinstance(member, h5py.Dataset) or member.dtype.kind not in kinds:
        raise InputError(f"{path}: {member.name} is not an array of numbers", expected=EXPECTED)
    return member


def _check_shapes(charges: tuple[int, ...], labels: tuple[int, ...], path: Path) -> None:
    if len(charges) != 2 or charges[1] != WIDTH:
        raise InputError(f"{path}: charges of shape {charges}", expected=f"(n, {WIDTH}): two pads of {PAD}x{PAD}")
    if labels != (charges[0], 2):
        raise InputError(f"{path}: labels of shape {labels}", expected=f"({charges[0]}, 2), one-hot")
    if charges[0] == 0:
        raise InputError(f"{path} holds no doublets")


def _check_columns(names: Any, path: Path) -> None:
    expected = [f"{pad}Pix{i + 1}" for pad in ("in", "out") for i in range(PAD * PAD)]
    if names.shape != (WIDTH,):
        raise InputError(f"{path}: {names.shape} column names", expected=f"({WIDTH},)")
    found = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in read_bounded(names)]
    if found != expected:
        first = next(i for i in range(WIDTH) if found[i] != expected[i])
        raise InputError(f"{path}: column {first} is called {found[first]!r}", expected=repr(expected[first]))


def _read_charges(charges: Any, path: Path) -> NDArray[np.float16]:
    x = np.empty((charges.shape[0], len(CHANNELS), PAD, PAD), dtype=np.float16)
    for start in range(0, len(x), BLOCK_ROWS):
        part = read_bounded(charges, start, start + BLOCK_ROWS)
        with np.errstate(over="ignore"):
            half = np.ascontiguousarray(part, dtype=np.float16)
        # by their bits: NumPy compares float16 at a tenth of the speed
        bits = half.view(np.uint16)
        bits[bits == 0x8000] = 0  # -0 becomes +0, so that equal clusters have equal bytes
        if (bits > 0x7BFF).any():  # above the largest finite: infinite, NaN or negative
            row, column = np.argwhere(bits > 0x7BFF)[0]
            raise InputError(
                f"{path}: doublet {start + row} holds a charge of {part[row, column]}",
                expected=f"finite charges from 0 to {float(np.finfo(np.float16).max):.0f}",
            )
        x[start : start + len(part)] = half.reshape(-1, *x.shape[1:])
    return x


def _read_labels(labels: Any, path: Path) -> NDArray[np.int64]:
    parts = [read_bounded(labels, start, start + BLOCK_ROWS) for start in range(0, labels.shape[0], BLOCK_ROWS)]
    values = np.concatenate(parts)
    bad = np.flatnonzero(~(((values == 0) | (values == 1)).all(axis=1) & (values.sum(axis=1) == 1)))
    if len(bad):
        raise InputError(f"{path}: doublet {bad[0]} has labels {values[bad[0]].tolist()}", expected="[1, 0] or [0, 1]")
    return values[:, 1].astype(np.int64)
