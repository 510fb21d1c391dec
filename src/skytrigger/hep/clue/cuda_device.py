"""Arithmetic of the CUDA kernels of CLUE, on a GPU and in Numba's simulator.

Products and sums of distances are rounded one by one (`__fmul_rn`, `__fadd_rn`): a fused multiply-add would differ from
the other backends in the last bit.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"
from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, cuda

from skytrigger.hep.clue.rules import FACTOR_BITS, LN2_HIGH, LN2_LOW, LOG2_E, SERIES

SIMULATED = bool(config.ENABLE_CUDASIM)
BLOCK = 8 if SIMULATED else 256
"""Threads of a block; the simulator starts a Python thread for each."""
EACH = 8
CHUNK = BLOCK * EACH
"""Values that a block sums up."""

# places in the plan of a call, an array of float64 (whole numbers up to 2^53 and float32 are exact in it): what differs
# from event to event is read from memory, so that captured launches serve the next event, too
HITS, TILES, FIRST_GROUP, OFFSET, WINDOW, THRESHOLD = range(6)
SIZES, DENSITY_REACH, SEARCH_REACH, SCALES = 6, 9, 12, 15
PLAN_LENGTH = 21

F32 = np.float32
I32 = np.int32
I64 = np.int64
INFINITY = F32(np.inf)

if SIMULATED:

    def times(a: Any, b: Any) -> Any:
        """float32 product, rounded by itself."""
        return F32(a) * F32(b)

    def plus(a: Any, b: Any) -> Any:
        """float32 sum, rounded by itself."""
        return F32(a) + F32(b)

    def root(a: Any) -> Any:
        """float32 square root, correctly rounded."""
        return np.sqrt(F32(a))

    def nearest_whole(a: Any) -> Any:
        """float32 rounded to a whole number, halves to even."""
        return np.rint(F32(a))

    def bits_of(a: Any) -> Any:
        """Bits of a float32 as int32."""
        return F32(a).view(I32)

    def scaled(a: Any, exponent: Any) -> Any:
        """float64 ``a * 2^exponent``."""
        return np.ldexp(np.float64(a), int(exponent))

    def below(a: Any) -> Any:
        """float64 rounded down to a whole number."""
        return np.floor(np.float64(a))

else:
    from numba.cuda import libdevice

    @cuda.jit(device=True)
    def times(a, b):
        """float32 product, rounded by itself."""
        return libdevice.fmul_rn(F32(a), F32(b))

    @cuda.jit(device=True)
    def plus(a, b):
        """float32 sum, rounded by itself."""
        return libdevice.fadd_rn(F32(a), F32(b))

    @cuda.jit(device=True)
    def root(a):
        """float32 square root, correctly rounded."""
        return libdevice.fsqrt_rn(F32(a))

    @cuda.jit(device=True)
    def nearest_whole(a):
        """float32 rounded to a whole number, halves to even."""
        return libdevice.rintf(F32(a))

    @cuda.jit(device=True)
    def bits_of(a):
        """Bits of a float32 as int32."""
        return libdevice.float_as_int(F32(a))

    @cuda.jit(device=True)
    def scaled(a, exponent):
        """float64 ``a * 2^exponent``."""
        return libdevice.ldexp(np.float64(a), I32(exponent))

    @cuda.jit(device=True)
    def below(a):
        """float64 rounded down to a whole number."""
        return libdevice.floor(np.float64(a))


@cuda.jit(device=True)
def apart(xj, yj, zj, xi, yi, zi, period):
    """float32 squared distance, see `reference.squares`; period 0 for none."""
    dx = xj - xi
    dy = yj - yi
    dz = zj - zi
    if period > F32(0):
        dy = abs(dy)
        dy = min(dy, period - dy)
    return plus(plus(times(dx, dx), times(dy, dy)), times(dz, dz))


@cuda.jit(device=True)
def exponential(t):
    """`rules.exponential` of one value."""
    t = min(F32(t), F32(80))
    k = nearest_whole(times(t, LOG2_E))
    r = plus(plus(t, -times(k, LN2_HIGH)), -times(k, LN2_LOW))
    p = F32(SERIES[0])
    for place in range(1, len(SERIES)):
        p = plus(times(p, r), SERIES[place])
    return F32(scaled(p, -I32(k)))


@cuda.jit(device=True)
def neighbour_factor(square, kernel):
    """`rules.neighbour_factors` of one squared distance; a kernel that is not flat."""
    kind, a, b, c = kernel
    distance = root(square)
    if kind == 2:
        away = distance - a
        factor = times(c, exponential(times(times(away, away), F32(0.5) / times(b, b))))
    else:
        factor = times(b, exponential(times(a, distance)))
    return I64(nearest_whole(times(factor, F32(1 << FACTOR_BITS))))


@cuda.jit(device=True)
def tile_of(xi, yi, zi, plan):
    """Tile coordinates of a hit."""
    ix = I64((xi - F32(plan[SCALES])) * F32(plan[SCALES + 1]))
    iy = min(I64((yi - F32(plan[SCALES + 2])) * F32(plan[SCALES + 3])), I64(plan[SIZES + 1]) - 1)
    return ix, iy, I64((zi - F32(plan[SCALES + 4])) * F32(plan[SCALES + 5]))


@cuda.jit(device=True)
def rows_around(iy, ny, reach_y, period):
    """First row and number of rows to look at, as `cpu_search.row_window`."""
    if period > F32(0):
        if 2 * reach_y + 1 >= ny:
            return I64(0), I64(ny)
        return I64(iy - reach_y), I64(2 * reach_y + 1)
    first = max(I64(0), iy - reach_y)
    return first, min(I64(ny - 1), iy + reach_y) - first + 1


@cuda.jit(device=True)
def around(row, ny):
    """A row of `rows_around`, wrapped."""
    if row < 0:
        return row + ny
    if row >= ny:
        return row - ny
    return row
