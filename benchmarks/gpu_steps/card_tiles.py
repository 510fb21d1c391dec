"""Tiles that were brought to a bare machine, as arrays: RGB archives as they are, 13 bands as `pack` makes them.

13 bands travel as differences to the left neighbour, low and high bytes apart, LZMA: 39 kB a tile instead of 60.
"""

from __future__ import annotations

import io
import lzma
import os
import shutil
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = "GPU_PLAN_MEMORY"
LISTS = Path(__file__).parents[2] / "results/packaged/lists"
TEST = Path(__file__).parents[2] / "results/split/test.txt"
CLASSES = ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop",
           "Residential", "River", "SeaLake")  # fmt: skip


@dataclass(frozen=True)
class Tiles:
    """`x` (n, c, h, w) uint8 (RGB) or uint16 (DN), in order of `names`, which begin with their class."""

    x: Any
    names: tuple[str, ...]

    @property
    def y(self) -> Any:
        """(n,) int64."""
        return np.array([CLASSES.index(name.rsplit("_", 1)[0]) for name in self.names])

    def rows(self, wanted: Collection[str]) -> Any:
        """Places of the tiles of these names that are here."""
        some = set(wanted)
        return np.array([i for i, name in enumerate(self.names) if name in some], np.int64)


def in_memory(room: int = 4 << 30) -> Path | None:
    """A folder that is kept in memory, if it has `room` bytes; None: where temporary files usually are.

    The plan gives its steps one that it removes at its end, since a step that is killed cannot.
    """
    if given := os.environ.get(MEMORY):
        return Path(given)
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and shutil.disk_usage(shared).free >= room else None


def listed(name: str) -> set[str]:
    """Names of one list of ``results/packaged/lists``; no test tile is in any."""
    some = set((LISTS / f"{name}.txt").read_text(encoding="utf-8").split())
    test = {line.rsplit("/", 1)[-1] for line in TEST.read_text(encoding="utf-8").split()}
    if some & test:
        raise SystemExit(f"{name}.txt holds test tiles")
    return some


def pack(x: Any, names: Iterable[str], path: Path) -> None:
    """Write uint16 tiles (n, c, h, w) and their names."""
    steps = x.copy()
    steps[..., 1:] -= x[..., :-1]
    steps[:, :, 1:, 0] -= x[:, :, :-1, 0]
    signed = steps.transpose(1, 0, 2, 3).view(np.int16)
    folded = ((signed << 1) ^ (signed >> 15)).view(np.uint16)
    raw = b"".join(part.astype(np.uint8).tobytes() for part in (folded & 255, folded >> 8))
    head = "\n".join(names).encode()
    sizes = np.array([*x.shape, len(head)], np.int64).tobytes()
    path.write_bytes(sizes + head + lzma.compress(raw, preset=6))


def unpack(path: Path) -> Tiles:
    """What `pack` wrote, to the bit."""
    content = path.read_bytes()
    n, c, h, w, head = np.frombuffer(content[:40], np.int64).tolist()
    names = tuple(content[40 : 40 + head].decode().split("\n"))
    low, high = np.frombuffer(lzma.decompress(content[40 + head :]), np.uint8).reshape(2, c, n, h, w)
    folded = low.astype(np.uint16) | (high.astype(np.uint16) << 8)
    steps = (folded >> 1) ^ (-(folded & 1).astype(np.int32)).astype(np.uint16)
    x = np.ascontiguousarray(steps.transpose(1, 0, 2, 3))
    x[..., 0] = np.cumsum(x[..., 0], axis=2, dtype=np.uint16)
    return Tiles(np.cumsum(x, axis=3, dtype=np.uint16), names)


def bands(folder: Path, wanted: Collection[str]) -> Tiles:
    """13-band tiles of the parts ``ms_*.lzma`` below `folder`."""
    parts = [unpack(path) for path in sorted(folder.rglob("ms_*.lzma"))]
    if not parts:
        raise SystemExit(f"no ms_*.lzma below {folder}")
    whole = Tiles(np.concatenate([p.x for p in parts]), tuple(n for p in parts for n in p.names))
    return _chosen(whole, wanted, folder)


def rgb(folder: Path, wanted: Collection[str]) -> Tiles:
    """RGB tiles of the archives ``rgb_*.zip`` below `folder`."""
    from PIL import Image

    some, x, names = set(wanted), [], []
    for path in sorted(folder.rglob("rgb_*.zip")):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                stem = Path(member).stem
                if stem in some:
                    picture = Image.open(io.BytesIO(archive.read(member))).convert("RGB")
                    x.append(np.asarray(picture).transpose(2, 0, 1))
                    names.append(stem)
    if not x:
        raise SystemExit(f"no tile of the lists in rgb_*.zip below {folder}")
    return _chosen(Tiles(np.stack(x), tuple(names)), wanted, folder)


def _chosen(tiles: Tiles, wanted: Collection[str], folder: Path) -> Tiles:
    """The tiles wanted, in order of their names; one that is missing or twice ends the step."""
    order = sorted(tiles.rows(wanted), key=lambda i: tiles.names[i])
    names = tuple(tiles.names[i] for i in order)
    if names != tuple(sorted(wanted)):
        raise SystemExit(f"{folder}: {len(names)} tiles of the {len(wanted)} that the lists name")
    return Tiles(tiles.x[np.array(order)], names)
