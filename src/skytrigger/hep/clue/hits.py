"""Checked input of a clustering: what every backend is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skytrigger.core.errors import InputError

LARGEST_COORDINATE = 1e18
"""Squares of differences stay finite in float32."""

MAX_HITS = 2**31 - 64
"""Positions are int32."""


@dataclass(frozen=True)
class Hits:
    """Hits of one call.

    Attributes
    ----------
    x, y, z
        float32, contiguous, finite; z is None in two dimensions.
    weight
        float32, finite, >= 0; None: all 1.
    group
        int32, 0..n_groups-1: hits see only hits of their own (event, layer); None: one group.
    seams
        Rising positions from 0 to n at which the hits can be cut so that no group is: between groups where they come
        in order, else between events where those do. None: no such order.
    period
        Period of y, or None. (A periodic x or z has been swapped with y.)
    rhoc
        float32 threshold, one value or one per hit.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32] | None
    weight: NDArray[np.float32] | None
    group: NDArray[np.int32] | None
    n_groups: int
    seams: NDArray[np.int64] | None
    period: np.float32 | None
    rhoc: NDArray[np.float32]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.x)


def array_of(name: str, values: ArrayLike) -> NDArray[Any]:
    """`values` as a NumPy array: lists, pandas, polars, pyarrow, awkward, masked arrays, and through ``__dlpack__``
    whatever lies in host memory. A masked or missing value is refused with its index."""
    if type(values) is np.ndarray and values.dtype.kind in "fiub":
        return values
    missing = None
    try:
        if np.ma.isMaskedArray(values):
            missing = np.ma.getmaskarray(values)
        elif isinstance(getattr(values, "null_count", None), int):  # pyarrow
            missing = np.asarray(values.is_null())  # type: ignore[union-attr]
        through_dlpack = hasattr(values, "__dlpack__") and not hasattr(values, "__array__")
        array = np.from_dlpack(values) if through_dlpack else np.asarray(values)  # type: ignore[arg-type]
        if missing is None and array.dtype == object and array.ndim == 1:
            missing = np.array([v is None or (np.isscalar(v) is False and not np.ndim(v)) for v in array])
        if missing is not None and missing.any():
            bad = np.argwhere(missing)[0].tolist()
            raise InputError(f"{name}{bad} is missing", expected="a number everywhere", remedy="drop such hits")
        if array.dtype.kind not in "fiub":
            raise TypeError(f"dtype {array.dtype}")
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise InputError(
            f"{name} is not an array of numbers: {str(error).splitlines()[0]}",
            expected="a 1-D array of numbers in host memory, one a hit",
        ) from error
    return array


def coordinate(name: str, values: ArrayLike, n: int | None = None) -> NDArray[np.float32]:
    """`values` as contiguous float32 of length `n`."""
    array = array_of(name, values)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}", expected="a 1-D array")
    if n is not None and len(array) != n:
        raise InputError(f"{name} has {len(array)} values, x has {n}", expected="arrays of one length")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def one_or_each(name: str, values: ArrayLike, n: int) -> NDArray[np.float32]:
    """One value or `n`, as float32, finite."""
    array = coordinate(name, np.atleast_1d(array_of(name, values)))
    if len(array) not in (1, n):
        raise InputError(f"{name} has {len(array)} values, x has {n}", expected="one value, or one per hit")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        raise InputError(f"{name}[{bad}] = {array[bad]}", expected="finite numbers")
    return array


def number(name: str, value: Any) -> float:
    """A finite number."""
    try:
        if isinstance(value, str | bytes | bool) or np.ndim(value):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} = {value!r}", expected="a number") from None
    if not math.isfinite(result):
        raise InputError(f"{name} = {value}", expected="a finite number")
    return result


def _range(name: str, values: NDArray[np.float32], limit: float) -> tuple[float, float]:
    """Smallest and largest value; NaN, infinities and too large values are refused with their place."""
    low, high = float(values.min()), float(values.max())
    if not (low >= -limit and high <= limit):
        bad = int(np.flatnonzero(~(np.abs(values) <= limit))[0])
        raise InputError(
            f"{name}[{bad}] = {values[bad]}",
            expected=f"finite numbers of at most {limit:g}",
            remedy="drop such hits, or choose a larger unit",
        )
    return low, high


def _weights(weight: ArrayLike | None, n: int) -> NDArray[np.float32] | None:
    if weight is None:
        return None
    array = coordinate("weight", weight, n)
    if n:
        low, high = _range("weight", array, float(np.finfo(np.float32).max))
        if low < 0:
            bad = int(np.argmax(array < 0))
            raise InputError(f"weight[{bad}] = {array[bad]}", expected="weights of 0 or more")
        if high * 1024.0 * n > float(np.finfo(np.float32).max):
            raise InputError(
                f"weights up to {high:g} on {n} hits: their sum may not fit float32", remedy="choose a larger unit"
            )
    return array


