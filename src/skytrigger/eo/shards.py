"""One shard of a store in the making: some rows of ``x.npy``, and a record of what they are.

Run as ``python -m skytrigger.eo.shards FOLDER`` it is a packing worker: shard numbers come in on stdin, one a
line, and are answered on stdout when they are on disk. A worker ends when its stdin closes, so none outlives a
killed parent. (`multiprocessing` would import the caller's script again, and leaves orphans.)
"""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections import Counter, OrderedDict
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import SkytriggerError
from skytrigger.core.files import read_json, write_json
from skytrigger.eo import archive, tar
from skytrigger.eo.geotags import NOWHERE
from skytrigger.eo.reading import Reading
from skytrigger.eo.sources import Candidate, Source
from skytrigger.eo.store import open_store
from skytrigger.eo.tiles import LIMIT_BYTES, BadTile, Tile, decode

PLAN, RAW, SHARDS = "plan.json", "raw.npy", "shards"
_OPEN_ARCHIVES = 8


class Reader:
    """Tiles of the candidates of some sources; archives stay open between tiles."""

    def __init__(self, sources: list[Source], reading: Reading) -> None:
        self.sources, self.reading = sources, reading
        self._zips: OrderedDict[int, zipfile.ZipFile] = OrderedDict()
        self._stores: dict[int, Dataset] = {}

    def read(self, candidate: Candidate) -> Tile:
        """The candidate's tile, or `BadTile`."""
        source = self.sources[candidate.source]
        if source.kind == "store":
            if candidate.source not in self._stores:
                self._stores[candidate.source] = open_store(source.path, verify=False)
            data = self._stores[candidate.source]
            lon, lat = NOWHERE if data.lonlat is None else data.lonlat[candidate.index].tolist()
            return Tile(data.x[candidate.index], data.channels, data.units, (lon, lat))
        try:
            if source.kind == "zip":
                opened = self._zip(candidate.source)
                content = archive.read_member(opened, opened.infolist()[candidate.index], LIMIT_BYTES)
            elif source.kind == "tar":
                content = tar.read(source.path, candidate.index, LIMIT_BYTES)
            else:
                content = (source.path / candidate.member).read_bytes()
        except (archive.MemberError, OSError) as error:
            raise BadTile(str(error)) from error
        return decode(content, candidate.member, self.reading)

    def _zip(self, number: int) -> zipfile.ZipFile:
        if number not in self._zips:
            self._zips[number] = archive.open_zip(self.sources[number].path)
            if len(self._zips) > _OPEN_ARCHIVES:
                self._zips.popitem(last=False)[1].close()
        self._zips.move_to_end(number)
        return self._zips[number]

    def close(self) -> None:
        """Close every archive."""
        while self._zips:
            self._zips.popitem()[1].close()


