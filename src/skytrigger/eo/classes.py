"""Which class a file is: the folder that it lies in. Whatever leaves that in doubt is refused, not guessed."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import PurePosixPath

from skytrigger.core.dataset import PARTS
from skytrigger.core.errors import InputError
from skytrigger.core.split_files import PART_OF
from skytrigger.eo.sources import Candidate, Listing

_NAME = re.compile(r"(?P<class>.{1,100})_(?P<number>\d{1,9})")
_TRAILING = re.compile(r"(\d{1,9})$")
UNLABELLED = "unlabelled"


def settle(listing: Listing) -> None:
    """Give every candidate of files its class, id and part; those that have none become bad tiles.

    A file ``<Class>_<n>`` in the folder ``<Class>`` has its stem for an id, as EuroSAT's have; any other is
    ``<Class>/<stem>`` (of a WebDataset shard the class that its ``.cls`` says), with ``train/``, ``val/`` or ``test/``
    before it where its folders say so.
    """
    files = [c for c in listing.candidates if listing.sources[c.source].kind != "store" and not c.label]
    told = [c for c in listing.candidates if listing.sources[c.source].kind != "store" and c.label]
    rows = [c for c in listing.candidates if listing.sources[c.source].kind == "store"]
    if not listing.labels:
        files += told
        listing.candidates = [replace(c, label=UNLABELLED, number=0, part="") for c in rows]
        listing.candidates += [
            replace(c, label=UNLABELLED, stem=str(PurePosixPath(_below(listing, c)).with_suffix(""))) for c in files
        ]
        return
    folders = {c: PurePosixPath(_below(listing, c)).parts[:-1] for c in files}
    parted = _parts(folders)
    sources_with_folders = {c.source for c, path in folders.items() if path}
    prefixes = {(c.source, found["class"]) for c, path in folders.items()
                if not path and (found := _NAME.fullmatch(PurePosixPath(c.member).stem))}  # fmt: skip
    several = {source for source, n in Counter(source for source, _ in prefixes).items() if n > 1}
    settled = [
        replace(c, number=_number(PurePosixPath(c.member).stem), stem=f"{c.label}/{PurePosixPath(c.member).stem}")
        for c in told
    ]
    for c in files:
        path = folders[c]
        stem = PurePosixPath(c.member).stem
        label = path[-1] if path else listing.sources[c.source].title
        match = _NAME.fullmatch(stem)
        own = match is not None and match["class"] == label
        if not label:
            beside = (
                "" if listing.sources[c.source].kind != "tar" else ", and no .cls or .json beside it says its class"
            )
            listing.refuse(c, f"it lies in no class folder{beside}")
        elif not path and not own and c.source in sources_with_folders:
            listing.refuse(c, "it lies beside the class folders, in none of them")
        elif not path and match is not None and not own and c.source in several:
            listing.refuse(c, f"its name says {match['class']!r}, its folder {label!r}")
        elif not label.isprintable():
            listing.refuse(c, f"its folder is called {label!r}")
        else:
            part = parted.get(c, "")
            name = stem if own else "/".join(filter(None, (part, label, stem)))
            settled.append(replace(c, label=label, number=_number(stem), stem=name, part=part))
    settled += [
        replace(c, number=_number(c.stem), part=c.part if len({r.part for r in rows} - {""}) > 1 else "") for c in rows
    ]
    _refuse_alike({c.label for c in settled})
    _refuse_levels(settled, folders, listing)
    listing.candidates = _contradicting(settled, listing)
    _refuse_unparted(listing)


def _below(listing: Listing, candidate: Candidate) -> str:
    """The member's path below the folder that was named."""
    inner = listing.sources[candidate.source].inner
    return candidate.member.removeprefix(f"{inner}/") if inner else candidate.member


def _number(stem: str) -> int:
    found = _TRAILING.search(stem)
    return int(found[1]) if found else 0


def _parts(folders: dict[Candidate, tuple[str, ...]]) -> dict[Candidate, str]:
    """Candidate -> its part, where folders above the classes divide them; nothing where there is one part only."""
    found = {}
    for candidate, path in folders.items():
        names = {PART_OF[name.lower()] for name in path[:-1] if name.lower() in PART_OF}
        if len(names) > 1:
            raise InputError(f"{candidate.member} lies in folders of two parts: {', '.join(sorted(names))}")
        if names:
            found[candidate] = names.pop()
    if len(set(found.values())) < 2:
        direct = Counter(path[-1] for path in folders.values() if path and path[-1].lower() in PART_OF)
        if len({PART_OF[name.lower()] for name in direct}) > 1:
            raise InputError(
                f"tiles lie directly in {', '.join(f'{name} ({n})' for name, n in sorted(direct.items()))}",
                expected="class folders inside them: train/River/...",
                remedy="for tiles without classes: skytrigger predict",
            )
        return {}
    return found


def _refuse_unparted(listing: Listing) -> None:
    """All or nothing: tiles outside of train, val and test would belong to no part."""
    parts = Counter(c.part for c in listing.candidates)
    if len(parts) > 1 and parts[""]:
        example = next(c for c in listing.candidates if not c.part)
        inside = ", ".join(f"{parts[name]} in {name}" for name in PARTS if parts[name])
        raise InputError(
            f"{parts['']} tiles lie outside the folders of parts (such as {listing.place(example)}), {inside}",
            remedy="give either as the data",
        )


def _refuse_alike(labels: set[str]) -> None:
    """Two spellings that print alike, or differ by case only, are one class to people and two to a computer."""
    groups = defaultdict(list)
    for label in sorted(labels):
        groups[unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())].append(label)
    for alike in groups.values():
        if len(alike) > 1:
            how = "case" if len({name.casefold() for name in alike}) == 1 else "Unicode form"
            raise InputError(
                f"class folders that differ in {how} only: {' and '.join(f'{n!r} ({n!a})' for n in alike)}",
                remedy="rename one, so that they are one class, or two that can be told apart",
            )


def _refuse_levels(settled: list[Candidate], folders: dict[Candidate, tuple[str, ...]], listing: Listing) -> None:
    """River/2018 and Forest/2018: which level is the class?"""
    above: dict[tuple[int, str], dict[str, Candidate]] = defaultdict(dict)
    paths = {(c.source, c.member): path for c, path in folders.items()}
    for candidate in settled:
        path = paths.get((candidate.source, candidate.member))
        if path is None or len(path) < 1 or "/" not in candidate.stem:
            continue
        parents = "/".join(name for name in path[:-1] if not (candidate.part and name.lower() in PART_OF))
        above[candidate.source, candidate.label].setdefault(parents, candidate)
    for (_, label), holders in above.items():
        if len(holders) > 1:
            places = " and ".join(listing.place(c) for c in list(holders.values())[:2])
            raise InputError(
                f"folders called {label!r} lie in several folders ({places}): which level is the class is not clear",
                expected="one folder for each class",
                remedy="move the files up, so that each class is one folder",
            )


def _contradicting(settled: list[Candidate], listing: Listing) -> list[Candidate]:
    """Those kept: a file in one class's folder whose name is another class's with a number is a bad tile."""
    labels = {c.label.casefold() for c in settled}
    kept = []
    for candidate in settled:
        match = _NAME.fullmatch(PurePosixPath(candidate.member).stem)
        other = match["class"] if match else ""
        if other and other.casefold() != candidate.label.casefold() and other.casefold() in labels:
            listing.refuse(candidate, f"its name says {other!r}, its folder {candidate.label!r}")
        else:
            kept.append(candidate)
    return kept