def labels(name: str, values: ArrayLike, n: int) -> NDArray[np.int32] | NDArray[np.int64]:
    """Whole numbers (layers, events), given as integers or as floats without a fraction."""
    array = array_of(name, values)
    if array.ndim == 0:
        array = np.full(n, array)
    if array.ndim != 1 or len(array) != n:
        raise InputError(f"{name} has shape {array.shape}, x has {n} hits", expected="arrays of one length")
    limit = 2**53 if array.dtype.kind == "f" else 2**62  # beyond it neighbouring whole numbers are one float64
    if array.dtype.kind == "f" and n:
        with np.errstate(invalid="ignore"):
            whole = (np.abs(array) < limit) & (np.rint(array) == array)
    elif array.dtype == np.uint64 and n:
        whole = array < np.uint64(2**62)
    else:
        whole = np.ones(0, bool)
    if not whole.all():
        bad = int(np.argmin(whole))
        raise InputError(f"{name}[{bad}] = {array[bad]}", expected=f"whole numbers below 2^{limit.bit_length() - 1}")
    return array if array.dtype == np.int32 else array.astype(np.int64, copy=False)


def _dense(values: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Values renumbered from 0: by subtraction where they lie close, else by rank."""
    low, high = int(values.min()), int(values.max())
    if high - low < 2 * len(values) + 1024:
        return (values - values.dtype.type(low) if low else values), high - low + 1
    unique, inverse = np.unique(values, return_inverse=True)
    return inverse.astype(np.int64), len(unique)


def _groups(
    layer: ArrayLike | None, event: ArrayLike | None, n: int
) -> tuple[NDArray[np.int32] | None, int, NDArray[np.int64] | None]:
    """(group, number of groups, seams)."""
    parts = [labels(name, v, n) for name, v in (("event", event), ("layer", layer)) if v is not None]
    if not parts or n == 0:
        return None, 1, None
    outer, outer_count = group, count = _dense(parts[0])
    for part in parts[1:]:
        inner, inner_count = _dense(part)
        group, count = _dense(group.astype(np.int64) * inner_count + inner)
    if count == 1:
        return None, 1, None
    narrow = np.ascontiguousarray(group, dtype=np.int32)
    seams = _seams(narrow, count)
    return narrow, count, _seams(outer, outer_count) if seams is None and outer_count > 1 else seams


def _seams(values: NDArray[Any], count: int) -> NDArray[np.int64] | None:
    """Where values 0..count-1 begin, and the end; None where they fall somewhere."""
    if not (values[1:] >= values[:-1]).all():
        return None
    return np.searchsorted(values, np.arange(count + 1, dtype=values.dtype)).astype(np.int64)


def _period(period: Mapping[str, float] | None, axes: dict[str, NDArray[np.float32] | None]) -> np.float32 | None:
    """Swap the periodic axis with y (distances do not mind, see `reference.distances`) and check its range."""
    if period is None:
        return None
    if not isinstance(period, Mapping):
        raise InputError(f"period {period!r}", expected="a coordinate and its period, e.g. {'y': 2 * pi}")
    if not period:
        return None
    if len(period) != 1 or next(iter(period)) not in axes:
        raise InputError(f"period {dict(period)}", expected="one of x, y, z and its period, e.g. {'y': 2 * pi}")
    name, value = next(iter(period.items()))
    length = np.float32(number("period", value))
    if axes[name] is None:
        raise InputError("period of z without z")
    if not (math.isfinite(length) and length > 0):
        raise InputError(f"period {value}", expected="finite and above 0 as float32")
    axes[name], axes["y"] = axes["y"], axes[name]
    return length


def check_hits(
    x: ArrayLike,
    y: ArrayLike,
    z: ArrayLike | None,
    layer: ArrayLike | None,
    weight: ArrayLike | None,
    event: ArrayLike | None,
    rhoc: ArrayLike,
    period: Mapping[str, float] | None,
) -> Hits:
    """All checks of the hits, once; `InputError` names the value and what was expected."""
    first = coordinate("x", x)
    n = len(first)
    if n > MAX_HITS:
        raise InputError(f"{n} hits in one call", expected=f"at most {MAX_HITS}", remedy="split the events")
    axes: dict[str, NDArray[np.float32] | None] = {
        "x": first,
        "y": coordinate("y", y, n),
        "z": None if z is None else coordinate("z", z, n),
    }
    ranges = {name: _range(name, a, LARGEST_COORDINATE) for name, a in axes.items() if a is not None and n}
    length = _period(period, axes)
    if length is not None and n:
        name = next(iter(period or ()))
        low, high = ranges[name]
        if high - low > float(length):
            raise InputError(
                f"{name} spans {high - low:g}, more than its period {length:g}",
                remedy="fold the values into one period first",
            )
        ranges[name], ranges["y"] = ranges["y"], ranges[name]
    threshold = one_or_each("rhoc", rhoc, n)
    group, n_groups, seams = _groups(layer, event, n)
    used: list[Any] = [ranges[name] for name in ("x", "y", "z") if name in ranges]
    return Hits(
        x=first if axes["x"] is None else axes["x"],
        y=first if axes["y"] is None else axes["y"],
        z=axes["z"],
        weight=_weights(weight, n),
        group=group,
        n_groups=n_groups,
        seams=seams,
        period=length,
        rhoc=threshold,
        low=tuple(low for low, _ in used),
        high=tuple(high for _, high in used),
    )
