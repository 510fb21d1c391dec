"""`cluster`: one call, every backend."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skytrigger.core.errors import InputError
from skytrigger.hep.clue.hits import Hits, array_of, check_hits, coordinate, number, one_or_each
from skytrigger.hep.clue.results import Clusters, empty_clusters, merge_parts
from skytrigger.hep.clue.rules import Cuts, Kernel, Rules, resolve_cuts, resolve_rules

if TYPE_CHECKING:
    from skytrigger.hep.clue.hitset import Hitset
    from skytrigger.hep.clue.workspace import Workspace

BACKENDS = ("cpu", "reference", "kdtree", "cuda")


def cluster(
    x: ArrayLike,
    y: ArrayLike,
    layer: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    event: ArrayLike | None = None,
    z: ArrayLike | None = None,
    *,
    dc: float | None = None,
    rhoc: ArrayLike | None = None,
    seed_distance: float | None = None,
    outlier_distance: float | None = None,
    rules: str | Rules = "paper",
    kernel: Kernel | str | None = None,
    noise: ArrayLike | None = None,
    kappa: float | None = None,
    ecut: float | None = None,
    period: Mapping[str, float] | None = None,
    backend: str = "cpu",
    strategy: int = 3,
    workspace: Workspace | None = None,
    threads: int | None = None,
) -> Clusters:
    """Density clustering of hits (CLUE, Rovere et al. 2020).

    Parameters
    ----------
    x, y, z
        (n,) coordinates, used as float32: plane coordinates in one unit of length, or eta and phi. With `z` the
        distance is three-dimensional.
    layer, event
        (n,) whole numbers: hits see only hits of their own layer and event. None: all of one.
    weight
        (n,) energies >= 0, used as float32. None: all 1.
    dc
        Radius of the local density, in the unit of the coordinates, above 0 (rules `cmssw`: 1.3 cm by default). One
        that is larger than the detector is allowed: every hit then sees all of its layer, in O(n^2) time.
    rhoc
        Density that makes a seed: one value or (n,), in the unit of the weights. Rules `cmssw`: kappa * noise.
    seed_distance, outlier_distance
        Default: dc, and dc times the rules' outlier factor (2, `cluestering` 1).
    rules
        ``paper``, ``cmssw``, ``cluestering`` or a `Rules`.
    kernel
        Neighbour factor of the density, instead of the rules' own; a text as in `Kernel.parse`.
    noise, kappa, ecut
        Rules with a `kappa`: sigma of each hit's noise in the unit of the weights (one value or (n,), default 1); hits
        of less than ``ecut * noise`` take no part and come back with cluster_id -1, rho 0, delta infinite.
    period
        ``{"y": 2 * pi}``: that coordinate (one of x, y, z) wraps around.
    backend
        ``cpu`` (tiles, vectors, threads), ``cuda``, ``reference`` (brute force), ``kdtree``. All give the same result.
    strategy
        Of the backend ``cuda``, 1 to 4 (see `cuda`).
    workspace
        Buffers kept between calls (`Workspace`); spares the allocations.
    threads
        Of the backend ``cpu``; default 1. The result does not depend on it.

    Raises
    ------
    InputError
        For NaN, infinities, negative weights, arrays of different lengths, distances not above 0, an unknown name.

    Notes
    -----
    Distances are float32 with the root taken, and the nearest higher among hits at one distance is the one of highest
    index; densities are exact sums (see `densities`): the result depends on nothing but the arguments.
    No hits give no clusters.
    """
    preset = resolve_rules(rules)
    cuts = resolve_cuts(preset, dc, seed_distance, outlier_distance, kernel)
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise InputError(f"no backend called {backend!r}", expected=", ".join(BACKENDS))
    if threads is not None and (not isinstance(threads, int | np.integer) or threads < 1):
        raise InputError(f"threads = {threads!r}", expected="a whole number, 1 or more")
    n = len(coordinate("x", x))
    kept, threshold = _thresholds(preset, n, weight, rhoc, noise, kappa, ecut)
    if backend == "cuda" and strategy in (3, 4) and kept is None and z is None and period is None:
        found = _as_they_are((x, y, layer, weight, event, threshold), cuts, strategy, workspace)
        if found is not None:
            return found
    hits = check_hits(x, y, z, layer, weight, event, threshold, period)
    if kept is not None:  # checked as a whole, so that errors name the caller's hits
        every = (x, y, z, layer, weight, event, threshold)
        x, y, z, layer, weight, event, threshold = (_chosen(v, kept, n) for v in every)
        hits = check_hits(x, y, z, layer, weight, event, threshold, period)
    furthest = max((abs(v) for v in (*hits.low, *hits.high)), default=0.0)
    _warn_of_resolution(furthest, cuts, {"x": x, "y": y, "z": z})
    found = _run(hits, cuts, backend, strategy, workspace, int(threads or 1)) if len(hits) else empty_clusters(0)
    return found if kept is None else merge_parts(n, [(kept, found)])


def cluster_hits(hits: Hitset, *, three_dimensional: bool = False, **options: Any) -> Clusters:
    """`cluster` of a table: z counts if asked for, and a column of noise for rules that know noise (if not given)."""
    if three_dimensional and hits.z is None:
        raise InputError("the hits have no z", expected="z, for distances in three dimensions")
    if hits.noise is not None and resolve_rules(options.get("rules", "paper")).kappa is not None:
        options = {"noise": hits.noise} | options
    z = hits.z if three_dimensional else None
    return cluster(hits.x, hits.y, hits.layer, hits.weight, hits.event, z, **options)


def _run(hits: Hits, cuts: Cuts, backend: str, strategy: int, workspace: Workspace | None, threads: int) -> Clusters:
    if backend == "reference":
        from skytrigger.hep.clue import reference

        return reference.cluster(hits, cuts)
    if backend == "kdtree":
        from skytrigger.hep.clue import kdtree

        return kdtree.cluster(hits, cuts)
    if backend == "cuda":
        from skytrigger.hep.clue import cuda

        return cuda.cluster(hits, cuts, strategy, workspace)
    from skytrigger.hep.clue import cpu

    return cpu.cluster(hits, cuts, workspace, threads)


def _as_they_are(columns: tuple[Any, ...], cuts: Cuts, strategy: int, workspace: Workspace | None) -> Clusters | None:
    """On a GPU, the caller's arrays looked at while they are copied; None: they must be checked first."""
    from skytrigger.hep.clue import cuda
    from skytrigger.hep.clue.cuda_columns import UnusualError, columns_as_they_are
    from skytrigger.hep.clue.workspace import Workspace

    cuda.available(strategy)
    taken = columns_as_they_are(*columns)
    if taken is None:
        return None
    try:
        with (workspace or Workspace()).held() as space:
            found = cuda.cluster_columns(taken, cuts, strategy, space)
    except UnusualError:
        return None
    _warn_of_resolution(max(taken.seen), cuts, {"x": columns[0], "y": columns[1]}, stacklevel=4)
    return found


