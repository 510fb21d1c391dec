"""Is this a JPEG 2000 codestream as we write them? Asked before a decoder sees it.

One flipped bit in the header of a tile of 40 kB can state an image of a billion pixels, thousands of layers or
precincts of one pixel, and the decoder asks for all that memory (21 GB were seen). What is checked (ISO/IEC 15444-1,
annex A): one tile and one tile-part of just the expected samples, one layer, precincts and code-blocks of ordinary
size, and no other marker segments than those our encoder writes.
"""

from __future__ import annotations

import struct

from skytrigger.core.errors import InputError

_SOC, _SIZ, _COD, _QCD, _COM, _SOT, _SOD, _EOC = 0xFF4F, 0xFF51, 0xFF52, 0xFF5C, 0xFF64, 0xFF90, 0xFF93, 0xFFD9
_SMALLEST_PRECINCT = 5  # log2: OpenJPEG writes 8, or none at all
_MOST_LEVELS, _LARGEST_BLOCK = 10, 4  # log2 of a code-block's side, less 2


def check_codestream(stream: bytes, shape: tuple[int, int, int]) -> None:
    """Raise InputError unless `stream` is one of ours, of (components, height, width) samples of 16 bits."""
    found: set[int] = set()
    at = 2
    if _word(stream, 0) != _SOC or _word(stream, len(stream) - 2) != _EOC:
        raise InputError("a codestream without its beginning or its end")
    while (marker := _word(stream, at)) != _SOT:
        length = _word(stream, at + 2)
        body = stream[at + 4 : at + 2 + length]
        if marker not in (_SIZ, _COD, _QCD, _COM) or length < 2 or len(body) != length - 2:
            raise InputError(f"a codestream with the marker {marker:#06x}")
        if (marker == _SIZ and body not in _sizes(shape)) or (marker == _COD and not _ordinary(body)):
            raise InputError(f"a codestream that is not of {shape} samples as they are written here")
        found.add(marker)
        at += 2 + length
    part = stream[at + 2 : at + 14]
    expected = struct.pack(">HHIBBH", 10, 0, len(stream) - at - 2, 0, 1, _SOD)
    if part != expected or not found >= {_SIZ, _COD, _QCD}:
        raise InputError("a codestream of several parts, or cut off")


def _word(stream: bytes, at: int) -> int:
    pair = stream[at : at + 2] if at >= 0 else b""
    if len(pair) != 2:
        raise InputError("a codestream that is cut off")
    return int.from_bytes(pair, "big")


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
