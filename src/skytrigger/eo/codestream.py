"""JPEG 2000 codestreams (ISO/IEC 15444-1, annex A), looked at before a decoder sees them.

One flipped bit in a header can state an image of a billion pixels, thousands of layers or precincts of one pixel, and
the decoder asks for all that memory (21 GB were seen). So what the headers state is turned into what a decoder would
have to hold, and every tile-part must begin where the one before it ends. Flips in the coded pixels themselves cannot
be seen: the format has no checksums.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skytrigger.core.errors import InputError

SOC, SIZ, COD, COC, QCD, COM, SOT, SOD, EOC = (
    0xFF4F, 0xFF51, 0xFF52, 0xFF53, 0xFF5C, 0xFF64, 0xFF90, 0xFF93, 0xFFD9,
)  # fmt: skip
# what else a main or tile-part header may hold: CAP, PRF, CPF, RGN, QCC, POC, TLM, PLM, PLT, PPM, PPT, CRG
_OTHERS = {0xFF50, 0xFF56, 0xFF59, 0xFF5E, 0xFF5D, 0xFF5F, 0xFF55, 0xFF57, 0xFF58, 0xFF60, 0xFF61, 0xFF63}
_KNOWN = {SIZ, COD, COC, QCD, COM, *_OTHERS}
OVERHEAD_LIMIT = 1 << 27  # bytes besides the samples; a Sentinel-2 band needs less than one megabyte
LARGE_TILE = 1 << 24  # pixels: larger ones must not reach beyond the image
# What OpenJPEG 2.5 holds for each (bytes, rounded up): a tile, a component of one, a precinct of a resolution's three
# bands, a code-block
_TILE, _COMPONENT, _PRECINCT, _BLOCK = 6_000, 1_200, 900, 300

Read = Callable[[int, int], bytes]  # (offset, count) -> bytes, fewer at the end


@dataclass(frozen=True)
class Segment:
    """A marker segment: its marker, where it begins, what follows its length."""

    marker: int
    at: int
    body: bytes


@dataclass(frozen=True)
class Size:
    """SIZ (A.5.1): an image in tiles, both from the origin."""

    width: int
    height: int
    tile_width: int
    tile_height: int
    components: int

    @property
    def tiles(self) -> int:
        """Their number."""
        return math.ceil(self.width / self.tile_width) * math.ceil(self.height / self.tile_height)


def check_stream(read: Read, at: int, end: int, *, parts: bool = True) -> Size:
    """Check a codestream of samples without sign in the bytes [at, end).

    Parameters
    ----------
    parts
        Whether all tile-parts are looked at, too: a few bytes of each.

    Raises
    ------
    InputError
        It is none, states what would take much memory, or is cut off; the byte is named.
    """
    segments, begin = main_header(read, at)
    size = _size(segments[0])
    styles = [s for s in segments if s.marker == COD]
    if len(styles) != 1 or not any(s.marker == QCD for s in segments):
        raise InputError(f"byte {at}: a JPEG 2000 header without one COD and a QCD")
    _bounded(size, segments)
    if parts:
        _check_parts(read, begin, end, size)
    return size


def main_header(read: Read, at: int) -> tuple[list[Segment], int]:
    """The segments from SIZ to the first tile-part, and where that begins."""
    if word(read, at) != SOC or word(read, at + 2) != SIZ:
        raise InputError(f"byte {at}: no JPEG 2000 codestream begins here")
    segments = list(_segments(read, at + 2, SOT))
    return segments, segments[-1].at + 4 + len(segments[-1].body)


def word(read: Read, at: int) -> int:
    """Two bytes as a number."""
    pair = read(at, 2)
    if len(pair) != 2:
        raise InputError(f"byte {at}: the codestream is cut off")
    return int.from_bytes(pair, "big")


def _segments(read: Read, at: int, last: int) -> Iterator[Segment]:
    while (marker := word(read, at)) != last:
        length = word(read, at + 2)
        if marker not in _KNOWN or length < 2:
            raise InputError(f"byte {at}: the marker {marker:#06x} has no place in a JPEG 2000 header")
        body = read(at + 4, length - 2)
        if len(body) != length - 2:
            raise InputError(f"byte {at}: the codestream is cut off")
        yield Segment(marker, at, body)
        at += 2 + length


def _size(segment: Segment) -> Size:
    body, where = segment.body, f"byte {segment.at}"
    if len(body) < 39:
        raise InputError(f"{where}: SIZ of {len(body)} bytes")
    _, width, height, left, top, tile_width, tile_height, tile_left, tile_top, count = struct.unpack(">H8IH", body[:36])
    if left or top or tile_left or tile_top or not (width and height and tile_width and tile_height):
        raise InputError(f"{where}: SIZ states an image or tiles that do not begin at the origin, or are empty")
    samples = [body[36 + 3 * k : 39 + 3 * k] for k in range(count)]
    if not count or len(body) != 36 + 3 * count or any(s[0] > 15 or s[1:] != b"\1\1" for s in samples):
        raise InputError(f"{where}: SIZ states {count} components, some not of whole samples of 1 to 16 bits")
    if tile_width * tile_height > max(width * height, LARGE_TILE):  # GDAL makes room for whole tiles
        raise InputError(f"{where}: SIZ states tiles of {tile_width} x {tile_height} in {width} x {height} pixels")
    return Size(width, height, min(tile_width, width), min(tile_height, height), count)


def _bounded(size: Size, segments: list[Segment]) -> None:
    """Memory for the tiles' headers and for one tile, besides its samples."""
    where = segments[0].at
    held = size.tiles * (_TILE + size.components * _COMPONENT)
    if held > OVERHEAD_LIMIT:
        raise InputError(f"byte {where}: SIZ states {size.tiles} tiles", expected="a few hundred")
    layers = 1
    for segment in segments:
        if segment.marker == COD:
            layers = _layers(segment)
    for segment in segments:
        if segment.marker in (COD, COC):
            held = _tile_memory(size, segment, layers) * size.components
            if held > OVERHEAD_LIMIT:
                raise InputError(
                    f"byte {segment.at}: layers, precincts and code-blocks that take {held >> 20} MB for one tile of "
                    f"{size.tile_width} x {size.tile_height} pixels",
                    expected=f"at most {OVERHEAD_LIMIT >> 20} MB",
                )