def _chosen(values: Any, kept: NDArray[np.int64], n: int) -> Any:
    """Values of the hits above the energy cut; one value for all stays."""
    array = None if values is None else array_of("values", values)
    return values if array is None or array.ndim == 0 or len(array) != n else array[kept]


def _warn_of_resolution(furthest: float, cuts: Cuts, given: Mapping[str, Any], stacklevel: int = 3) -> None:
    """A word where float32 is too coarse for dc so far from 0."""
    if float(np.spacing(np.float32(furthest))) <= 0.01 * float(cuts.dc):
        return
    for name, values in given.items():
        if values is None:
            continue
        array = array_of(name, values)
        largest = float(np.abs(array).max())
        step = float(np.spacing(np.float32(largest)))
        lost = array.dtype == np.float32 or bool((array.astype(np.float32) != array).any())
        if step > 0.01 * float(cuts.dc) and lost:
            warnings.warn(
                f"{name} reaches {largest:g}, where float32 numbers lie {step:g} apart, and dc is {cuts.dc:g}: "
                "densities may be wrong; subtract an origin near the hits first",
                RuntimeWarning,
                stacklevel=stacklevel,
            )


def _thresholds(
    rules: Rules,
    n: int,
    weight: ArrayLike | None,
    rhoc: ArrayLike | None,
    noise: ArrayLike | None,
    kappa: float | None,
    ecut: float | None,
) -> tuple[NDArray[np.int64] | None, ArrayLike]:
    """(indices of the hits above the energy cut or None for all, rhoc)."""
    if rules.kappa is None:
        if noise is not None or kappa is not None or ecut is not None:
            raise InputError(f"noise, kappa and ecut mean nothing to the rules {rules.name!r}", expected="cmssw")
        if rhoc is None:
            raise InputError("rhoc is not given", expected="a density, in the unit of the weights")
        return None, rhoc
    sigma = one_or_each("noise", 1.0 if noise is None else noise, n)
    if (sigma < 0).any():
        bad = int(np.argmax(sigma < 0))
        raise InputError(f"noise[{bad}] = {sigma[bad]}", expected="0 or more")
    times = [number("kappa", rules.kappa if kappa is None else kappa)]
    times.append(number("ecut", (rules.ecut or 0.0) if ecut is None else ecut))
    if rhoc is None:
        rhoc = np.float32(times[0]) * sigma
    energy = coordinate("weight", np.ones(n, np.float32) if weight is None else weight, n)
    weak = energy < np.float32(times[1]) * sigma
    return (np.flatnonzero(~weak) if weak.any() else None), rhoc
