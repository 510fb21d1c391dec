"""Where tiles lie: folders, zip archives and packed stores, listed without reading a pixel."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.files import cache_folder, read_json, sha256_file, sha256_json, write_json
from skytrigger.core.progress import track
from skytrigger.eo import archive
from skytrigger.eo.store import is_store, open_store
from skytrigger.eo.tiles import JPEG_SUFFIXES, LIMIT_BYTES, TIFF_SUFFIXES

_TILE_NAME = re.compile(r"(?P<class>[^/\\]{1,100})_(?P<number>\d{1,9})\.[a-z]{3,4}", re.IGNORECASE)
LAYOUT = "<Class>/<Class>_<n>.tif or .jpg, at any depth (an archive inside a folder is given by its own path)"


@dataclass(frozen=True)
class Source:
    """One path of the command line: ``zip``, ``folder`` or ``store``."""

    kind: str
    path: Path


@dataclass(frozen=True, order=True)
class Candidate:
    """A file that, by its name, is a tile. Ordered by class and number, so that order never depends on the disk.

    Attributes
    ----------
    index
        Position in the archive's directory, or row of the packed store; 0 in a folder.
    member
        Path inside the source, with ``/``.
    """

    label: str
    number: int
    stem: str
    source: int
    member: str
    index: int = 0
    family: str = ""


@dataclass
class Listing:
    """All candidates of some sources, what was refused (place, reason), and how many other files lie there."""

    sources: list[Source]
    candidates: list[Candidate] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0

    def place(self, candidate: Candidate) -> str:
        """The candidate's name in messages."""
        return f"{self.sources[candidate.source].path.name}/{candidate.member}"


def list_sources(paths: Sequence[str]) -> Listing:
    """Every tile under `paths`, in a fixed order.

    Raises
    ------
    InputError
        A path does not exist or is no folder, zip or store; nothing there is a tile; 13-band and RGB are mixed.
    """
    listing = Listing([_source(path) for path in paths])
    resolved = [source.path.resolve() for source in listing.sources]
    if len(set(resolved)) != len(resolved):
        raise InputError(f"the same path is given twice: {' '.join(map(str, paths))}")
    for number, source in enumerate(listing.sources):
        {"zip": _list_zip, "folder": _list_folder, "store": _list_store}[source.kind](listing, number)
    listing.candidates.sort()
    if not listing.candidates and not listing.bad:
        raise InputError(f"no tiles in {', '.join(map(str, paths))}", expected=LAYOUT)
    families: dict[str, list[Candidate]] = {}
    for candidate in listing.candidates:
        families.setdefault(candidate.family, []).append(candidate)
    if len(families) > 1:
        found = ", ".join(f"{len(c)} {name} (such as {listing.place(c[0])})" for name, c in sorted(families.items()))
        raise InputError(f"two kinds of tiles: {found}", remedy="give the 13-band or the RGB tiles, not both")
    return listing


def _source(text: str) -> Source:
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read {text!r}: {getattr(error, 'strerror', None) or error}",
            expected="a folder or zip of tiles, or a packed store (generated tiles: the word synthetic, alone)",
        ) from error
    if stat.S_ISDIR(mode):
        return Source("store" if is_store(path) else "folder", path)
    if stat.S_ISREG(mode):
        return Source("zip", path)
    raise InputError(f"{text!r} is neither a folder nor a file")


def _list_store(listing: Listing, number: int) -> None:
    data = open_store(listing.sources[number].path)
    family = "RGB JPEG" if data.units == "rgb8" else "13-band TIFF"
    for row, (stem, label) in enumerate(zip(data.ids, data.y, strict=True)):
        name = data.classes[label]
        position = int(stem.rsplit("_", 1)[-1]) if _TILE_NAME.fullmatch(f"{stem}.tif") else 0
        listing.candidates.append(Candidate(name, position, stem, number, stem, row, family))


def _list_zip(listing: Listing, number: int) -> None:
    with archive.open_zip(listing.sources[number].path) as opened:
        for index, info in enumerate(opened.infolist()):
            name = info.orig_filename.replace("\\", "/")
            if not name.endswith("/") and _add(listing, number, name, "", index):
                try:
                    archive.check_member(info, LIMIT_BYTES)
                except archive.MemberError as error:
                    _refuse_last(listing, str(error))


