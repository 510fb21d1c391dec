"""Compiled loops that copy columns of hits to page-locked memory and look at them on the way; they hold no lock.

Everything is compared as whole numbers, which vectorise: `key` of a float32's bits orders like the floats, with NaNs
beyond the infinities at either end.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment,no-any-return"
from __future__ import annotations

from functools import lru_cache

import numpy as np

from skytrigger.hep.clue.compiling import compiled

I32 = np.int32
LEAST, MOST = np.int32(-(2**31)), np.int32(2**31 - 1)
MAGNITUDE = np.int32(0x7FFFFFFF)
SIGN = np.int32(31)


@lru_cache(64)
def key(value: float) -> int:
    """Whole number that orders like the float32 `value`."""
    bits = int(np.float32(value).view(np.int32))
    return bits ^ 0x7FFFFFFF if bits < 0 else bits


def of_key(number: int) -> float:
    """The float32 of a `key`."""
    bits = number ^ 0x7FFFFFFF if number < 0 else number
    return float(np.int32(bits).view(np.float32))


@compiled
def copy_floats(source, target):
    """Bits of float32 (as int32) to `target`; the least and the greatest `key`."""
    low, high = MOST, LEAST
    for i in range(len(source)):
        bits = source[i]
        target[i] = bits
        order = I32(bits ^ I32(I32(bits >> SIGN) & MAGNITUDE))
        low = min(low, order)
        high = max(high, order)
    return low, high


@compiled
def copy_whole(source, target):
    """Whole numbers to int32, which holds them."""
    for i in range(len(source)):
        target[i] = I32(source[i])


@compiled
def range_of(source):
    """The least and the greatest."""
    low = high = source[0]
    for i in range(len(source)):
        low = min(low, source[i])
        high = max(high, source[i])
    return low, high


@compiled
def find_seams(outer, seams):
    """Where each value of `outer` begins, if it rises, by halving: values in between are not looked at.

    Returns how many seams there are, the end among them; 0 where it does not rise or `seams` is too short.
    """
    n, found, place = len(outer), 0, 0
    while place < n:
        if found >= len(seams) - 1:
            return 0
        seams[found] = place
        found += 1
        value, low, high = outer[place], place, n  # value at low, more than value at high
        step = 1
        while low + step < n and outer[low + step] <= value:
            low += step
            step *= 2
        high = min(n, low + step)
        while high - low > 1:
            middle = (low + high) // 2
            if outer[middle] <= value:
                low = middle
            else:
                high = middle
        if outer[low] != value:
            return 0
        place = high
    seams[found] = n
    return found + 1


@compiled
def number_groups(outer, inner, seams, width, least, target):
    """Group ``k * width + inner - least`` of each hit of slice k, slices being between `seams` counted from the first.

    Without `inner` (no values) the group is k. Returns whether `outer` is one value in every slice.
    """
    begin, differ = seams[0], np.int64(0)
    for k in range(len(seams) - 1):
        first, last = np.uint64(seams[k] - begin), np.uint64(seams[k + 1] - begin)
        value = outer[first]
        other = value ^ value
        for i in range(first, last):
            other |= outer[i] ^ value
        differ |= np.int64(other)
        if len(inner) > 0:
            add = I32(k * width - least)
            for i in range(first, last):
                target[i] = I32(I32(inner[i]) + add)
        else:
            for i in range(first, last):
                target[i] = I32(k)
    return differ == 0


@compiled
def add_where_numbered(numbers, add):
    """Add to the numbers that are 0 or more."""
    for i in range(len(numbers)):
        numbers[i] = I32(numbers[i] + (add if numbers[i] >= 0 else I32(0)))
