"""Are the files still what their product or archive says? JPEG 2000 has no checksums, but what carries it has.

A zip states a CRC-32 of each member; a SAFE's manifest.safe an MD5 or SHA-3 of each file. A file of another size than
the manifest's is another file (a cut-out, a new compression): such are left to their own headers.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skytrigger.core.errors import InputError
from skytrigger.core.host import cores_in_mask
from skytrigger.eo.archive import open_zip
from skytrigger.eo.scene.jpeg2000 import archive_of
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.tree import Tree, parse_xml

MANIFEST = "manifest.safe"
_ALGORITHMS = {"MD5": "md5", "SHA3256": "sha3_256", "SHA256": "sha256"}
_PIECE = 1 << 20
Checksums = dict[str, tuple[int, str, str]]  # path -> bytes, algorithm of hashlib, hexadecimal digest


def manifest_checksums(tree: Tree, inside: str) -> Checksums:
    """Of the files that ``manifest.safe`` lists, by the path that GDAL opens; none where there is no manifest."""
    name = f"{inside}{MANIFEST}"
    if name not in tree.names:
        return {}
    found: Checksums = {}
    for stream in parse_xml(tree.read(name), MANIFEST).iter():
        if stream.tag.rpartition("}")[2] != "byteStream":
            continue
        parts = {e.tag.rpartition("}")[2]: e for e in stream}
        place, checksum, size = parts.get("fileLocation"), parts.get("checksum"), stream.get("size", "")
        if place is None or checksum is None or not size.isdecimal():
            continue
        word = checksum.get("checksumName", "").upper().replace("-", "").replace("_", "")
        if word in _ALGORITHMS:
            path = f"{inside}{place.get('href', '').removeprefix('./')}"
            found[tree.gdal_path(path)] = (int(size), _ALGORITHMS[word], (checksum.text or "").strip().lower())
    return found


def check_files(scene: Scene) -> int:
    """Read every band's file through once; how many had something to be checked against.

    Raises
    ------
    InputError
        A file that is not what the manifest or the archive says.
    """
    stated: Checksums = scene.facts.get("checksums", {})
    paths = {str(getattr(b.reader, "path", "")) for b in scene.bands.values()}
    with ThreadPoolExecutor(cores_in_mask()) as pool:
        return sum(pool.map(lambda path: _check_file(path, stated), sorted(paths)))


def _check_file(path: str, stated: Checksums) -> bool:
    member = archive_of(path)
    if member is not None:
        _check_member(*member)
        return True
    if path not in stated or not os.path.isfile(path) or os.path.getsize(path) != stated[path][0]:
        return False
    _, algorithm, expected = stated[path]
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != expected:
        raise InputError(
            f"{path} has the {algorithm} {digest.hexdigest()}",
            expected=f"{expected}, as {MANIFEST} says",
            remedy="download it again",
        )
    return True


def _check_member(archive: Path, name: str) -> None:
    with open_zip(archive) as opened:
        try:
            with opened.open(name) as stream:
                while stream.read(_PIECE):
                    pass
        except Exception as error:  # zipfile, zlib and lzma raise a dozen kinds on damaged members
            raise InputError(
                f"{archive}: {name} is damaged: {error}",
                expected="what the archive's CRC-32 says",
                remedy="download it again",
            ) from error
