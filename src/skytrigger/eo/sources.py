"""Where tiles lie: folders, archives and packed stores, listed without reading a pixel."""

from __future__ import annotations

import os
import stat
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from skytrigger.core.errors import InputError
from skytrigger.eo import archive, tar
from skytrigger.eo.store import is_store, open_store
from skytrigger.eo.tiles import LIMIT_BYTES, SUFFIXES, TIFF_SUFFIXES

LAYOUT = (
    "files that end in .tif, .tiff, .jpg, .jpeg or .png, each in the folder of its class, at any depth (an archive "
    "inside a folder is given by its own path)"
)
COMPANIONS = (".msk", ".aux.xml")
_LEFT_BEHIND = ("__MACOSX", "@eaDir")
_RASTERS = (".jp2", ".img", ".vrt", ".nc", ".webp", ".bmp", ".gif", ".npy", ".npz", ".h5", ".hdf5")
WHAT = "a folder, zip or tar of tiles, or a packed store (generated tiles: the word synthetic, alone)"


@dataclass(frozen=True)
class Source:
    """A path of the command line: ``zip``, ``tar``, ``folder`` or ``store``; `inner` is a folder inside an archive."""

    kind: str
    path: Path
    inner: str = ""

    @property
    def title(self) -> str:
        """The name of the folder that stands for the source: of classes, or of one class."""
        return PurePosixPath(self.inner).name or (self.path.resolve().name if self.kind == "folder" else "")


@dataclass(frozen=True, order=True)
class Candidate:
    """A file that, by its name, is a tile. Ordered by class and number, so that order never depends on the disk.

    Attributes
    ----------
    stem
        The tile's id.
    index
        Position in the archive's directory, or row of the packed store; 0 in a folder.
    member
        Path inside the source, with ``/``.
    family
        Kinds of files that are not mixed: ``TIFF``, ``picture``.
    part
        ``train``, ``val`` or ``test``, where a folder of that name holds the class folders.
    """

    label: str
    number: int
    stem: str
    source: int
    member: str
    index: int = 0
    family: str = ""
    part: str = ""


@dataclass
class Listing:
    """All candidates of some sources, what was refused (place, reason), and the other files that lie there.

    Attributes
    ----------
    others
        Ending -> number of files that are no tiles by their name, and one such file each.
    companions
        (source, member) of files that GDAL would read together with the tile beside them.
    """

    sources: list[Source]
    candidates: list[Candidate] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    companions: list[tuple[int, str]] = field(default_factory=list)
    labels: bool = True

    @property
    def ignored(self) -> int:
        """Number of files that are no tiles by their name."""
        return self.others.total()

    def place(self, candidate: Candidate) -> str:
        """The candidate's name in messages."""
        return f"{self.sources[candidate.source].path.name}/{candidate.member}"

    def refuse(self, candidate: Candidate, reason: str) -> None:
        """Note that a candidate is a bad tile."""
        self.bad.append((self.place(candidate), reason))


def list_sources(paths: Sequence[str], *, labels: bool = True) -> Listing:
    """Every tile under `paths`, in a fixed order; without `labels` folders are no classes.

    Raises
    ------
    InputError
        A path does not exist or is no folder, archive or store; nothing there is a tile; TIFF and pictures are mixed;
        folders that leave in doubt what the classes are.
    """
    from skytrigger.eo import classes
    from skytrigger.eo.companions import refuse_companions

    listing = Listing([_source(path) for path in paths], labels=labels)
    resolved = [(source.path.resolve(), source.inner) for source in listing.sources]
    if len(set(resolved)) != len(resolved):
        raise InputError(f"the same path is given twice: {' '.join(map(str, paths))}")
    listers = {"zip": _list_zip, "tar": _list_tar, "folder": _list_folder, "store": _list_store}
    for number, source in enumerate(listing.sources):
        listers[source.kind](listing, number)
    refuse_companions(listing)
    classes.settle(listing)
    listing.candidates.sort()
    if not listing.candidates and not listing.bad:
        raise InputError(f"no tiles in {', '.join(map(str, paths))}{_what_is_there(listing)}", expected=LAYOUT)
    families: dict[str, list[Candidate]] = {}
    for candidate in listing.candidates:
        families.setdefault(candidate.family, []).append(candidate)
    if len(families) > 1:
        found = ", ".join(f"{len(c)} {name} (such as {listing.place(c[0])})" for name, c in sorted(families.items()))
        raise InputError(f"two kinds of tiles: {found}", remedy="give the TIFF or the pictures, not both")
    return listing


