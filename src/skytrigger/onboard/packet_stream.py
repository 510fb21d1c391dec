"""The packets in a file: found one after the other, checked, and put in the order of their counts."""

from __future__ import annotations

import mmap
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from skytrigger.core.errors import InputError
from skytrigger.onboard.packet_format import COUNTS, CRC, PRIMARY, STREAM, TIME, Fault, crc16

Content = mmap.mmap | bytes
_SHORTEST = PRIMARY + TIME + CRC + 1


class Packet(NamedTuple):
    """A packet whose CRC holds; `number` is its count, unwrapped: it goes on beyond 16,383."""

    number: int
    flags: int
    time: bytes
    at: int
    stop: int


def content_of(path: Path) -> Content:
    """A file's bytes, mapped."""
    try:
        with open(path, "rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", expected="space packets") from error


def sorted_packets(content: Content, faults: list[Fault]) -> dict[str, list[Packet]]:
    """Packets by stream in the order of their counts, each once."""
    by_stream: dict[str, dict[int, Packet]] = defaultdict(dict)
    last: dict[str, int] = {}
    highest: dict[str, int] = {}
    for stream, raw, made in _walk(content, faults):
        near = last.get(stream, raw)
        count = near + ((raw - near + COUNTS // 2) % COUNTS - COUNTS // 2)
        last[stream] = count
        known = by_stream[stream].get(count)
        if known is not None:
            same = content[known.at : known.stop] == content[made.at : made.stop]
            detail = f"at byte {made.at}, " + ("the same as before" if same else "other content than before: left out")
            faults.append(Fault("doubled", stream, raw, 1, detail))
            continue
        if count < highest.get(stream, count):
            faults.append(Fault("reordered", stream, raw, 1, f"at byte {made.at}, after {highest[stream]}: used"))
        highest[stream] = max(count, highest.get(stream, count))
        by_stream[stream][count] = made._replace(number=count)
    return {s: [p for _, p in sorted(d.items())] for s, d in by_stream.items()}


def _walk(content: Content, faults: list[Fault]) -> Iterator[tuple[str, int, Packet]]:
    """Packets whose CRC holds, one after the other; what is damaged or no packet is passed over and named."""
    at = 0
    while at < len(content):
        length = _length(content, at)
        if length and crc16(content[at : at + length]) == 0:
            yield _header(content, at, length)
            at += length
            continue
        after = at + length
        if length and (after == len(content) or _whole(content, after)):  # its length was right, so its header may be
            stream, raw, _ = _header(content, at, length)
            detail = f"at byte {at}, {length} bytes: the CRC does not fit; stream and count as it states them"
            faults.append(Fault("damaged", stream, raw, 1, detail))
            at = after
            continue
        start = at
        at += 1
        while at < len(content) and not _whole(content, at):
            at += 1
        detail = f"{at - start} bytes from byte {start} on are no whole packet"
        faults.append(Fault("unreadable", "", -1, 1, detail))


def _length(content: Content, at: int) -> int:
    """Bytes of the packet that begins there by its header; 0 where none can."""
    if at + _SHORTEST > len(content):
        return 0
    word, _, data = struct.unpack(">HHH", content[at : at + PRIMARY])
    length = PRIMARY + data + 1
    # version 0, telemetry, with a secondary header, one of our streams
    if word >> 11 != 1 or (word & 0x7FF) not in STREAM or length < _SHORTEST or at + length > len(content):
        return 0
    return int(length)


def _whole(content: Content, at: int) -> bool:
    length = _length(content, at)
    return bool(length) and crc16(content[at : at + length]) == 0


def _header(content: Content, at: int, length: int) -> tuple[str, int, Packet]:
    word, control, _ = struct.unpack(">HHH", content[at : at + PRIMARY])
    time = bytes(content[at + PRIMARY : at + PRIMARY + TIME])
    raw = control % COUNTS
    return STREAM[word & 0x7FF], raw, Packet(raw, control >> 14, time, at, at + length)
