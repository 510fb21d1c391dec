"""Arrays that the compiled loops of the backend `cpu` share, in the few groups that they are handed round in."""

from __future__ import annotations

from typing import Any, NamedTuple


class Tiled(NamedTuple):
    """Hits in the order of their tiles, each an array; z and period may be None. Tile t holds hits ``bounds[t]`` to
    ``bounds[t + 1]``. `axes`: (low, scale, number of tiles) of x, y and z."""

    x: Any
    y: Any
    z: Any
    bounds: Any
    axes: Any
    period: Any


class Limits(NamedTuple):
    """What is compared with, float32: squares for the densities and for notes, distances; tiles within dc and within
    the search distance along each axis; thresholds of the density, one or one a hit."""

    inner: Any
    noted: Any
    near: Any
    search: Any
    seed_distance: Any
    outlier_distance: Any
    reach: Any
    wide_reach: Any
    zero_ties: Any
    rhoc: Any


class Sums(NamedTuple):
    """Weights as whole numbers, their sums, and how these become densities; `kernel` is None where it is flat."""

    q: Any
    sums: Any
    kernel: Any
    factor: Any
    factor_bits: Any
    scale: Any


class Notes(NamedTuple):
    """Candidates noted block after block, whether a block's fitted, lone hits, a window's rows, the sums of one block,
    and a flag that ends the loops early."""

    noted: Any
    fitted: Any
    lone: Any
    around: Any
    own: Any
    stop: Any


class Links(NamedTuple):
    """Index of each hit and its place, its rank among equals (see `ties`), density, and what is found."""

    index: Any
    place: Any
    tie: Any
    rho: Any
    delta: Any
    higher: Any
    seed: Any
    root: Any
