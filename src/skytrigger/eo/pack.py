"""Packing: tiles in folders, archives and stores become one store; killed at any moment, it goes on where it was.

Work in progress lies beside the store in ``<store>.partial``: the rows of ``raw.npy`` and a record per finished
shard, with the hash of its rows. The store itself appears by one rename, whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.files import read_json, sha256_json
from skytrigger.core.progress import say
from skytrigger.eo import store
from skytrigger.eo.bad_tiles import find_duplicates, refuse_skipped
from skytrigger.eo.bands import EUROSAT_ORDER, RGB
from skytrigger.eo.hashes import source_hashes
from skytrigger.eo.pool import run_shards
from skytrigger.eo.reading import Reading
from skytrigger.eo.shards import PLAN, RAW, SHARDS, Plan, Reader, record_path
from skytrigger.eo.sources import Listing, list_sources
from skytrigger.eo.store_facts import store_facts
from skytrigger.eo.tiles import BadTile, Tile

RULES = 2  # of what is read how: another number packs again what lies in the cache
SHARD_BYTES, SHARD_TILES = 1 << 22, 512
_PROBES = 16


def pack_key(listing: Listing, hashes: Sequence[str], reading: Reading) -> str:
    """Content address of a store: what goes in, what is refused, how it is read, and the version of packing."""
    parts = [store.FORMAT, store.VERSION, RULES, list(hashes), listing.bad, listing.ignored, reading.to_json()]
    return sha256_json(parts)


def pack(
    paths: Sequence[str],
    out: str | Path,
    *,
    skip_bad: bool = False,
    workers: int | None = None,
    reading: Reading | None = None,
) -> Dataset:
    """Pack every tile under `paths` into a new store `out` and open it.

    Parameters
    ----------
    paths
        Folders, zips or tars of tiles in class folders at any depth, or packed stores.
    skip_bad
        Leave bad tiles out and list them, instead of refusing.
    workers
        Processes; the machine's cores when None.
    reading
        What is stated about the files.

    Raises
    ------
    InputError
        `out` exists, there is nothing to pack, or tiles are bad: all named in one error.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out} exists", remedy="another --out, or delete it first")
    reading = reading or Reading()
    listing = list_sources(paths, labels=reading.labels)
    return pack_listing(listing, source_hashes(listing), out, skip_bad=skip_bad, workers=workers, reading=reading)


def pack_listing(
    listing: Listing, hashes: Sequence[str], out: Path, *, skip_bad: bool, workers: int | None, reading: Reading
) -> Dataset:
    """Pack a listing whose sources have these content hashes."""
    partial, key = out.with_name(f"{out.name}.partial"), pack_key(listing, hashes, reading)
    with _locked(partial):
        if not out.exists():  # another process may have packed it while this one waited
            finished = partial / "store"
            if not _is_ready(finished, key):
                plan = _plan(listing, key, reading)
                _prepare(partial, plan)
                run_shards(partial, plan, workers)
                _finish(partial, plan, listing, hashes, skip_bad)
            os.rename(finished, out)
            store.stamp(out)
            shutil.rmtree(partial, ignore_errors=True)
    data = store.open_store(out)
    refuse_skipped(data.source["skipped"], skip_bad)
    return data


