"""Tiles as they lie in memory to the codes that an INT8 network begins with: one pass, on the thread that calls.

Engines pick rows, quantise and turn pixels in a pass over memory each. All loops are over whole rows, so that they
become vectors; two rows of a group of rows are read ahead, because the processor's own prefetching stops where rows are
left out.
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.core.extras import require

numba = require("numba", why="codes")
ir = require("llvmlite.ir", why="codes")
cgutils = require("numba.core.cgutils", why="codes")
compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy")
AHEAD = 2  # groups of rows


@require("numba.extending", why="codes").intrinsic
def _prefetch(_: Any, array: Any, k: Any, b: Any, g: Any, x: Any) -> Any:
    """Begin to read the cache line of array[k, b, g, x]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        place = [context.cast(builder, v, t, numba.types.intp) for v, t in zip(args[1:], kinds[1:], strict=True)]
        view = context.make_array(kinds[0])(context, builder, args[0])
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        pointer = cgutils.get_item_pointer(context, builder, kinds[0], view, place, wraparound=False)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        call = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(call, [builder.bitcast(pointer, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return numba.types.void(array, k, b, g, x), generate


@compiled
def _code(value: Any, gain: Any, back: Any) -> Any:
    """See `model.input_codes`; adding 1.5 x 2^23 rounds to whole numbers, halves to even. `back`: it less the zero."""
    shifted = (np.float32(value) * gain + np.float32(12_582_912.0)) - back
    return np.uint8(min(max(shifted, np.float32(0.0)), np.float32(255.0)))


@compiled
def write_blocks(tiles: Any, gains: Any, backs: Any, row: Any, words: Any, out: Any) -> None:
    """Codes of the first rows of each group, in blocks (`model.code_blocks`).

    Parameters
    ----------
    tiles
        (n, c, groups, numbers): `row.size` of each group are read.
    gains, backs
        (c,) float32, see `_code`.
    row, words
        Room for a group's codes, uint8, and the same memory as words of a window's width.
    out
        (n, groups, across, at least c x rows), words of that width; what is beyond stays as it is.
    """
    n, channels, groups, _ = tiles.shape
    columns, across = np.uint64(row.shape[0]), np.uint64(out.shape[2])
    rows = words.shape[0] // out.shape[2]
    line = np.uint64(64 // tiles.itemsize)
    for k in range(n):
        for g in range(groups):
            later, next_group = k, g + AHEAD
            if next_group >= groups:
                later, next_group = k + 1, next_group - groups
            if later >= n or next_group >= groups:
                later, next_group = k, g
            for b in range(channels):
                for x in range(np.uint64(0), columns, line):
                    _prefetch(tiles, later, b, next_group, x)
                gain, back = gains[b], backs[b]
                for x in range(columns):
                    row[x] = _code(tiles[k, b, g, x], gain, back)
                for i in range(rows):
                    place, first = np.uint64(b * rows + i), np.uint64(i) * across
                    for x in range(across):
                        out[k, g, x, place] = words[first + x]


@compiled
def write_planes(tiles: Any, gains: Any, backs: Any, out: Any) -> None:
    """Codes of the first numbers of each group, as they lie: (n, c, groups, numbers), `out` of fewer numbers or all."""
    columns = np.uint64(out.shape[3])
    for k in range(tiles.shape[0]):
        for b in range(tiles.shape[1]):
            gain, back = gains[b], backs[b]
            for g in range(tiles.shape[2]):
                for x in range(columns):
                    out[k, b, g, x] = _code(tiles[k, b, g, x], gain, back)
