"""CLUE's compiled loops as Python: `skytrigger.hep.clue.lanes` on NumPy, and no compiler.

A mutant of a compiled function must really run, and in a second, not after ten of compiling. The loops then are the
same text; only the vectors of eight under them are these. That both give the same is checked by the very tests that
judge the mutants, before there is one.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

WIDTH = 8
MASK = bool


def load(array: Any, index: Any) -> Any:
    """``array[index : index + 8]``; no wrap-around."""
    taken = array[_place(index) : int(index) + WIDTH].copy()
    if len(taken) != WIDTH:
        raise IndexError(f"lanes {index} to {index + WIDTH} of {len(array)}")
    return taken


def store(array: Any, index: Any, vector: Any) -> None:
    """``array[index : index + 8] = vector``."""
    array[_place(index) : int(index) + WIDTH] = vector


def _place(index: Any) -> int:
    if index < 0:
        raise IndexError(f"lane {index}")
    return int(index)


def broadcast(array: Any, index: Any) -> Any:
    """``array[index]`` in every lane."""
    return np.full(WIDTH, array[_place(index)], array.dtype)


def splat(scalar: Any) -> Any:
    """`scalar` in every lane."""
    return np.full(WIDTH, scalar)


def zeros_like(array: Any) -> Any:
    """Zero of the array's dtype in every lane."""
    return np.zeros(WIDTH, array.dtype)


def select(mask: Any, yes: Any, no: Any) -> Any:
    """`yes` where the mask is set, `no` elsewhere; of one type, as LLVM demands."""
    if np.asarray(mask).dtype != bool or yes.dtype != no.dtype:
        raise TypeError(f"select of {np.asarray(mask).dtype}, {yes.dtype}, {no.dtype}")
    return np.where(mask, yes, no)


def lane(vector: Any, index: Any) -> Any:
    """One lane as a scalar."""
    return vector[_place(index)]


def bits(mask: Any) -> int:
    """The mask as an integer, lane 0 in bit 0."""
    return int(np.packbits(mask, bitorder="little")[0])


def except_lane(mask: Any, index: Any) -> Any:
    """The mask without lane `index`."""
    return mask & (np.arange(WIDTH) != index)


def first_lanes(like: Any, count: Any) -> Any:
    """The mask of the first `count` lanes."""
    return np.arange(WIDTH) < count


square_root = np.sqrt
absolute = np.abs
smallest = np.min
largest = np.max


def announce(function: Any) -> None:
    """Nothing is compiled."""


def use() -> None:
    """From now on, in this process; before anything of `skytrigger.hep.clue` is imported."""
    import numba

    if any(name.startswith("skytrigger.hep.clue") for name in sys.modules):
        raise RuntimeError("CLUE is imported already")
    numba.config.DISABLE_JIT = True
    lanes = ModuleType("skytrigger.hep.clue.lanes")
    vars(lanes).update({name: value for name, value in globals().items() if not name.startswith("_")})
    sys.modules[lanes.__name__] = lanes
    from skytrigger.hep.clue import compiling

    compiling.announce = announce  # type: ignore[assignment]
