"""Packets back into items, with everything named that is lost, doubled, out of order, damaged or incomplete."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from skytrigger.onboard.packet_format import (
    CLASSES_HEAD,
    CONTINUED,
    COUNTS,
    CRC,
    FIRST,
    ITEM,
    LAST,
    PRIMARY,
    RUN,
    STREAM,
    TABLES,
    TIME,
    WHOLE,
    Fault,
    Frame,
    Item,
    frame_of,
    time_of,
)
from skytrigger.onboard.packet_stream import Content, Packet, content_of, sorted_packets


@dataclass
class Received:
    """What one pass brought.

    Attributes
    ----------
    items
        In the order in which the first packet of each arrived.
    numbers
        The number of each item's packet or segments on board: an item that comes again has the same.
    frames
        By scene; only those whose place the tables gave.
    packets
        Whole ones, doubled ones included.
    """

    items: list[Item] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    frames: dict[str, Frame] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    packets: int = 0


def read(path: str | Path) -> tuple[list[Item], list[Fault]]:
    """Whole items of a file of packets, and what went wrong on the way.

    Raises
    ------
    InputError
        The file cannot be read. Damage is never an error: it is listed.
    """
    received = read_pass(path)
    return received.items, received.faults


def read_pass(path: str | Path, *, payloads: bool = True) -> Received:
    """Everything that a file of packets says; without `payloads` they are checked and not kept."""
    found = Received()
    content = content_of(Path(path))
    packets = sorted_packets(content, found.faults)
    found.packets = sum(map(len, packets.values())) + sum(f.kind == "doubled" for f in found.faults)
    names = _Names(found)
    for count, body, _ in _bodies(content, packets.get(TABLES, []), TABLES, found):
        names.read(body, count)
    _losses(packets, names, found)
    arrived: list[tuple[int, int, Item]] = []
    for stream in (s for s in STREAM.values() if s != TABLES):
        for count, body, first in _bodies(content, packets.get(stream, []), stream, found):
            made = _classes(body, first, count, names) if stream == "class" else _item(body, first, stream, names)
            if isinstance(made, str):
                found.faults.append(Fault("unnamed" if "table" in made else "damaged", stream, count % COUNTS, 1, made))
            else:
                arrived += [(first.at, number, item) for number, item in made]
    arrived.sort(key=lambda a: a[0])
    keep = [(n, i if payloads else Item(i.tile, i.tier, i.class_name, i.confidence, i.t_sensed_s))
            for _, n, i in arrived]  # fmt: skip
    found.numbers, found.items = [n for n, _ in keep], [i for _, i in keep]
    return found


def _bodies(
    content: Content, packets: list[Packet], stream: str, found: Received
) -> Iterator[tuple[int, bytes, Packet]]:
    """Data of whole items: (count of the first packet, data, first packet)."""

    def data(packet: Packet) -> bytes:
        return bytes(content[packet.at + PRIMARY + TIME : packet.stop - CRC])

    open_: list[Packet] = []
    orphans = 0

    def incomplete() -> None:
        if open_:
            head, about = data(open_[0]), ""
            if stream != TABLES and stream != "class" and len(head) >= ITEM.size:
                _, _, row, column, *_ = ITEM.unpack(head[: ITEM.size])
                about = f" of row {row}, column {column}"
            detail = f"{len(open_)} segments of an item{about}, the others are missing: left out"
            found.faults.append(Fault("incomplete", stream, open_[0].number % COUNTS, len(open_), detail))
            open_.clear()

    for packet in packets:
        follows = bool(open_) and packet.number == open_[-1].number + 1
        if packet.flags in (CONTINUED, LAST):
            if not follows:
                incomplete()
                orphans += 1
                continue
            open_.append(packet)
            if packet.flags == LAST:
                first = open_[0]
                body = b"".join(map(data, open_))
                open_.clear()
                yield first.number, body, first
            continue
        incomplete()
        if packet.flags == WHOLE:
            yield packet.number, data(packet), packet
        elif packet.flags == FIRST:
            open_.append(packet)
    incomplete()
    if orphans:
        found.faults.append(
            Fault("incomplete", stream, -1, orphans, f"{orphans} segments whose item's first is missing: left out")
        )


class _Names:
    """Tables of classes, scenes and counts, as far as they arrived."""

    def __init__(self, found: Received) -> None:
        self._found = found
        self.scenes: dict[int, str] = {}
        self.start: dict[str, int] = {}
        self.end: dict[str, int] = {}

    def read(self, body: bytes, count: int) -> None:
        try:
            content = json.loads(body)
            self._take(content)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            self._found.faults.append(Fault("damaged", TABLES, count % COUNTS, 1, "its CRC holds, but it is no table"))

    def _take(self, content: dict[str, Any]) -> None:
        for name, into in (("start", self.start), ("end", self.end)):
            into.update({str(k): int(v) for k, v in content.get(name, {}).items()})
        if len(content.get("classes", ())) > len(self._found.classes):
            self._found.classes = [str(c) for c in content["classes"]]
        for code, entry in content.get("scenes", {}).items():
            self.scenes[int(code)] = str(entry["scene"])
            if (frame := frame_of(entry)) is not None:
                self._found.frames[frame.scene] = frame

    def of(self, scene: int, code: int) -> tuple[str, str] | None:
        """Names of both, None where a table is missing."""
        if scene not in self.scenes or code >= len(self._found.classes):
            return None
        return self.scenes[scene], self._found.classes[code]


def _losses(packets: dict[str, list[Packet]], names: _Names, found: Received) -> None:
    """Counts that are missing between the pass's first and last; those of damaged packets are named already."""
    damaged = defaultdict(set)
    for fault in found.faults:
        if fault.kind == "damaged":
            damaged[fault.stream].add(fault.count)
    for stream in STREAM.values():
        seen = [p.number for p in packets.get(stream, [])]
        if not seen:
            first, sent = names.start.get(stream, 0), (names.end.get(stream, 0) - names.start.get(stream, 0)) % COUNTS
            gaps = [(first, sent)] if sent and stream in names.end else []
        else:
            before = (seen[0] - names.start.get(stream, seen[0])) % COUNTS
            after = (names.end.get(stream, seen[-1] + 1) - seen[-1] - 1) % COUNTS if stream != TABLES else 0
            gaps = [(seen[0] - before, before), *((a + 1, b - a - 1) for a, b in pairwise(seen)),
                    (seen[-1] + 1, after)]  # fmt: skip
        for first, size in gaps:
            missing = [c % COUNTS for c in range(first, first + size) if c % COUNTS not in damaged[stream]]
            if missing:
                detail = f"{len(missing)} packets from count {missing[0]} on"
                found.faults.append(Fault("lost", stream, missing[0], len(missing), detail))