def _list_folder(listing: Listing, number: int) -> None:
    root = listing.sources[number].path.resolve()
    for path, problem in _walk(root, root):
        member = path.relative_to(root).as_posix()
        if problem == "folder link":
            listing.bad.append((f"{root.name}/{member}", "a symbolic link to a folder; give that folder as a path"))
        elif _add(listing, number, member, root.name, 0) and problem:
            _refuse_last(listing, problem)


def _walk(folder: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """Files under `folder` with what is wrong about each; links are followed inside `root` only."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, root)
        elif entry.is_symlink() and entry.is_dir():
            yield path, "folder link"
        else:
            yield path, _file_problem(entry, root)


def _file_problem(entry: os.DirEntry[str], root: Path) -> str:
    try:
        facts = entry.stat()
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
            return "a symbolic link that leaves the folder"
    except (OSError, RuntimeError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(facts.st_mode):
        return "not a regular file"
    return f"{facts.st_size} bytes; a tile has at most {LIMIT_BYTES}" if facts.st_size > LIMIT_BYTES else ""


def _add(listing: Listing, number: int, member: str, root_name: str, index: int) -> bool:
    """Add `member` where its name is a tile's; False where it is some other file (counted) or refused."""
    *folders, name = member.split("/")
    match = _TILE_NAME.fullmatch(name)
    suffix = Path(name).suffix.lower()
    if match is None or name.startswith(".") or suffix not in TIFF_SUFFIXES + JPEG_SUFFIXES:
        listing.ignored += 1
        return False
    label, family = match["class"], "13-band TIFF" if suffix in TIFF_SUFFIXES else "RGB JPEG"
    parent = folders[-1] if folders else root_name
    candidate = Candidate(label, int(match["number"]), Path(name).stem, number, member, index, family)
    listing.candidates.append(candidate)
    if parent != label or not label.isprintable():
        _refuse_last(listing, f"its name says {label!r}, its folder {parent!r}")
        return False
    return True


def _refuse_last(listing: Listing, reason: str) -> None:
    candidate = listing.candidates.pop()
    listing.bad.append((listing.place(candidate), reason))


def source_hashes(listing: Listing) -> list[str]:
    """One SHA-256 per source, of its content: what the cache is keyed by.

    A source that is unchanged by its files' sizes, times and inodes since it was last hashed is not read again.
    """
    hashes = []
    for number, source in enumerate(listing.sources):
        if source.kind == "store":
            hashes.append(open_store(source.path).content_hash)
            continue
        root = source.path.resolve()
        members = [root]
        if source.kind == "folder":
            members = sorted(root / c.member for c in listing.candidates if c.source == number)
        memo = cache_folder() / "sources" / f"{_stat_hash(root, members)}.json"
        if memo.exists():
            hashes.append(str(read_json(memo)["sha256"]))
            continue
        digest = sha256_file(root) if source.kind == "zip" else _folder_hash(root, members)
        with contextlib.suppress(SkytriggerError):  # only a shortcut
            write_json(memo, {"sha256": digest, "source": root.name})
        hashes.append(digest)
    return hashes


def _stat_hash(root: Path, members: Sequence[Path]) -> str:
    facts: list[tuple[object, ...]] = []
    for member in members:
        try:
            info = member.stat()
        except OSError as error:
            facts.append((str(member), error.errno))
        else:
            facts.append((str(member), info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino))
    return sha256_json([str(root), facts])


def _file_hash(path: Path) -> str:
    """SHA-256, or why there is none: packing then names the file."""
    try:
        return sha256_file(path)
    except OSError as error:
        return f"unreadable: {error.errno}"


def _folder_hash(root: Path, members: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    with ThreadPoolExecutor(4) as pool, track(f"reading {root.name}", len(members)) as advance:
        for member, content in zip(members, pool.map(_file_hash, members), strict=True):
            digest.update(f"{member.relative_to(root).as_posix()}\0{content}\n".encode())
            advance()
    return sha256_json(digest.hexdigest())
