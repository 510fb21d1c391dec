"""Lists of image names that divide a dataset: plain text, a name a line, or CSV with a header."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from skytrigger.core.errors import InputError

_LIMIT_BYTES = 1 << 26
_NAME_COLUMNS = ("filename", "file_name", "file", "path", "filepath", "image", "image_path", "name", "id")
_PART_COLUMNS = ("split", "part", "set", "subset", "partition")
# a folder's or a column's word -> the part that it means
PART_OF = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def read_list(path: Path) -> tuple[list[str], str]:
    """Distinct names in the file's order, without their endings, and the file's SHA-256.

    Raises
    ------
    InputError
        No text, or CSV without a column of names.
    """
    text, digest = _text(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        rows, column = _table(path, text)
        names: Sequence[str] = [row[column] for row in rows]
    else:
        names = [line for line in text.splitlines() if not line.strip().startswith("#")]
    return list(dict.fromkeys(_plain(name) for name in names if name.strip())), digest


def read_parts(path: Path) -> tuple[dict[str, list[str]], str]:
    """Part -> names of one CSV with a column of names and a column that says ``train``, ``val`` or ``test``."""
    text, digest = _text(path)
    rows, column = _table(path, text)
    header = {name.strip().lower(): name for name in (rows[0] if rows else {})}
    part_column = next((header[name] for name in _PART_COLUMNS if name in header), None)
    if part_column is None:
        raise InputError(
            f"{path} has the columns {', '.join(header)}: none says which part a name belongs to",
            expected=f"a column called {', '.join(_PART_COLUMNS[:3])}, or three lists: TRAIN VAL TEST",
        )
    parts: dict[str, list[str]] = {}
    for number, row in enumerate(rows, 2):
        word = row[part_column].strip().lower()
        if word not in PART_OF:
            raise InputError(f"{path}, line {number}: part {row[part_column]!r}", expected=", ".join(PART_OF))
        parts.setdefault(PART_OF[word], []).append(_plain(row[column]))
    return {part: list(dict.fromkeys(names)) for part, names in parts.items()}, digest


def places(ids: Sequence[str]) -> dict[str, int]:
    """What a list may call an image -> its place; -1 for a name that two images share.

    An id ``train/River/12`` is also ``River/12`` and ``12``.
    """
    found: dict[str, int] = {}
    for index, name in enumerate(ids):
        pieces = name.split("/")
        for start in range(1, len(pieces)):
            short = "/".join(pieces[start:])
            found[short] = -1 if short in found else index
    return {**found, **{name: index for index, name in enumerate(ids)}}


def find(name: str, where: dict[str, int], ids: Sequence[str], path: str | os.PathLike[str]) -> int | None:
    """The image that a list's line means: the longest end of its path that is a name here."""
    pieces = name.split("/")
    for start in range(len(pieces)):
        index = where.get("/".join(pieces[start:]))
        if index is not None and index < 0:
            short = "/".join(pieces[start:])
            twins = [one for one in ids if one.endswith(f"/{short}")][:2]
            raise InputError(f"{path}: {name!r} is the name of {' and of '.join(twins)}", remedy="write <Class>/<name>")
        if index is not None:
            return None if start and _of_another_class(pieces[start - 1], ids[index], ids) else index
    return None


def _of_another_class(folder: str, found: str, ids: Sequence[str]) -> bool:
    """Whether a list's ``River/12`` would be taken for ``Forest/12``: its folder is a class, and not that image's."""
    own = found.split("/")[-2:-1]
    return bool(own) and folder != own[0] and any(name.split("/")[-2:-1] == [folder] for name in ids)


def _plain(name: str) -> str:
    """A name with ``/`` and without its ending."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    return str(path.parent / path.stem) if str(path.parent) != "." else path.stem


def _table(path: Path, text: str) -> tuple[list[dict[str, str]], str]:
    """Rows by the header's names, and the column of image names."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restval="")
    names = [str(name).strip().lower() for name in reader.fieldnames or ()]
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise InputError(f"{path}: two columns are called {twice[0]!r}", expected="a name each")
    header = {str(name).strip().lower(): str(name) for name in reader.fieldnames or ()}
    column = next((header[name] for name in _NAME_COLUMNS if name in header), None)
    if column is None:
        raise InputError(
            f"{path}: no column of image names among {', '.join(map(repr, header))}",
            expected=f"a header with one of {', '.join(_NAME_COLUMNS)}",
        )
    return [{str(key): value or "" for key, value in row.items() if isinstance(value, str)} for row in reader], column


def _text(path: Path) -> tuple[str, str]:
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes", expected="a list of file names")
        content = path.read_bytes()
        return content.decode("utf-8-sig"), hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read the list {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file: {error}", expected="a file name a line") from error
