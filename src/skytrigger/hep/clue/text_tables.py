"""Tables of text files: CSV and its relatives."""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.core.hdf5 import LIMIT_BYTES
from skytrigger.hep.clue.readers import Column, Table

POSITIONS = ("x", "y", "layer", "weight")
"""Columns of a file without a header, as the original program reads them."""
BLOCK = 1 << 22


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[list[Table]]:
    """One table.

    Separated by ``;`` (then a comma may be the decimal point), tab, comma or blanks, as the first line with columns
    says; blank lines, lines that begin with ``#`` and a byte-order mark are skipped; ``.gz`` is inflated. Without a
    header 2 to 4 columns are x, y, layer, weight, and more are called 1, 2, ...
    """
    from pyarrow import csv

    content = _content(path)
    first, _, rest = content.partition(b"\n")
    line = first.decode("utf-8", errors="replace").strip()
    if not line:
        raise InputError(f"{path} is empty", expected="columns x, y, layer, weight")
    separator = next((s for s in (";", "\t", ",") if s in line), " ")
    if separator == " ":
        content = re.sub(rb"[ ]+", b" ", re.sub(rb"(?m)^ +| +\r?$", b"", content))
        line = content.partition(b"\n")[0].decode("utf-8", errors="replace").strip()
    numbers = rest.partition(b"\n")[0] or first
    point = "," if separator == ";" and b"," in numbers and b"." not in numbers else "."
    cells = [cell.strip().strip('"') for cell in line.split(separator)]
    names = None
    if all(_is_number(cell.replace(",", ".") if point == "," else cell) for cell in cells):
        names = list(POSITIONS[: len(cells)]) if 2 <= len(cells) <= 4 else [str(k + 1) for k in range(len(cells))]
    elif len(set(cells)) < len(cells):
        raise InputError(f"{path}: two columns have one name: {', '.join(cells)}", expected="a name each")
    table = csv.read_csv(
        io.BytesIO(content),
        read_options=csv.ReadOptions(column_names=names),
        parse_options=csv.ParseOptions(delimiter=separator),
        convert_options=csv.ConvertOptions(decimal_point=point),
    )
    table = table.rename_columns([n.strip() for n in table.column_names])
    yield [Table("", {n: _kind(table.column(n)) for n in table.column_names}, lambda n: _load(table, n, path))]


def _content(path: Path) -> bytes:
    """Bytes in UTF-8 from the first line with columns on, without comments."""
    pieces, size = [], 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as stream:
            while piece := stream.read(BLOCK):
                pieces.append(piece)
                size += len(piece)
                if size > LIMIT_BYTES:
                    raise InputError(f"{path} holds more than {LIMIT_BYTES} bytes", remedy="split it")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is a damaged gzip file: {error}", remedy="fetch it again") from error
    content = b"".join(pieces)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = content.decode("utf-16").encode()
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if b"#" in content:
        content = re.sub(rb"(?m)^[ \t]*#.*\n?", b"", content)
    return re.sub(rb"\A\s*\n", b"", content)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kind(column: Any) -> str:
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return "f"
    return "f" if pa.types.is_floating(column.type) else "i" if pa.types.is_integer(column.type) else "o"


def _load(table: Any, name: str, path: Path) -> Column:
    column = table.column(name)
    if column.null_count:
        row = int(np.flatnonzero(np.asarray(column.is_null()))[0])
        raise InputError(f"{path}: {name} has no number in row {row}", expected="a number in every row")
    return Column(np.asarray(column.to_numpy()) if len(table) else np.empty(0))
