"""Error detection and correction of a memory: the extended Hamming code (72, 64), as mass memories have it.

Eight check bits for each word of 64: any single flipped bit, check bits included, is found and mended; any two are
found (Hamming 1950, extended by an overall parity). Its cost is an eighth of the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError

WORD_BYTES = 8
Words = NDArray[np.uint64]
Checks = NDArray[np.uint8]
# data bit i stands at place _PLACE[i] of the code word, where the powers of two are the check bits
_PLACE = np.array([p for p in range(1, 72) if p & (p - 1)][:64], np.uint8)
_MASK = np.array([sum(1 << i for i in range(64) if _PLACE[i] >> j & 1) for j in range(7)], np.uint64)
_BIT_AT = np.full(128, -1, np.int8)
_BIT_AT[_PLACE] = np.arange(64, dtype=np.int8)


@dataclass(frozen=True)
class Mended:
    """What a scrub found.

    Attributes
    ----------
    data
        Of the length that was protected.
    corrected, beyond
        Words that were mended, and words with more flips than the code can mend, as they are.
    damaged
        (words,) bool: those beyond mending.
    """

    data: bytes
    corrected: int
    beyond: int
    damaged: NDArray[np.bool_]


def _words(data: bytes) -> Words:
    padded = data + bytes(-len(data) % WORD_BYTES)
    return np.frombuffer(padded, "<u8").astype(np.uint64)


def _checks(words: Words) -> Checks:
    """(n,) check bytes: seven parities of data bits, the eighth makes all 72 bits even."""
    found = np.zeros(len(words), np.uint8)
    for j in range(7):
        found |= (np.bitwise_count(words & _MASK[j]) & 1).astype(np.uint8) << np.uint8(j)
    overall = (np.bitwise_count(words) + np.bitwise_count(found)) & 1
    return found | overall.astype(np.uint8) << np.uint8(7)


def protect(data: bytes) -> bytes:
    """Check bytes, one for each 8 bytes of `data` (the last filled up with zeros)."""
    return _checks(_words(data)).tobytes()


def mend(data: bytes, checks: bytes) -> Mended:
    """`data` with every single flip in a word undone.

    Raises
    ------
    InputError
        `checks` is not of the length that `protect` gives.
    """
    words, stored = _words(data), np.frombuffer(checks, np.uint8)
    if len(stored) != len(words):
        raise InputError(f"{len(stored)} check bytes for {len(data)} bytes", expected=f"{len(words)}")
    syndrome = (_checks(words) ^ stored) & 0x7F
    odd = ((np.bitwise_count(words) + np.bitwise_count(stored)) & 1).astype(bool)
    bit = _BIT_AT[syndrome]
    at_data = odd & (syndrome != 0) & (bit >= 0)
    at_checks = odd & ((syndrome & (syndrome - 1)) == 0)  # a check bit itself, or the overall parity (syndrome 0)
    beyond = (~odd & (syndrome != 0)) | (odd & ~at_data & ~at_checks)
    words[at_data] ^= np.uint64(1) << bit[at_data].astype(np.uint64)
    return Mended(
        words.astype("<u8").tobytes()[: len(data)], int((at_data | at_checks).sum()), int(beyond.sum()), beyond
    )