def _layers(segment: Segment) -> int:
    """Of COD (A.6.1)."""
    if len(segment.body) < 10:
        raise InputError(f"byte {segment.at}: COD of {len(segment.body)} bytes")
    style, order, layers, colour = struct.unpack(">BBHB", segment.body[:5])
    if style > 7 or order > 4 or colour > 1 or not layers:
        raise InputError(f"byte {segment.at}: COD states {layers} layers in the order {order}, style {style}")
    return int(layers)


def _tile_memory(size: Size, segment: Segment, layers: int) -> int:
    """Bytes that a decoder holds for one component of the largest tile, besides samples (COD or COC)."""
    body, where = segment.body, f"byte {segment.at}"
    skip = 5 if segment.marker == COD else 1 if size.components < 257 else 2
    style = body[0] if segment.marker == COD else body[skip] if len(body) > skip else 0
    if len(body) < (begin := skip if segment.marker == COD else skip + 1) + 5:
        raise InputError(f"{where}: a coding style of {len(body)} bytes")
    levels, wide, high, _, wavelet, *precincts = body[begin:]
    if levels > 32 or wide > 8 or high > 8 or wide + high > 8 or wavelet > 1:
        raise InputError(
            f"{where}: {levels} decompositions by wavelet {wavelet}, code-blocks of 2^{wide + 2} x 2^{high + 2}"
        )
    if len(precincts) != (levels + 1 if style & 1 else 0):
        raise InputError(f"{where}: {len(precincts)} sizes of precincts for {levels + 1} resolutions")
    most, held = 0, 0
    for r in range(levels + 1):
        width, height = (math.ceil(n / 2 ** (levels - r)) for n in (size.tile_width, size.tile_height))
        across, down = (precincts[r] & 15, precincts[r] >> 4) if precincts else (15, 15)
        if r and not (across and down):
            raise InputError(f"{where}: precincts of one pixel")
        count = math.ceil(width / 2**across) * math.ceil(height / 2**down)
        half = 1 if r else 0  # bands of a resolution are half as wide as it is
        block = 2 ** min(wide + 2 + half, across) * 2 ** min(high + 2 + half, down)
        held += count * _PRECINCT + math.ceil(width * height / block) * 3 * _BLOCK
        most = max(most, count)
    return held + 2 * (layers + 1) * (levels + 1) * most


def _check_parts(read: Read, at: int, end: int, size: Size) -> None:
    """Each tile-part ends where the next begins or the stream ends, and every tile has one."""
    seen = bytearray(size.tiles)
    while at < end:
        marker = word(read, at)
        if marker == EOC:
            break
        header = read(at + 2, 10)
        if marker != SOT or len(header) != 10 or header[:2] != b"\0\x0a":
            raise InputError(f"byte {at}: no tile-part begins here: the file is damaged or cut off")
        tile, length = struct.unpack(">HI", header[2:8])
        length = length or end - at
        if tile >= size.tiles or not 14 <= length <= end - at:
            raise InputError(
                f"byte {at}: a tile-part of {length} bytes of tile {tile}, where {end - at} bytes of the file and "
                f"{size.tiles} tiles are left",
            )
        for segment in _segments(read, at + 12, SOD):
            if segment.marker in (SIZ, COD, COC):
                raise InputError(f"byte {segment.at}: a tile with a coding of its own")
            if segment.at + 4 + len(segment.body) >= at + length:
                raise InputError(f"byte {segment.at}: a header longer than its tile-part")
        seen[tile] = 1
        at += length
    if not all(seen):
        raise InputError(f"byte {min(at, end)}: the codestream ends before tile {seen.index(0)} of {size.tiles}")
