"""From parts of showers to hits: energy spots, cells, noise and threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.doublets.landau import MODE, landau
from skytrigger.hep.pid import geometry as geo
from skytrigger.hep.pid.particles import EM, HADRONIC, TRACK, Parts, Primaries
from skytrigger.hep.pid.profiles import radial_electromagnetic

SPOT_MIP = 3.1
"""Mean energy of a spot. Spots of an electromagnetic shower are gamma variates of shape 2, so that a layer of n spots
fluctuates by ``sqrt(1.5 / n)``: with 10.94 MeV a MIP, ``sqrt(1.5 x 3.1 x 0.01094) = 22.6 %/sqrt(E)``."""
HADRON_SPREAD = 0.97
"""Width of the logarithm of a hadronic spot: ``sqrt(exp(0.97^2) / n)`` is 64 %/sqrt(E) in the CE-H, the
``9 % sqrt(MeV per layer)`` of Fabjan and Gianotti, Rev. Mod. Phys. 75 (2003) 1243."""
WINDOW = 48
"""Cells on each side of what is simulated around the axis; deposits outside are lost."""
NOISY = 30
"""Cells on each side in which noise alone can make a hit."""
LANDAU_WIDTH = 0.075
"""Of a MIP's energy loss in silicon, relative to the most probable; losses are cut at 50 MIP."""
LARGEST_RADIUS = 14.0
"""cm: spots lie within."""
HADRON_CORE, HADRON_GROWTH = 1.5, 1.5
"""Radius of the hadronic part at its start, cm, and its growth, cm per lambda."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Hits of a block of showers, in order of shower and layer.

    Attributes
    ----------
    shower, layer
        int32; layers from 1.
    x, y
        float32 cm, centres of cells.
    mip
        float32 energy.
    noise
        float32 sigma, MIP.
    """

    shower: NDArray[np.int32]
    layer: NDArray[np.int32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    mip: NDArray[np.float32]
    noise: NDArray[np.float32]


def deposit(random: np.random.Generator, what: Primaries, parts: Parts) -> Cells:
    """Hits of the showers."""
    grid = _Grid(what)
    index, energy = [], []
    for kind in (EM, HADRONIC, TRACK):
        own = np.flatnonzero(parts.kind == kind)
        if len(own):
            place, mip = (_track_spots if kind == TRACK else _profile_spots)(random, what, parts, own, grid)
            index.append(place)
            energy.append(mip)
    flat: Array = np.zeros(grid.size)
    if index:
        flat = np.asarray(np.bincount(np.concatenate(index), np.concatenate(energy), grid.size), np.float64)
    return _digitise(random, flat, grid)


class _Grid:
    """Cells around each shower's axis: flat index = ((shower x 50 + layer) x WINDOW + row) x WINDOW + column."""

    def __init__(self, what: Primaries) -> None:
        n = len(what.kind)
        radius = geo.LAYER_Z / np.sinh(what.eta)[:, None]
        self.x, self.y = radius * np.cos(what.phi)[:, None], radius * np.sin(what.phi)[:, None]  # (n, 50) cm
        sensor = geo.sensor_of(radius)
        self.pitch, self.noise = geo.PITCH[sensor], geo.NOISE[sensor]
        self.column0 = np.floor(self.x / self.pitch).astype(np.int64) - WINDOW // 2
        self.row0 = np.floor(self.y / self.pitch).astype(np.int64) - WINDOW // 2
        self.size = n * geo.N_LAYERS * WINDOW * WINDOW

    def flat(
        self, row: NDArray[np.int64], repeat: NDArray[np.int64], x: NDArray[np.floating], y: NDArray[np.floating]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(flat index, inside) of places (cm, off the axis) in (shower, layer) `row`, each `repeat` times."""
        pitch = self.pitch.ravel()[row]
        at = [
            np.repeat((a.ravel()[row] / pitch - first.ravel()[row]).astype(np.float32), repeat)
            for a, first in ((self.x, self.column0), (self.y, self.row0))
        ]
        scale = np.repeat((1 / pitch).astype(np.float32), repeat)
        column, line = (np.floor(a + d * scale).astype(np.int32) for a, d in zip(at, (x, y), strict=True))
        inside = (column >= 0) & (column < WINDOW) & (line >= 0) & (line < WINDOW)
        base = np.repeat(row * (WINDOW * WINDOW), repeat)
        return base + line * WINDOW + column, inside


def _profile_spots(
    random: np.random.Generator, what: Primaries, parts: Parts, own: NDArray[np.int64], grid: _Grid
) -> tuple[NDArray[np.int64], Array]:
    """Spots of parts that have a profile: (cells, MIP)."""
    from scipy.special import gammainc

    electromagnetic = parts.kind[own[0]] == EM
    edges = geo.EDGES_X0 if electromagnetic else geo.EDGES_LAMBDA
    start, a, b = (v[own][:, None] for v in (parts.start, parts.a, parts.b))
    along = edges / what.cosine[parts.shower[own]][:, None] - start  # (m, 51)
    share = np.diff(gammainc(a, b * np.maximum(along, 0)), axis=1)
    mean = parts.visible[own][:, None] * share / (geo.MIP_WEIGHT * SPOT_MIP)
    part, layer = np.nonzero(mean > 1e-3)
    count = random.poisson(mean[part, layer])
    some = count > 0
    part, layer, count = part[some], layer[some], count[some]
    depth = np.maximum(along[part, layer] + along[part, layer + 1], 0) / 2
    core, tail, in_core = _radii(parts, own[part], layer, depth, a[part, 0], b[part, 0], electromagnetic)
    row = parts.shower[own][part] * geo.N_LAYERS + layer
    away = depth if not electromagnetic else depth / np.where(layer < geo.N_CE_E, 20.0, geo.CE_H_X0_PER_LAMBDA)
    shift_x, shift_y = (
        d[own][part] + s[own][part] * away for d, s in ((parts.dx, parts.slope_x), (parts.dy, parts.slope_y))
    )
    x, y = _throw(random, count, core, tail, in_core, shift_x, shift_y)
    place, inside = grid.flat(row, count, x, y)
    if electromagnetic:
        mip = random.standard_gamma(2.0, len(place), dtype=np.float32) / 2
    else:
        mip = np.exp(HADRON_SPREAD * random.standard_normal(len(place), dtype=np.float32) - HADRON_SPREAD**2 / 2)
    return place[inside], SPOT_MIP * mip[inside].astype(np.float64)


def _radii(
    parts: Parts,
    part: NDArray[np.int64],
    layer: NDArray[np.int64],
    depth: Array,
    a: Array,
    b: Array,
    electromagnetic: bool,
) -> tuple[Array, Array, Array]:
    """(core, tail, share of the core) of each (part, layer), cm."""
    if electromagnetic:
        core, tail, share = radial_electromagnetic(parts.energy[part], depth * b / np.maximum(a - 1, 0.1))
        return core * geo.MOLIERE[layer], tail * geo.MOLIERE[layer], share
    core = HADRON_CORE + HADRON_GROWTH * depth
    return core, 3 * core, np.full(len(depth), 0.7)


def _throw(
    random: np.random.Generator,
    count: NDArray[np.int64],
    core: Array,
    tail: Array,
    in_core: Array,
    shift_x: Array,
    shift_y: Array,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places of spots: ``r = R sqrt(u / (1 - u))`` inverts the radial profile, cut at `LARGEST_RADIUS`."""
    total = int(count.sum())
    most = [LARGEST_RADIUS**2 / (LARGEST_RADIUS**2 + r**2) for r in (core, tail)]
    share = np.repeat(in_core.astype(np.float32), count)
    which = random.random(total, dtype=np.float32) < share
    radius = np.where(which, np.repeat(core.astype(np.float32), count), np.repeat(tail.astype(np.float32), count))
    u = random.random(total, dtype=np.float32)
    u *= np.where(which, np.repeat(most[0].astype(np.float32), count), np.repeat(most[1].astype(np.float32), count))
    radius *= np.sqrt(u / (1 - u))
    angle = random.random(total, dtype=np.float32) * np.float32(2 * np.pi)
    x = radius * np.cos(angle) + np.repeat(shift_x.astype(np.float32), count)
    y = radius * np.sin(angle) + np.repeat(shift_y.astype(np.float32), count)
    return x, y


def _track_spots(
    random: np.random.Generator, what: Primaries, parts: Parts, own: NDArray[np.int64], grid: _Grid
) -> tuple[NDArray[np.int64], Array]:
    """Crossings of tracks: one Landau loss in each layer between start and stop."""
    cosine = what.cosine[parts.shower[own]][:, None]
    along = geo.EDGES_LAMBDA[1:] / cosine
    start = parts.start[own][:, None]
    part, layer = np.nonzero((along > start) & (along <= parts.stop[own][:, None]))
    away = (along - start)[part, layer]
    x, y = (d[own][part] + s[own][part] * away for d, s in ((parts.dx, parts.slope_x), (parts.dy, parts.slope_y)))
    row = parts.shower[own][part] * geo.N_LAYERS + layer
    place, inside = grid.flat(row, np.ones(len(row), np.int64), x, y)
    loss = 1 + LANDAU_WIDTH * (landau(random, (len(row),)) - MODE)
    mip = np.clip(loss, 0.1, 50.0) / cosine[part, 0]
    return place[inside], mip[inside]


def _digitise(random: np.random.Generator, flat: Array, grid: _Grid) -> Cells:
    """Noise on every hit cell, cells that are noise alone, and the threshold."""
    from scipy.special import ndtr, ndtri

    area = WINDOW * WINDOW
    hit = np.flatnonzero(flat)
    sigma = grid.noise.ravel()
    mip = flat[hit] + sigma[hit // area] * random.standard_normal(len(hit))
    keep = mip > geo.THRESHOLD * sigma[hit // area]
    tail = ndtr(-geo.THRESHOLD)
    rows = len(sigma)
    row = np.repeat(np.arange(rows), random.poisson(NOISY * NOISY * tail, rows))
    first = (WINDOW - NOISY) // 2
    line, column = random.integers(first, first + NOISY, (2, len(row)))
    alone = np.unique(row * area + line * WINDOW + column)
    alone = alone[flat[alone] == 0]
    alone_mip = -ndtri(random.random(len(alone)) * tail) * sigma[alone // area]
    cell = np.concatenate([hit[keep], alone])
    order = np.argsort(cell)
    cell, mip = cell[order], np.concatenate([mip[keep], alone_mip])[order]
    row, within = np.divmod(cell, area)
    pitch = grid.pitch.ravel()[row]
    x = (grid.column0.ravel()[row] + within % WINDOW + 0.5) * pitch
    y = (grid.row0.ravel()[row] + within // WINDOW + 0.5) * pitch
    shower, layer = np.divmod(row, geo.N_LAYERS)
    return Cells(
        shower.astype(np.int32), (layer + 1).astype(np.int32), x.astype(np.float32), y.astype(np.float32),
        mip.astype(np.float32), sigma[row].astype(np.float32),
    )  # fmt: skip
