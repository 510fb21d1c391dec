"""What lies in the packets: items, tables of names, and how both are written as bytes.

CCSDS 133.0-B-2 space packets, telemetry, each ending in a CRC-16 (CCITT, as ECSS-E-ST-70-41C has it). A primary header
of 6 bytes (sequence flags and a 14-bit count for each application process) and a secondary header of 6 bytes: the time
of sensing since the mission's start in CCSDS 301.0-B-4's unsegmented code, 4 bytes of seconds and 2 of their fraction.
"""

from __future__ import annotations

import binascii
import json
import re
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.onboard.codecs import TIERS

TABLES = "tables"
APID = {TABLES: 0x50} | {tier: 0x51 + i for i, tier in enumerate(TIERS)}
STREAM = {apid: name for name, apid in APID.items()}
COUNTS = 1 << 14
PRIMARY, TIME, CRC = 6, 6, 2
OVERHEAD = PRIMARY + TIME + CRC  # bytes a packet besides its data
PACKET_BYTES = 8192  # the longest packet written, all of it
ITEM = struct.Struct(">IHHHBBII")  # number, scene, row, column, class, confidence, payload's bytes and CRC-32
RUN = struct.Struct(">HHHH")  # row, first column, tiles, milliseconds after the packet's time
CLASSES_HEAD = struct.Struct(">IH")  # number, scene
CONTINUED, FIRST, LAST, WHOLE = range(4)
CELLS_LIMIT = 1 << 22  # of one scene; a granule has 29,584 cells of 640 m, 470,596 of 160 m
_CRS = re.compile(r"EPSG:\d{1,6}\Z|(PROJCS|PROJCRS|GEOGCS|GEOGCRS|BOUNDCRS)\[")  # never a path or an address


@dataclass(frozen=True)
class Item:
    """One thing that is sent.

    Attributes
    ----------
    tile
        ``scene/row/column``.
    tier
        One of `codecs.TIERS`.
    class_name, confidence
        The network's answer; the confidence, 0 to 1, travels in one byte.
    t_sensed_s
        Seconds since the mission's start, to 15 microseconds (in runs of classes to a millisecond).
    payload
        What `codecs.encode` or `encode_alert` gave; empty for the tier ``class``.
    """

    tile: str
    tier: str
    class_name: str
    confidence: float
    t_sensed_s: float
    payload: bytes = b""

    def place(self) -> tuple[str, int, int]:
        """Scene, row, column.

        Raises
        ------
        InputError
            Another kind of name, or a row or column over 65,535.
        """
        scene, *numbers = self.tile.rsplit("/", 2)
        if len(numbers) != 2 or not scene or not all(n.isascii() and n.isdecimal() and int(n) < 65536 for n in numbers):
            raise InputError(f"tile {self.tile!r}", expected="scene/row/column, both below 65,536")
        return scene, int(numbers[0]), int(numbers[1])


@dataclass(frozen=True)
class Frame:
    """A scene's cells on the ground: what the map of it needs besides the classes.

    Attributes
    ----------
    crs, left, top, cell_m
        As in `eo.scene.grid.Grid`, of cells.
    time
        ISO 8601 in UTC, or empty where it is not known.
    """

    scene: str
    crs: str
    left: float
    top: float
    cell_m: float
    rows: int
    columns: int
    time: str = ""


@dataclass(frozen=True)
class Fault:
    """Something that did not arrive as it was sent.

    Attributes
    ----------
    kind
        ``lost``, ``damaged``, ``doubled``, ``reordered`` (still used), ``incomplete`` (an item of which segments are
        missing), ``repeated`` (an item that had come before), ``unreadable`` (bytes that are no packet), ``unnamed``
        (a table of names is missing).
    stream
        The tier, or ``tables``; empty where that cannot be told.
    count
        The packet's sequence count, -1 where there is none.
    packets
        How many.
    detail
        In words, with the tile where it is known.
    """

    kind: str
    stream: str
    count: int
    packets: int
    detail: str


def time_code(t_s: float) -> bytes:
    """4 bytes of seconds, 2 of 1/65,536 s."""
    ticks = round(t_s * 65536)
    if not 0 <= ticks < 1 << 48:
        raise InputError(f"a time of {t_s} s", expected="seconds since the mission's start, up to 136 years")
    return ticks.to_bytes(6, "big")


def time_of(code: bytes) -> float:
    """Back, seconds."""
    return int.from_bytes(code, "big") / 65536


def percent_byte(confidence: float) -> int:
    """0 to 255."""
    if not 0 <= confidence <= 1:
        raise InputError(f"confidence {confidence}", expected="0 to 1")
    return round(confidence * 255)


def packet(apid: int, flags: int, count: int, time: bytes, data: bytes) -> bytes:
    """One packet, its CRC behind it."""
    ccsds = require("spacepackets.ccsds", why="CCSDS space packets")
    head = ccsds.SpacePacketHeader.tm(
        apid=apid, seq_count=count, data_len=TIME + len(data) + CRC - 1, sec_header_flag=True,
        seq_flags=ccsds.SequenceFlags(flags),
    )  # fmt: skip
    body = bytes(ccsds.SpacePacket(head, time, data).pack())
    return body + crc16(body).to_bytes(CRC, "big")


def crc16(content: bytes) -> int:
    """CRC-16/CCITT (0x1021, all ones at the start), as ECSS-E-ST-70-41C, annex B; 0 over content with its own CRC."""
    return binascii.crc_hqx(content, 0xFFFF)


def item_body(number: int, scene: int, item: Item, code: int) -> bytes:
    """Header, then payload."""
    _, row, column = item.place()
    head = ITEM.pack(
        number, scene, row, column, code, percent_byte(item.confidence), len(item.payload), zlib.crc32(item.payload)
    )
    return head + item.payload


def tables_body(content: dict[str, Any]) -> bytes:
    """Names of classes and scenes and the counts, as JSON: it is little and says what it is."""
    return json.dumps(content, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def frame_json(frame: Frame) -> dict[str, Any]:
    """As the tables hold it."""
    return asdict(frame)


def frame_of(content: Any) -> Frame | None:
    """Back; None for what is none: a frame decides how much memory a map takes and what GDAL is asked to open."""
    try:
        frame = Frame(**content)
    except TypeError:
        return None
    counts, place = (frame.rows, frame.columns), (frame.left, frame.top, frame.cell_m)
    words = (frame.scene, frame.crs, frame.time)
    if not (all(type(n) is int for n in counts) and all(type(v) in (int, float) for v in place)):
        return None
    whole = min(counts) > 0 and max(counts) < 65536 and frame.rows * frame.columns <= CELLS_LIMIT
    somewhere = all(abs(v) < 1e8 for v in place) and 1e-3 < frame.cell_m < 1e6  # NaN is not
    known = all(isinstance(w, str) for w in words) and _CRS.match(frame.crs) is not None and len(frame.crs) < 1 << 16
    return frame if whole and somewhere and known else None
