"""Is this a JPEG 2000 codestream as we write them? Asked before a decoder sees it.

Narrower than `eo.codestream.check_stream`, which any honest file passes: one tile and one tile-part of just the
expected samples, one layer, precincts and code-blocks of ordinary size, and no other marker segments than those our
encoder writes.
"""

from __future__ import annotations

import struct

from skytrigger.core.errors import InputError
from skytrigger.eo.codestream import COD, COM, EOC, QCD, SIZ, SOD, main_header, word

_SMALLEST_PRECINCT = 5  # log2: OpenJPEG writes 8, or none at all
_MOST_LEVELS, _LARGEST_BLOCK = 10, 4  # log2 of a code-block's side, less 2


def check_codestream(stream: bytes, shape: tuple[int, int, int]) -> None:
    """Raise InputError unless `stream` is one of ours, of (components, height, width) samples of 16 bits."""

    def read(at: int, count: int) -> bytes:
        return stream[at : at + count]

    segments, at = main_header(read, 0)
    if len(stream) < 4 or word(read, len(stream) - 2) != EOC:
        raise InputError("a codestream without its end")
    for segment in segments:
        if segment.marker not in (SIZ, COD, QCD, COM):
            raise InputError(f"a codestream with the marker {segment.marker:#06x}")
        if (segment.marker == SIZ and segment.body not in _sizes(shape)) or (
            segment.marker == COD and not _ordinary(segment.body)
        ):
            raise InputError(f"a codestream that is not of {shape} samples as they are written here")
    part = stream[at + 2 : at + 14]
    expected = struct.pack(">HHIBBH", 10, 0, len(stream) - at - 2, 0, 1, SOD)
    if part != expected or not {s.marker for s in segments} >= {SIZ, COD, QCD}:
        raise InputError("a codestream of several parts, or cut off")


def _sizes(shape: tuple[int, int, int]) -> tuple[bytes, ...]:
    """What SIZ may say: columns of one pixel are written as the rows of one picture."""
    count, height, width = shape
    return (_size(shape), _size((1, count, height))) if width == 1 else (_size(shape),)


def _size(shape: tuple[int, int, int]) -> bytes:
    """SIZ as it has to be (A.5.1): one tile from the origin, 16 bits without sign, nothing subsampled."""
    count, height, width = shape
    return struct.pack(">H8IH", 0, width, height, 0, 0, width, height, 0, 0, count) + b"\x0f\x01\x01" * count


def _ordinary(body: bytes) -> bool:
    """COD (A.6.1) with one layer, no colour transformation, and blocks that take little memory."""
    if len(body) < 10:
        return False
    style, _, layers, colour, levels, wide, high, _, wavelet = struct.unpack(">BBHBBBBBB", body[:10])
    precincts = body[10:]
    if style & 1:
        known = len(precincts) == levels + 1 and all(min(p & 15, p >> 4) >= _SMALLEST_PRECINCT for p in precincts)
    else:
        known = not precincts
    small = levels <= _MOST_LEVELS and max(wide, high) <= _LARGEST_BLOCK
    return known and small and layers == 1 and colour == 0 and wavelet <= 1 and style <= 1
