"""The files of a product, in a folder or in a zip that is never unpacked."""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from skytrigger.core.errors import InputError
from skytrigger.eo.archive import MemberError, open_zip, read_member, unsafe_name

METADATA_LIMIT = 1 << 26  # a product's largest XML has about 1 MB
ELEMENTS_LIMIT = 1 << 20  # of one XML file; a granule's has some 10,000
FILES_LIMIT = 100_000


@dataclass(frozen=True)
class Tree:
    """Names of all files below `root`, with ``/`` between folders; `zipped`: `root` is a zip."""

    root: Path
    names: tuple[str, ...]
    zipped: bool

    def gdal_path(self, name: str) -> str:
        """The path by which GDAL opens a file; braces: an archive may be called anything."""
        return f"/vsizip/{{{self.root.resolve()}}}/{name}" if self.zipped else str(self.root / name)

    def read(self, name: str) -> bytes:
        """Content of a metadata file.

        Raises
        ------
        InputError
            Too large, unreadable, damaged.
        """
        try:
            if not self.zipped:
                path = self.root / name
                if path.stat().st_size > METADATA_LIMIT:
                    raise MemberError(f"{path.stat().st_size} bytes")
                return path.read_bytes()
            with open_zip(self.root) as archive:
                return read_member(archive, archive.getinfo(name), METADATA_LIMIT)
        except (OSError, MemberError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.root}: {name} cannot be read: {error}", remedy="download it again") from error

    def below(self, folder: str) -> Tree:
        """The same files seen from a folder within; only for looking up names."""
        return Tree(self.root, tuple(n for n in self.names if n.startswith(f"{folder}/")), self.zipped)


def open_tree(path: Path) -> Tree:
    """Of a folder (symbolic links are not followed out of it) or a zip."""
    if path.is_dir():
        names = []
        for folder, _, files in os.walk(path):
            inside = Path(folder).relative_to(path).as_posix()
            names += [f if inside == "." else f"{inside}/{f}" for f in files if not hidden(f)]
            if len(names) > FILES_LIMIT:
                raise InputError(f"{path} holds over {FILES_LIMIT} files", expected="one product")
        return Tree(path, tuple(sorted(names)), False)
    with open_zip(path) as archive:
        names = [i.filename for i in archive.infolist() if not i.is_dir() and not hidden(i.filename)]
    bad = [n for n in names if unsafe_name(n)]
    if bad:
        raise InputError(f"{path}: {bad[0]}: {unsafe_name(bad[0])}")
    if len(names) > FILES_LIMIT:
        raise InputError(f"{path} holds over {FILES_LIMIT} files", expected="one product")
    return Tree(path, tuple(sorted(names)), True)


def hidden(name: str) -> bool:
    """Such as ``._B02.jp2``, which macOS leaves beside every file; Zarr's own metadata are not."""
    last = PurePosixPath(name).name
    return last.startswith(".") and not last.startswith(".z")


def stem(name: str) -> str:
    """File name without folders and suffix."""
    return PurePosixPath(name).stem


def suffix(name: str) -> str:
    """Lower-case suffix with its dot."""
    return PurePosixPath(name).suffix.lower()


class _Plain(ElementTree.TreeBuilder):
    """Builds the tree of a document without a type, of a bounded number of elements.

    A document's type is told by the parser, whatever the file is encoded in: a search in its bytes is not enough.
    """

    count = 0

    def start(self, tag: Any, attrs: Any) -> ElementTree.Element:
        """An element begins."""
        self.count += 1
        if self.count > ELEMENTS_LIMIT:
            raise _NotPlain(f"has over {ELEMENTS_LIMIT} elements")
        return super().start(tag, attrs)

    def doctype(self, *about: Any) -> None:
        """Entities can blow up, and name other files."""
        raise _NotPlain("declares a document type")


class _NotPlain(Exception):
    """Why a file is refused."""


def parse_xml(content: bytes, where: str) -> ElementTree.Element:
    """The root element.

    Raises
    ------
    InputError
        Not XML, with a document type, or too large.
    """
    parser = ElementTree.XMLParser(target=_Plain())  # noqa: S314 entities cannot be declared
    try:
        if re.search(rb"<!(DOCTYPE|ENTITY)", content):  # before the parser has to expand any
            raise _NotPlain("declares a document type")
        parser.feed(content)
        return parser.close()
    except _NotPlain as error:
        raise InputError(f"{where} {error}", expected="plain product metadata") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # and encodings that nobody knows
        raise InputError(f"{where} is not valid XML: {error}", remedy="download the product again") from error
