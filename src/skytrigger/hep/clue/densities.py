"""Sums of densities that are exact, and so know no order.

The density of a hit is the exact sum of its (float32) weight and of factor * weight of its neighbours, factors being
multiples of 2^-20, rounded once to float32. Every float32 weight is ``m * 2^e`` with whole m; sums of the m are done
in int64, which is exact as long as they fit 63 bits. Weights that spread over more bits are cut into limbs, each
summed by itself. Rejected: float32 or float64 sums (the order shows: tile size, threads and devices would differ in
the last bit and ties would fall differently); sorting the neighbours first (twice the time).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.rules import FACTOR_BITS, Kernel, flat_factor

SUM_BITS = 62
JOINT_BITS = 31
"""Limbs of several are at most this wide, so that two of them join in an int64."""


@dataclass(frozen=True)
class FixedPoint:
    """``weight = sum over l of limb[l] * 2^(exponent + l * limb_bits)``, limbs whole and below 2^limb_bits.

    Neighbours count ``factor * 2^-factor_bits`` of their weight; a flat kernel with whole factor has factor_bits 0.
    """

    exponent: int
    limb_bits: int
    n_limbs: int
    factor_bits: int
    narrow: bool
    """Sums fit int32."""
    spent: int
    """Bits of a sum that factors and number of terms take."""

    def limb(self, weight: NDArray[np.float32], index: int) -> NDArray[np.int64]:
        """Limb `index` of every weight."""
        scaled = np.ldexp(weight.astype(np.float64), -self.exponent - index * self.limb_bits)
        if index + 1 < self.n_limbs:
            scaled = np.fmod(np.floor(scaled), 2.0**self.limb_bits)
        return np.floor(scaled).astype(np.int64)


@lru_cache(64)
def flat_bits(kernel: Kernel) -> tuple[int, int]:
    """Flat factor as ``factor * 2^-bits`` in lowest terms."""
    factor, bits = flat_factor(kernel), FACTOR_BITS
    while bits and factor % 2 == 0:
        factor, bits = factor // 2, bits - 1
    return factor, bits


def bit_range(weight: NDArray[np.float32]) -> tuple[int, int]:
    """(lowest set bit, bits above it) over all weights: every weight is a whole multiple of 2^lowest."""
    positive = weight[weight > 0].astype(np.float64)  # float32 subnormals are normal float64
    if not len(positive):
        return 0, 1
    mantissa, exponent = np.frexp(positive)
    whole = (mantissa * 2.0**24).astype(np.int64)
    trailing = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    lowest = int((exponent - 24 + trailing).min())
    return lowest, int(exponent.max()) - lowest


def plan_fixed_point(lowest: int, width: int, n_terms: int, kernel: Kernel) -> FixedPoint:
    """Limbs for weights of `width` bits above 2^`lowest`, with at most `n_terms` of them in one sum."""
    if kernel.kind == "flat":
        factor, factor_bits = flat_bits(kernel)
        factor_size = max(factor, 1 << factor_bits).bit_length()
    else:
        factor_bits = FACTOR_BITS
        factor_size = FACTOR_BITS + max(0, int(np.ceil(np.log2(max(kernel.amplitude, 1.0))))) + 1
    spent = factor_size + n_terms.bit_length()
    room = SUM_BITS - spent
    if width > room:
        room = min(room, JOINT_BITS)
    n_limbs = -(-width // room)
    return FixedPoint(
        exponent=lowest,
        limb_bits=room if n_limbs > 1 else width,
        n_limbs=n_limbs,
        factor_bits=factor_bits,
        narrow=n_limbs == 1 and width + spent <= 31,
        spent=spent,
    )


def round_sums(sums: list[NDArray[np.int64]], fixed: FixedPoint) -> NDArray[np.float32]:
    """Exact limb sums (in units of 2^-factor_bits) rounded once to float32."""
    shift = fixed.exponent - fixed.factor_bits
    if len(sums) == 1:
        top = sums[0]
        scale = np.full(top.shape, shift, np.int64)
    else:
        top, scale = _join(sums, fixed.limb_bits)
        scale += shift
    rounded = top.astype(np.float32)  # int64 to float32: one rounding
    return np.ldexp(rounded.astype(np.float64), scale).astype(np.float32)


def _join(sums: list[NDArray[np.int64]], limb_bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(leading bits, exponent) of the joined limbs; all that is cut off below shows as one sticky lowest bit."""
    mask = np.int64((1 << limb_bits) - 1)
    digits, carry = [], np.zeros_like(sums[0])
    for limb in sums:
        carry = carry + limb
        digits.append(carry & mask)
        carry = carry >> limb_bits
    while carry.any():
        digits.append(carry & mask)
        carry = carry >> limb_bits
    top, scale = np.zeros_like(sums[0]), np.zeros_like(sums[0])
    sticky = np.zeros(top.shape, bool)
    for place in range(len(digits) - 1, -1, -1):
        full = top >= np.int64(1 << 30)  # float32 needs 24 bits and one to round by
        sticky |= full & (digits[place] != 0)
        scale = np.where(full, scale, place * limb_bits)
        top = np.where(full, top, (top << limb_bits) + digits[place])
    return top | sticky, scale
