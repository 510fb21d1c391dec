"""Tables of text files: CSV and its relatives."""

from __future__ import annotations

import contextlib
import csv as csv_module
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
SEPARATORS = (";", "\t", "|", ",")
BLOCK = 1 << 22


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[list[Table]]:
    """One table.

    Separated by ``;``, tab, ``|``, comma or blanks, as the first line with columns says; where that is no comma and no
    number has a point, commas are decimal points. Blank lines, lines that begin with ``#`` or ``%`` and a byte-order
    mark are skipped; ``.gz`` is inflated. Without a header the comment right before the numbers names the columns, if
    it has as many words; else 2 to 4 columns are x, y, layer, weight, and more are called 1, 2, ...
    """
    from pyarrow import csv

    content, comment = _content(path)
    first, _, rest = content.partition(b"\n")
    line = first.decode("utf-8", errors="replace").strip()
    if not line:
        raise InputError(f"{path} is empty", expected="columns x, y, layer, weight")
    separator = next((s for s in SEPARATORS if s in line), " ")
    if separator == " ":
        content = re.sub(rb"[ ]+", b" ", re.sub(rb"(?m)^ +| +\r?$", b"", content))
        line = content.partition(b"\n")[0].decode("utf-8", errors="replace").strip()
    numbers = rest or first
    point = "," if separator != "," and b"," in numbers and b"." not in numbers else "."
    cells = _cells(line, separator)
    headed = not all(_is_number(cell.replace(",", ".") if point == "," else cell) for cell in cells)
    names, notes = _names(cells, headed, comment, path)
    notes += ("commas are decimal points",) if point == "," else ()
    table = csv.read_csv(
        io.BytesIO(content),
        read_options=csv.ReadOptions(column_names=names, skip_rows=int(headed)),
        parse_options=csv.ParseOptions(delimiter=separator),
        convert_options=csv.ConvertOptions(decimal_point=point),
    )
    kinds = {n: _kind(table.column(n), len(table)) for n in table.column_names}
    yield [Table("", kinds, lambda n: _load(table, n, path), notes)]


def _cells(line: str, separator: str) -> list[str]:
    """Cells of one line; in quotes a separator is none."""
    return [cell.strip() for cell in next(csv_module.reader([line], delimiter=separator), [])]


def _names(cells: list[str], headed: bool, comment: str, path: Path) -> tuple[list[str], tuple[str, ...]]:
    """Names of the columns, and what was assumed about them."""
    if headed:
        named = [cell or f"unnamed {k}" for k, cell in enumerate(cells, 1)]
        if len(set(named)) < len(named):
            raise InputError(f"{path}: two columns have one name: {', '.join(named)}", expected="a name each")
        return named, ()
    told = _cells(comment, next((s for s in SEPARATORS if s in comment), " "))
    told = [cell for cell in told if cell]
    if len(told) == len(cells) and len(set(told)) == len(told) and not any(map(_is_number, told)):
        return told, (f"the comment before the first line names the columns: {', '.join(told)}",)
    if len(cells) > 2 and cells == [str(k) for k in range(len(cells))]:
        raise InputError(
            f"{path}: its first line is {', '.join(cells)}: a hit, or numbers that stand for names?",
            remedy="name the columns in the first line, or take it out",
        )
    named = list(POSITIONS[: len(cells)]) if 2 <= len(cells) <= 4 else [str(k + 1) for k in range(len(cells))]
    return named, ("no header",)


def _content(path: Path) -> tuple[bytes, str]:
    """Bytes in UTF-8 from the first line with columns on, without comments; and the comment right before that."""
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
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 (byte {error.start})", remedy="iconv -t utf-8") from error
    before = re.match(rb"(?:[ \t]*(?:[#%][^\n]*)?\n)*", content)
    lines = before[0].splitlines() if before else []
    comment = lines[-1].decode().strip(" \t#%") if lines else ""
    if b"#" in content or b"%" in content:
        content = re.sub(rb"(?m)^[ \t]*[#%].*\n?", b"", content)
    return re.sub(rb"\A\s*\n", b"", content), comment


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kind(column: Any, rows: int) -> str:
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return "o" if rows else "f"
    return "f" if pa.types.is_floating(column.type) else "i" if pa.types.is_integer(column.type) else "o"


def _load(table: Any, name: str, path: Path) -> Column:
    column = table.column(name)
    if column.null_count:
        row = int(np.flatnonzero(np.asarray(column.is_null()))[0])
        raise InputError(f"{path}: {name} has no number in row {row}", expected="a number in every row")
    return Column(np.asarray(column.to_numpy()) if len(table) else np.empty(0))