def _item(body: bytes, first: Packet, stream: str, names: _Names) -> list[tuple[int, Item]] | str:
    """The one item of a body, or what is wrong with it."""
    if len(body) < ITEM.size:
        return f"{len(body)} bytes are no item"
    number, scene, row, column, code, confidence, size, check = ITEM.unpack(body[: ITEM.size])
    payload = body[ITEM.size :]
    if len(payload) != size or zlib.crc32(payload) != check:
        return f"row {row}, column {column}: the item's CRC-32 does not fit: left out"
    named = names.of(scene, code)
    if named is None:
        return f"row {row}, column {column} of scene number {scene}: the table of names is missing"
    tile = f"{named[0]}/{row}/{column}"
    return [(number, Item(tile, stream, named[1], confidence / 255, time_of(first.time), payload))]


def _classes(body: bytes, first: Packet, count: int, names: _Names) -> list[tuple[int, Item]] | str:
    """Tiles of a packet of classes."""
    found: list[tuple[int, Item]] = []
    if len(body) < CLASSES_HEAD.size:
        return f"packet {count % COUNTS}: {len(body)} bytes are no classes"
    number, scene = CLASSES_HEAD.unpack(body[: CLASSES_HEAD.size])
    at, t_s = CLASSES_HEAD.size, time_of(first.time)
    while at < len(body):
        run = body[at : at + RUN.size]
        at += RUN.size
        row, column, tiles, after_ms = RUN.unpack(run) if len(run) == RUN.size else (0, 0, len(body), 0)
        if len(body) < at + 2 * tiles:
            return f"packet {count % COUNTS}: a run of {tiles} tiles is cut off"
        for i in range(tiles):
            code, confidence = body[at + 2 * i], body[at + 2 * i + 1]
            named = names.of(scene, code)
            if named is None:
                return f"{tiles} classes in row {row} of scene number {scene}: the table of names is missing"
            tile = f"{named[0]}/{row}/{column + i}"
            found.append((number, Item(tile, "class", named[1], confidence / 255, t_s + after_ms / 1000)))
        at += 2 * tiles
    return found