@contextlib.contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Hold the work folder alone; the lock goes with the process, however it ends."""
    lock = partial.with_name(f"{partial.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with open(lock, "a") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    say(f"waiting for another process that packs {partial}")
                    fcntl.flock(handle, fcntl.LOCK_EX)
                if not _is_at(handle, lock):
                    continue  # its last holder has removed it meanwhile
                try:
                    yield
                finally:
                    lock.unlink(missing_ok=True)
                return
    except OSError as error:
        raise SkytriggerError(f"cannot write {error.filename or lock}: {error.strerror}") from error


def _is_at(handle: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _plan(listing: Listing, key: str, reading: Reading) -> Plan:
    """Decide by a sample, spread evenly, what most tiles are; the others will be bad."""
    candidates = listing.candidates
    reader = Reader(listing.sources, reading)
    examples: dict[tuple[Any, ...], Tile] = {}
    kinds: Counter[tuple[Any, ...]] = Counter()
    spread = dict.fromkeys(np.linspace(0, len(candidates) - 1, min(_PROBES, len(candidates)), dtype=int).tolist())
    reasons = {}
    for index in [*spread, *(k for k in range(len(candidates)) if k not in spread)]:
        if index not in spread and kinds:
            break  # the rest only where no probe could be read
        try:
            tile = reader.read(candidates[index])
            kind = (tile.pixels.shape, tile.pixels.dtype.str, tuple(sorted(tile.channels)), tile.units)
            kinds[kind] += 1
            examples.setdefault(kind, tile)
        except BadTile as error:
            reasons[index] = str(error)
    reader.close()
    if not kinds:
        refuse_skipped(
            [*listing.bad, *((listing.place(candidates[k]), reasons[k]) for k in sorted(reasons))],
            False,
            everything=True,
        )
    most = kinds.most_common(1)[0][0]
    shape, dtype, names, units = most
    known = RGB if units.startswith("rgb") else EUROSAT_ORDER
    channels = tuple(name for name in known if name in names)
    channels += tuple(name for name in examples[most].channels if name not in known)
    rows = max(1, min(SHARD_TILES, SHARD_BYTES // (int(np.prod(shape)) * np.dtype(dtype).itemsize)))
    return Plan(key, listing.sources, candidates, shape, dtype, channels, units, rows, reading)


def _prepare(partial: Path, plan: Plan) -> None:
    """A work folder for `plan`: an earlier one of the same plan is kept with all its whole shards."""
    if (partial / PLAN).exists():
        with contextlib.suppress(InputError, LookupError, TypeError, ValueError):
            if Plan.load(partial) == _resolved(plan) and _keep_whole_shards(partial, plan):
                return
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / SHARDS).mkdir(parents=True)
        with open(partial / RAW, "wb") as stream:
            stream.write(store.array_header(plan.dtype, (len(plan.candidates), *plan.shape)))
            size = stream.tell() + len(plan.candidates) * plan.tile_bytes
            stream.truncate(size)
            if hasattr(os, "posix_fallocate"):  # all of it now, so that a full disk is an error here
                os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        need = len(plan.candidates) * plan.tile_bytes / 1e9
        raise SkytriggerError(
            f"cannot write {partial}: {error.strerror}\n  remedy: {need:.2f} GB are needed; free space, or set "
            "SKYTRIGGER_CACHE or --out to another disk"
        ) from error
    plan.save(partial)


def _resolved(plan: Plan) -> Plan:
    sources = [dataclasses.replace(source, path=source.path.resolve()) for source in plan.sources]
    return dataclasses.replace(plan, sources=sources)


def _keep_whole_shards(partial: Path, plan: Plan) -> bool:
    """Drop records whose rows are not on disk as recorded; False where ``raw.npy`` itself is unusable."""
    raw = _raw_rows(partial, plan)
    if raw is None:
        return False
    kept = 0
    for shard in range(plan.shards):
        path, span = record_path(partial, shard), plan.span(shard)
        if not path.exists():
            continue
        whole = False
        with contextlib.suppress(InputError, LookupError, TypeError):
            digest = hashlib.sha256(np.ascontiguousarray(raw[span.start : span.stop]).data).hexdigest()
            whole = read_json(path)["sha256"] == digest
        if not whole:
            path.unlink()
        kept += whole
    if kept:
        say(f"packing goes on: {kept} of {plan.shards} shards are done")
    return True


def _raw_rows(partial: Path, plan: Plan) -> NDArray[Any] | None:
    try:
        raw = np.load(partial / RAW, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    shape = (len(plan.candidates), *plan.shape)
    return raw if raw.shape == shape and raw.dtype.str == plan.dtype else None


def _is_ready(finished: Path, key: str) -> bool:
    """Whether an earlier run was killed between its last write and the rename."""
    if not store.is_store(finished):
        return False
    try:
        store.open_store(finished, verify=True)
        return bool(read_json(finished / store.META).get("key") == key)
    except InputError:
        return False


def _finish(partial: Path, plan: Plan, listing: Listing, hashes: Sequence[str], skip_bad: bool) -> None:
    """Sort out bad tiles, then write ``<partial>/store``; ``meta.json`` comes last."""
    records = [read_json(record_path(partial, shard)) for shard in range(plan.shards)]
    bad = {index: reason for record in records for index, reason in record["bad"]}
    find_duplicates(plan, listing, [digest for record in records for digest in record["hashes"]], bad)
    skipped = sorted([*listing.bad, *((listing.place(plan.candidates[k]), reason) for k, reason in bad.items())])
    keep = [index for index in range(len(plan.candidates)) if index not in bad]
    if not skip_bad or not keep:
        refuse_skipped(skipped, False, everything=not keep)
    finished = partial / "store"
    shutil.rmtree(finished, ignore_errors=True)
    finished.mkdir()
    raw = _raw_rows(partial, plan)
    if raw is None:
        raise SkytriggerError(f"{partial / RAW} disappeared or changed while packing; run the same command again")
    classes = tuple(sorted({plan.candidates[index].label for index in keep}))
    places = [place for record in records for place in record["lonlat"]]
    try:
        if len(keep) < len(raw):
            raw = _compact(raw, keep, finished / store.X)
        dataset = Dataset(
            x=raw,
            y=np.array([classes.index(plan.candidates[index].label) for index in keep], np.int64),
            ids=tuple(plan.candidates[index].stem for index in keep),
            channels=plan.channels,
            classes=classes,
            content_hash="",
            units=plan.units,
            lonlat=np.array([places[index] for index in keep], np.float64),
            source=store_facts(plan, listing, hashes, skipped, records),
            parts=tuple(plan.candidates[index].part for index in keep) if plan.candidates[keep[0]].part else (),
        )
        store.write_around(finished, dataset, key=plan.key)
        if not (finished / store.X).exists():
            os.rename(partial / RAW, finished / store.X)
    except OSError as error:
        raise SkytriggerError(f"cannot write {finished}: {error.strerror}\n  remedy: free space") from error


def _compact(raw: NDArray[Any], keep: Sequence[int], path: Path) -> NDArray[Any]:
    """The rows `keep` as a new array on disk, copied in blocks."""
    with open(path, "wb") as stream:
        stream.write(store.array_header(raw.dtype.str, (len(keep), *raw.shape[1:])))
        for start in range(0, len(keep), SHARD_TILES):
            stream.write(raw[keep[start : start + SHARD_TILES]].data)
        stream.flush()
        os.fsync(stream.fileno())
    return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
