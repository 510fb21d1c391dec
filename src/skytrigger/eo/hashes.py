"""Content hashes of sources: what the cache of packed tiles is keyed by."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.files import cache_folder, read_json, sha256_file, sha256_json, write_json
from skytrigger.core.progress import track
from skytrigger.eo.sources import Listing
from skytrigger.eo.store import open_store


def source_hashes(listing: Listing) -> list[str]:
    """One SHA-256 per source, of its content and of the folder inside an archive.

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
            digest = str(read_json(memo)["sha256"])
        else:
            digest = _folder_hash(root, members) if source.kind == "folder" else sha256_file(root)
            with contextlib.suppress(SkytriggerError):  # only a shortcut
                write_json(memo, {"sha256": digest, "source": root.name})
        hashes.append(f"{digest}/{source.inner}" if source.inner else digest)
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