@dataclass(frozen=True)
class Plan:
    """What is packed: the candidates in order, what each must be, and how rows are cut into shards."""

    key: str
    sources: list[Source]
    candidates: list[Candidate]
    shape: tuple[int, int, int]
    dtype: str
    channels: tuple[str, ...]
    units: str
    rows: int
    reading: Reading

    @property
    def tile_bytes(self) -> int:
        """Bytes of one tile in ``x.npy``."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.candidates) // self.rows)

    def span(self, shard: int) -> range:
        """Candidate indices of a shard."""
        return range(shard * self.rows, min(len(self.candidates), (shard + 1) * self.rows))

    def save(self, folder: Path) -> None:
        """Write the plan for the workers."""
        write_json(
            folder / PLAN,
            {
                **{name: getattr(self, name) for name in ("key", "shape", "dtype", "channels", "units", "rows")},
                "reading": self.reading.to_json(),
                "sources": [[source.kind, str(source.path.resolve()), source.inner] for source in self.sources],
                "candidates": [list(astuple(candidate)) for candidate in self.candidates],
            },
        )

    @staticmethod
    def load(folder: Path) -> Plan:
        """The plan in a folder."""
        raw = read_json(folder / PLAN)
        return Plan(
            key=raw["key"],
            sources=[Source(kind, Path(path), inner) for kind, path, inner in raw["sources"]],
            candidates=[Candidate(*fields) for fields in raw["candidates"]],
            shape=tuple(raw["shape"]),
            dtype=raw["dtype"],
            channels=tuple(raw["channels"]),
            units=raw["units"],
            rows=raw["rows"],
            reading=Reading.from_json(raw["reading"]),
        )


def fit(tile: Tile, plan: Plan) -> NDArray[Any]:
    """The tile's pixels in the plan's band order, or `BadTile` where it is of another kind than most."""
    if sorted(tile.channels) != sorted(plan.channels):
        raise BadTile(f"bands {','.join(tile.channels)} where most tiles have {','.join(plan.channels)}")
    height, width = tile.pixels.shape[1:]
    if (height, width) != plan.shape[1:]:
        raise BadTile(f"{width}x{height} pixels where most tiles have {plan.shape[2]}x{plan.shape[1]}")
    if tile.pixels.dtype != np.dtype(plan.dtype):
        raise BadTile(f"{tile.pixels.dtype} values where most tiles have {np.dtype(plan.dtype).name}")
    if tile.units != plan.units:
        raise BadTile(f"values in {tile.units} where most tiles have {plan.units}")
    if tile.channels == plan.channels:
        return tile.pixels
    return tile.pixels[[tile.channels.index(name) for name in plan.channels]]


def holes_of(tile: Tile, most: float) -> NDArray[np.bool_] | None:
    """(c, h, w), where the tile holds no data; `BadTile` where more than the share `most` of it does."""
    if tile.no_data is None:
        return None
    holes: NDArray[np.bool_] = tile.pixels == tile.pixels.dtype.type(tile.no_data)
    share = float(holes.mean())
    if share > most:
        raise BadTile(
            f"{100 * share:.0f} % of it is no-data ({tile.no_data:g}), more than {100 * most:.0f} % (--max-no-data)"
        )
    return holes


def record_path(folder: Path, shard: int) -> Path:
    """Where a finished shard's record lies."""
    return folder / SHARDS / f"{shard:06d}.json"


def pack_shard(folder: Path, plan: Plan, reader: Reader, shard: int) -> None:
    """Decode a shard's tiles into its rows of ``raw.npy``; its record is written when they are on disk."""
    span = plan.span(shard)
    rows = np.zeros((len(span), *plan.shape), plan.dtype)
    bad: list[tuple[int, str]] = []
    hashes, places = [], []
    notes: Counter[str] = Counter()
    empty: dict[str, list[int]] = {}
    for row, index in enumerate(span):
        place: tuple[float | None, ...] = (None, None)
        try:
            tile = reader.read(plan.candidates[index])
            pixels = fit(tile, plan)
            holes = holes_of(tile, plan.reading.max_no_data)
            rows[row] = pixels
            notes.update(tile.notes)
            if holes is not None and holes.any():
                pixels_empty = int(holes.any(axis=0).sum())
                seen = empty.setdefault(repr(tile.no_data), [0, 0])
                empty[repr(tile.no_data)] = [seen[0] + 1, seen[1] + pixels_empty]
            place = tuple(None if np.isnan(degrees) else degrees for degrees in tile.lonlat)
        except BadTile as error:
            bad.append((index, str(error)))
        hashes.append(hashlib.sha256(rows[row]).hexdigest()[:32])
        places.append(place)
    with open(folder / RAW, "r+b") as stream:
        start = os.fstat(stream.fileno()).st_size - len(plan.candidates) * plan.tile_bytes
        stream.seek(start + span.start * plan.tile_bytes)
        stream.write(rows.data)
        stream.flush()
        os.fsync(stream.fileno())
    record = {
        "sha256": hashlib.sha256(rows.data).hexdigest(),
        "bad": bad,
        "hashes": hashes,
        "lonlat": places,
        "notes": notes,
        "no_data": empty,
    }
    write_json(record_path(folder, shard), record)


def worker(folder: Path) -> int:
    """Answer shard numbers until stdin closes; exit status 3 where the disk refuses."""
    plan = Plan.load(folder)
    reader = Reader(plan.sources, plan.reading)
    for line in sys.stdin:
        try:
            pack_shard(folder, plan, reader, int(line))
        except (OSError, SkytriggerError) as error:
            print(f"error {error}".replace("\n", " "), flush=True)
            return 3
        print(f"done {int(line)}", flush=True)
    reader.close()
    return 0


if __name__ == "__main__":
    sys.exit(worker(Path(sys.argv[1])))
