"""All passes' packets as one table: for each tile what the ground knows, by which pass, and what went wrong."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path, read_json
from skytrigger.onboard.codecs import TIERS, WITH_PIXELS
from skytrigger.onboard.packet_format import Fault, Frame, Item
from skytrigger.onboard.packet_reading import read_pass

_NAME = re.compile(r"pass_(\d{1,6})\.bin")


@dataclass(slots=True)
class Known:
    """What the ground knows of a tile.

    Attributes
    ----------
    first_pass
        The pass that brought its class.
    tiers
        Pass by tier; the first of each.
    """

    class_name: str
    confidence: float
    t_sensed_s: float
    first_pass: int
    tiers: dict[str, int] = field(default_factory=dict)

    def best(self) -> str:
        """The most that is known of it: lossless before lossy before nothing but its class."""
        order = ("lossless", "backlog", "lossy", "alert", "class")
        return next(t for t in order if t in self.tiers)


@dataclass
class Ground:
    """Everything that arrived until some pass.

    Attributes
    ----------
    tiles
        By (scene, row, column).
    faults
        (pass, what went wrong), in order.
    passes
        For each file of packets: pass, packets, bits, items, new tiles.
    """

    tiles: dict[tuple[str, int, int], Known] = field(default_factory=dict)
    frames: dict[str, Frame] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    passes: list[dict[str, Any]] = field(default_factory=list)

    def by_scene(self) -> dict[str, dict[tuple[int, int], Known]]:
        """Tiles by (row, column) of every scene of which there is anything, a frame alone included."""
        found: dict[str, dict[tuple[int, int], Known]] = {scene: {} for scene in sorted(self.frames)}
        for (scene, row, column), known in self.tiles.items():
            found.setdefault(scene, {})[row, column] = known
        return found

    def fault_counts(self) -> dict[str, int]:
        """Packets (items, where they are whole items) by kind."""
        total: Counter[str] = Counter()
        for _, fault in self.faults:
            total[fault.kind] += fault.packets
        return dict(sorted(total.items()))


def pass_files(folder: Path) -> list[tuple[int, Path]]:
    """(pass, its packets) in order.

    Raises
    ------
    InputError
        No folder of packets.
    """
    found = folder / "packets"
    if not found.is_dir():
        raise InputError(f"{folder} has no folder packets", expected="a replay's folder, as `skytrigger onboard` makes")
    named = [(int(m[1]), p) for p in found.iterdir() if (m := _NAME.fullmatch(p.name))]
    return sorted(named)


def receive(folder: str | Path, *, until: int | None = None, keep: Any = None) -> Ground:
    """Read the passes up to and with `until` (default: all).

    Parameters
    ----------
    keep
        Called as ``keep(item)`` with every item that has pixels, its payload included; without it payloads are checked
        and forgotten.
    """
    folder = Path(folder)
    ground = Ground()
    seen: set[tuple[int, str, str]] = set()
    files = [(n, p) for n, p in pass_files(folder) if until is None or n <= until]
    for number, path in files:
        received = read_pass(path, payloads=keep is not None)
        ground.frames |= received.frames
        ground.classes += [c for c in received.classes if c not in ground.classes]
        ground.faults += [(number, f) for f in received.faults]
        repeated, new = 0, 0
        for item, item_number in zip(received.items, received.numbers, strict=True):
            key = (item_number, item.tier, item.tile)
            if key in seen:
                repeated += 1
                continue
            seen.add(key)
            new += _take(ground, item, number)
            if keep is not None and item.tier in WITH_PIXELS:
                keep(item)
        if repeated:
            detail = f"{repeated} items that had come in an earlier pass: left out"
            ground.faults.append((number, Fault("repeated", "", -1, repeated, detail)))
        ground.passes.append({"pass": number, "packets": received.packets, "bits": 8 * path.stat().st_size,
                              "items": len(received.items), "new_tiles": new})  # fmt: skip
    _missing_files(folder, {n for n, _ in files}, until, ground)
    return ground


def _take(ground: Ground, item: Item, number: int) -> int:
    """Whether the tile is new."""
    scene, row, column = item.place()
    place = (sys.intern(scene), row, column)
    known = ground.tiles.get(place)
    if known is None:
        ground.tiles[place] = Known(item.class_name, item.confidence, item.t_sensed_s, number, {item.tier: number})
        return 1
    known.tiers.setdefault(item.tier, number)
    return 0


def _missing_files(folder: Path, there: set[int], until: int | None, ground: Ground) -> None:
    """A pass that was flown and sent something, and of which there is no file, is a loss."""
    try:
        passes = read_json(folder / "passes.json")
    except InputError:
        return
    for entry in passes if isinstance(passes, list) else []:
        number = entry.get("pass", -1)
        flown = not entry.get("missed") and entry.get("sent_items", 0) and (until is None or number <= until)
        if flown and number not in there:
            detail = f"no packets of pass {number}, which sent {entry['sent_items']} items"
            ground.faults.append((number, Fault("lost", "", -1, 0, detail)))


def write_received(ground: Ground, path: Path) -> None:
    """A row for each tile that is known: scene, row, column, class, confidence, times, passes by tier."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = sorted(ground.tiles)
    known = [ground.tiles[p] for p in places]
    columns: dict[str, Any] = {
        "scene": pa.array([p[0] for p in places], pa.string()),
        "row": pa.array([p[1] for p in places], pa.int32()),
        "column": pa.array([p[2] for p in places], pa.int32()),
        "class_name": pa.array([k.class_name for k in known], pa.string()),
        "confidence": pa.array([k.confidence for k in known], pa.float32()),
        "t_sensed_s": pa.array([k.t_sensed_s for k in known], pa.float64()),
        "first_pass": pa.array([k.first_pass for k in known], pa.int32()),
        "tier": pa.array([k.best() for k in known], pa.string()),
    }
    for tier in TIERS:
        columns[f"pass_{tier}"] = pa.array([k.tiers.get(tier) for k in known], pa.int32())
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