def _what_is_there(listing: Listing) -> str:
    """Of files that are no tiles: how many of each ending, with an example, and the rule that they miss."""
    if not listing.others:
        return ": no file at all"
    counts = [
        f"{n} {end or 'without ending'} (such as {listing.examples[end]})" for end, n in listing.others.most_common(4)
    ]
    rest = len(listing.others) - len(counts)
    advice = "; convert them: gdal_translate -of GTiff, or Pillow" if set(listing.others) & set(_RASTERS) else ""
    more = f" and {rest} endings more" if rest else ""
    return f": {', '.join(counts)}{more}; none of these endings is a tile's{advice}"


def _source(text: str) -> Source:
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        inside = _inside(path)
        if inside is not None:
            return inside
        raise InputError(f"cannot read {text!r}: {getattr(error, 'strerror', None) or error}", expected=WHAT) from error
    if stat.S_ISDIR(mode):
        return Source("store" if is_store(path) else "folder", path)
    if stat.S_ISREG(mode):
        return Source(_archive_kind(path), path)
    raise InputError(f"{text!r} is neither a folder nor a file")


def _inside(path: Path) -> Source | None:
    """``x.zip/EuroSAT``: a folder inside an archive."""
    for parent in path.parents:
        try:
            if parent.is_file():
                inner = path.relative_to(parent).as_posix()
                return Source(_archive_kind(parent), parent, inner)
        except (OSError, ValueError):
            return None
    return None


def _archive_kind(path: Path) -> str:
    """``tar`` or ``zip``, by its first bytes."""
    if tar.is_tar(path):
        return "tar"
    if path.suffix.lower() in SUFFIXES:
        raise InputError(f"{path} is one file", expected=WHAT, remedy=f"give the folder: {path.parent}")
    return "zip"


def _list_store(listing: Listing, number: int) -> None:
    data = open_store(listing.sources[number].path)
    family = "picture" if data.units.startswith(("rgb", "grey")) else "TIFF"
    for row, (stem, label) in enumerate(zip(data.ids, data.y, strict=True)):
        part = data.parts[row] if data.parts else ""
        listing.candidates.append(Candidate(data.classes[label], 0, stem, number, stem, row, family, part))


def _list_zip(listing: Listing, number: int) -> None:
    with archive.open_zip(listing.sources[number].path) as opened:
        for index, info in enumerate(opened.infolist()):
            name = info.orig_filename.replace("\\", "/")
            if not name.endswith("/") and (candidate := _candidate(listing, number, name, index)):
                try:
                    archive.check_member(info, LIMIT_BYTES)
                except archive.MemberError as error:
                    listing.refuse(candidate, str(error))
                else:
                    listing.candidates.append(candidate)


def _list_tar(listing: Listing, number: int) -> None:
    path = listing.sources[number].path
    labels = tar.sidecars(path)
    for index, info in enumerate(tar.members(path)):
        name = info.name.removeprefix("./")
        if info.type != tarfile.DIRTYPE and (candidate := _candidate(listing, number, name, index)):
            reason = tar.problem(info, LIMIT_BYTES)
            if reason:
                listing.refuse(candidate, reason)
            else:
                label = labels.get(str(PurePosixPath(info.name).with_suffix("")), "")
                listing.candidates.append(replace(candidate, label=label))


def _list_folder(listing: Listing, number: int) -> None:
    root = listing.sources[number].path.resolve()
    for path, problem in _walk(root, root):
        member = path.relative_to(root).as_posix()
        if problem == "folder link":
            listing.bad.append((f"{root.name}/{member}", "a symbolic link to a folder; give that folder as a path"))
        elif candidate := _candidate(listing, number, member, 0):
            if problem:
                listing.refuse(candidate, problem)
            else:
                listing.candidates.append(candidate)


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
            return "a symbolic link that leaves the folder (cp -rL copies what links point to)"
    except (OSError, RuntimeError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(facts.st_mode):
        return "not a regular file"
    return f"{facts.st_size} bytes; a tile has at most {LIMIT_BYTES}" if facts.st_size > LIMIT_BYTES else ""


def _hidden(member: str) -> bool:
    """What file managers and archivers of other systems leave behind: hidden files, ``__MACOSX``, ``@eaDir``."""
    return any((part.startswith(".") and part.strip(".")) or part in _LEFT_BEHIND for part in member.split("/"))


def _candidate(listing: Listing, number: int, member: str, index: int) -> Candidate | None:
    """A candidate where `member` ends as a tile does, its class still unknown; None for other files (counted)."""
    inner = listing.sources[number].inner
    if inner and not member.startswith(f"{inner}/"):
        return None
    name = member.rsplit("/", 1)[-1]
    suffix = Path(name).suffix.lower()
    if _hidden(member.removeprefix(inner)) or suffix not in SUFFIXES:
        listing.others[suffix] += 1
        if name.lower().endswith(COMPANIONS):
            listing.companions.append((number, member))
        listing.examples.setdefault(suffix, member)
        return None
    family = "TIFF" if suffix in TIFF_SUFFIXES else "picture"
    return Candidate("", 0, "", number, member, index, family)
