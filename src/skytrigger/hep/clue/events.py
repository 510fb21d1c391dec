"""Synthetic events. Nothing here is simulated physics: shapes and occupancies are like a high-granularity
calorimeter's at 200 collisions a crossing, so that times and tunings carry over; energies are in minimum-ionising
particles (MIP), lengths in cm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator
from skytrigger.hep.clue.hitset import Hitset

INNER_RADIUS, OUTER_RADIUS = 32.0, 155.0
FINE_RADIUS = 70.0
"""Silicon cells are finer inside this radius."""
FINE_PITCH, COARSE_PITCH = 0.775, 1.175
"""Distance of neighbouring hexagonal cells of 0.52 and 1.2 cm^2."""
SHOWERS_SHARE, NOISE_SHARE = 0.2, 0.1
HITS_PER_SHOWER = 400.0
FIRST_LAYER_Z, LAYER_STEP = 322.0, 1.7


def _radii(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Radii with a density per area falling like r^-2.5, as occupancy does."""
    low, high = INNER_RADIUS**-0.5, OUTER_RADIUS**-0.5
    return np.asarray((low + rng.random(n) * (high - low)) ** -2.0)


def _shower_hits(
    rng: np.random.Generator, n: int, n_layers: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """x, y, layer and shower of n hits: showers start early, reach their maximum and widen with depth."""
    n_showers = max(1, round(n / HITS_PER_SHOWER))
    share = rng.lognormal(0, 0.7, n_showers)
    shower = np.sort(rng.choice(n_showers, n, p=share / share.sum()))
    depth_max = max(1, n_layers // 2)
    side = rng.integers(0, 2, n_showers)[shower]
    depth = rng.gamma(4.0, depth_max / 14.0, n)
    layer = np.minimum(depth.astype(np.int64), depth_max - 1)
    radius, phi = _radii(rng, n_showers), rng.random(n_showers) * 2 * np.pi
    width = 0.5 + 2.5 * layer / depth_max
    spread = rng.exponential(1.0, n) * width
    around = rng.random(n) * 2 * np.pi
    x = (radius * np.cos(phi))[shower] + spread * np.cos(around)
    y = (radius * np.sin(phi))[shower] + spread * np.sin(around)
    return x, y, np.minimum(layer + side * depth_max, n_layers - 1), shower


def _to_cells(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.int64], ...]:
    """Hexagonal cells: (fine, row, column)."""
    fine = np.hypot(x, y) < FINE_RADIUS
    pitch = np.where(fine, FINE_PITCH, COARSE_PITCH)
    row = np.rint(y / (pitch * np.sqrt(0.75))).astype(np.int64)
    column = np.rint(x / pitch - 0.5 * (row % 2)).astype(np.int64)
    return fine.astype(np.int64), row, column


def pu200_event(n_hits: int = 300_000, n_layers: int = 96, seed: int = 0) -> Hitset:
    """One synthetic crossing of exactly `n_hits` hits on `n_layers` layers, in random order.

    About an eighth of the hits are of showers (the truth), a tenth is noise spread evenly, the rest pile-up whose
    density falls with radius. Hits sit on hexagonal cells, one hit a cell: many distances are equal.
    """
    if n_hits < 1 or n_layers < 1:
        raise InputError(f"{n_hits} hits on {n_layers} layers", expected="at least one of each")
    capacity = 60_000 * n_layers
    if n_hits > capacity // 2:
        raise InputError(f"{n_hits} hits on {n_layers} layers", expected=f"at most {capacity // 2}")
    rng = generator(seed, "pu200", n_hits, n_layers)
    parts: list[tuple[NDArray[np.int64], ...]] = []
    keys = np.empty(0, np.int64)
    wanted = n_hits
    while len(keys) < n_hits:
        drawn = int(wanted * 1.3) + 64
        parts.append(_draw(rng, drawn, n_layers))
        keys = np.unique(np.concatenate([p[0] for p in parts]))
        wanted = max(n_hits - len(keys), n_hits // 50)
    key, truth, energy = (np.concatenate([p[i] for p in parts]) for i in range(3))
    order = np.lexsort((-energy, key))  # of hits in one cell, the most energetic gives the truth
    key, truth, energy = key[order], truth[order], energy[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    total = np.add.reduceat(energy.astype(np.float64) * 1e-3, first)
    chosen = rng.permutation(len(first))[:n_hits]
    cells = key[first][chosen]
    layer, fine, row, column = _unpack(cells)
    pitch = np.where(fine, FINE_PITCH, COARSE_PITCH)
    return Hitset(
        x=((column + 0.5 * (row % 2)) * pitch).astype(np.float32),
        y=(row * pitch * np.sqrt(0.75)).astype(np.float32),
        layer=layer.astype(np.int32),
        weight=total[chosen].astype(np.float32),
        z=_layer_z(layer, n_layers),
        truth=truth[first][chosen].astype(np.int32),
    )


def _layer_z(layer: NDArray[np.int64], n_layers: int) -> NDArray[np.float32]:
    half = max(1, n_layers // 2)
    side = np.where(layer < half, -1.0, 1.0)
    return np.asarray(side * (FIRST_LAYER_Z + LAYER_STEP * (layer % half)), dtype=np.float32)


def _draw(rng: np.random.Generator, n: int, n_layers: int) -> tuple[NDArray[np.int64], ...]:
    """(cell key, truth, energy in 0.001 MIP) of n hits before merging."""
    n_shower, n_noise = int(n * SHOWERS_SHARE), int(n * NOISE_SHARE)
    n_pileup = n - n_shower - n_noise
    sx, sy, slayer, shower = _shower_hits(rng, n_shower, n_layers)
    radius = np.concatenate(
        [
            _radii(rng, n_pileup),
            np.sqrt(INNER_RADIUS**2 + rng.random(n_noise) * (OUTER_RADIUS**2 - INNER_RADIUS**2)),
        ]
    )
    phi = rng.random(n_pileup + n_noise) * 2 * np.pi
    x = np.concatenate([sx, radius * np.cos(phi)])
    y = np.concatenate([sy, radius * np.sin(phi)])
    layer = np.concatenate([slayer, rng.integers(0, n_layers, n_pileup + n_noise)])
    truth = np.concatenate([shower, np.full(n_pileup + n_noise, -1)])
    energy = np.concatenate(
        [
            1.0 + rng.exponential(8.0, n_shower),
            0.5 + rng.exponential(1.5, n_pileup),
            0.5 + rng.exponential(0.15, n_noise),
        ]
    )
    inside = (np.hypot(x, y) >= INNER_RADIUS) & (np.hypot(x, y) <= OUTER_RADIUS)
    fine, row, column = _to_cells(x, y)
    key = ((layer * 2 + fine) * 1024 + row + 512) * 1024 + column + 512
    return key[inside], truth[inside], (energy * 1000).astype(np.int64)[inside]


def _unpack(key: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    column = key % 1024 - 512
    row = key // 1024 % 1024 - 512
    fine = key // (1024 * 1024) % 2
    return key // (2 * 1024 * 1024), fine, row, column


def pu200_events(n_events: int, n_hits: int = 300_000, n_layers: int = 96, seed: int = 0) -> Hitset:
    """Several crossings one after the other, with `event` 0, 1, ..."""
    events = [pu200_event(n_hits, n_layers, seed + number) for number in range(n_events)]
    if not events:
        raise InputError("no events asked for", expected="at least one")
    number = np.repeat(np.arange(n_events, dtype=np.int32), [len(e) for e in events])

    def joined(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(e, name) for e in events])

    return Hitset(**{name: joined(name) for name in ("x", "y", "layer", "weight", "z", "truth")}, event=number)  # type: ignore[arg-type]


def toy_detector(x: NDArray[np.float32], y: NDArray[np.float32], n_layers: int = 100) -> Hitset:
    """The toy detector of the CLUE study: the same layer `n_layers` times, weights 1."""
    n = len(x)
    return Hitset(
        x=np.tile(np.asarray(x, np.float32), n_layers),
        y=np.tile(np.asarray(y, np.float32), n_layers),
        layer=np.repeat(np.arange(n_layers, dtype=np.int32), n),
        weight=np.ones(n * n_layers, np.float32),
    )


def toy_layer(n: int, seed: int = 0, half_width: float = 250.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A layer like the toy detector's: n / 20 round clusters of some 20 hits on (-half_width, half_width)^2."""
    rng = generator(seed, "toy", n)
    centres = rng.uniform(-0.95 * half_width, 0.95 * half_width, (max(1, n // 20), 2))
    points = centres[rng.integers(0, len(centres), n)] + rng.normal(0, 2.5, (n, 2))
    return points[:, 0].astype(np.float32), points[:, 1].astype(np.float32)


def blobs(n: int, per_blob: int = 100, spacing: float = 4.0, seed: int = 0) -> Hitset:
    """Gaussian blobs of sigma 1, `spacing`^2 of area each, weights 1, in random order; `truth` is the blob."""
    rng = generator(seed, "blobs", n)
    count = max(1, n // per_blob)
    centres = rng.random((count, 2)) * spacing * np.sqrt(count)
    own = rng.integers(0, count, n)
    points = (centres[own] + rng.normal(size=(n, 2))).astype(np.float32)
    return Hitset(
        x=np.ascontiguousarray(points[:, 0]),
        y=np.ascontiguousarray(points[:, 1]),
        layer=np.zeros(n, np.int32),
        weight=np.ones(n, np.float32),
        truth=own.astype(np.int32),
    )
