"""A model of pixel-hit doublets: the embedded default data, and the only data of the origin's 20 channels.

A track's ionisation is followed through a tilted sensor step by step: Landau charge, Lorentz drift,
diffusion, noise, threshold, 8-bit digitisation, clustering. True pairs share the track; fakes take two
hits of different tracks, some of which do not come from the collision. Numbers of the population below
were tuned on training doublets of the CMS file until the cluster shapes agree (tests/doublets/test_simulator.py
holds the agreement); the result is a model of those shapes, not of a detector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset, content_hash
from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator
from skytrigger.hep.doublets.landau import MODE, landau
from skytrigger.hep.doublets.reader import CLASSES, PAD, UNITS, doublet_dataset

# The sensor (CMS phase-1 pixels; lengths in micrometres, charges in electrons)
THICKNESS = 285.0
PITCH_COLUMN, PITCH_ROW = 100.0, 150.0
LORENTZ = 0.106 * 3.8  # tangent per tesla, times the field
MOST_PROBABLE = 76.0  # per micrometre
LANDAU_WIDTH = 4.9  # per micrometre: 0.153 MeV cm2/g x Z/A x density / 3.62 eV (PDG 2022, eq. 34.12)
DIFFUSION = 5.0
NOISE, THRESHOLD = 175.0, 2000.0
PER_COUNT, COUNTS = 135.0, 255
STEPS = 40
GRID = 32  # pixels on each side before the pad is cut out; longer clusters lose their ends
BLOCK = 1024

# The 20 channels: inner and outer hit, one of ten layers each
LAYERS = ("BPIX1", "BPIX2", "BPIX3", "BPIX4", "FPIX1+", "FPIX2+", "FPIX3+", "FPIX1-", "FPIX2-", "FPIX3-")
CHANNELS_20 = tuple(f"{hit}_{layer}" for hit in ("inner", "outer") for layer in LAYERS)
DEFAULT_COUNT = 20_000


@dataclass(frozen=True)
class Population:
    """Where tracks go. Slopes are tangents of the incidence angle, along rows and columns.

    Attributes
    ----------
    barrel_share
        Inner hits that lie in the barrel; the others, and all outer hits, lie on the disks.
    barrel_low, barrel_high
        Pseudorapidity of tracks from barrel to disk.
    disk_row, disk_column, barrel_column, spread
        Mean slopes (disks are turned by about 20 degrees) and the modules' spread about them.
    bend
        Spread of the slope along columns by the tracks' curvature.
    stray_inner, stray_outer
        Hits in fakes that are of secondaries and loopers.
    stray_row, stray_column
        Scale of their slopes.
    overlap_true, overlap_fake
        Hits whose cluster has swallowed a second particle's, one or two pixels away.
    gain_spread
        Relative, after calibration.
    """

    barrel_share: float = 0.42
    barrel_low: float = 1.15
    barrel_high: float = 2.42
    disk_row: float = 0.47
    disk_column: float = 0.2
    barrel_column: float = -0.22
    spread: float = 0.16
    bend: float = 0.1
    stray_inner: float = 0.4
    stray_outer: float = 0.36
    stray_row: float = 1.0
    stray_column: float = 0.6
    overlap_true: float = 0.07
    overlap_fake: float = 0.19
    gain_spread: float = 0.04


def simulate(count: int, seed: int = 0, channels: int = 2, population: Population | None = None) -> Dataset:
    """`count` doublets, half of them true, in random order.

    Parameters
    ----------
    channels
        2: the inner and the outer pad. 20: those pads at the channels of their layers (`CHANNELS_20`),
        all others empty.

    Returns
    -------
    Dataset
        `x` (count, channels, 16, 16) float16 electrons.
    """
    if count < 2:
        raise InputError(f"{count} simulated doublets", expected="at least 2")
    if channels not in (2, len(CHANNELS_20)):
        raise InputError(f"{channels} channels", expected=f"2 or {len(CHANNELS_20)}")
    people = population or Population()
    pads, y, layers = [], [], []
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        random = generator(seed, "doublets", "simulate", start)
        label = (np.arange(start, start + size) % 2).astype(np.int64)
        random.shuffle(label)
        inner, outer, pair = _slopes(random, label == 1, people)
        overlap = np.where(label == 1, people.overlap_true, people.overlap_fake)
        hits = [clusters(random, s, random.random(size) < overlap, people.gain_spread) for s in (inner, outer)]
        pads.append(np.stack(hits, axis=1))
        y.append(label)
        layers.append(pair)
    x, labels, pair = np.concatenate(pads), np.concatenate(y), np.concatenate(layers)
    source = {"kind": "synthetic", "simulator": "pixel doublets", "seed": seed, "count": count}
    if channels == 2:
        return doublet_dataset(x, labels, source)
    wide = np.zeros((count, channels, PAD, PAD), dtype=np.float16)
    rows = np.arange(count)
    wide[rows, pair[:, 0]] = x[:, 0]
    wide[rows, len(LAYERS) + pair[:, 1]] = x[:, 1]
    ids = tuple(f"doublet_{i}" for i in range(count))
    digest = content_hash(wide, labels, ids, CHANNELS_20, CLASSES)
    return Dataset(wide, labels, ids, CHANNELS_20, CLASSES, digest, UNITS, source=source)


@dataclass(frozen=True)
class Incidence:
    """Slopes (n,) along rows and along columns, drift included."""

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    drift: NDArray[np.float64]


def _slopes(
    random: np.random.Generator, true: NDArray[np.bool_], p: Population
) -> tuple[Incidence, Incidence, NDArray[np.int64]]:
    """Incidence at the inner and the outer hit, and the pair's layers (n, 2)."""
    n = len(true)
    barrel = random.random(n) < p.barrel_share
    side = random.choice([-1.0, 1.0], n)
    hits = []
    eta = bend = np.zeros(0)
    for outer in (False, True):
        fresh_eta = random.uniform(p.barrel_low, p.barrel_high, n)
        fresh_bend = random.normal(0, p.bend, n)
        # a fake's outer hit is of another track
        eta = np.where(true & outer, eta, fresh_eta) if outer else fresh_eta
        bend = np.where(true & outer, bend, fresh_bend) if outer else fresh_bend
        in_barrel = barrel & (not outer)
        # on a disk the track's own polar angle adds to the tilt: tan(theta) = 1 / sinh(eta), any azimuth
        polar = np.cos(random.uniform(0, 2 * math.pi, n)) / np.sinh(eta) * 0.3
        row = np.where(in_barrel, np.sinh(eta), p.disk_row + polar) + random.normal(0, p.spread, n)
        column = np.where(in_barrel, p.barrel_column, p.disk_column) + bend + random.normal(0, p.spread, n)
        stray = ~true & (random.random(n) < (p.stray_outer if outer else p.stray_inner))
        row = np.where(stray, random.exponential(p.stray_row * np.where(in_barrel, 2.0, 1.0)), row)
        column = np.where(stray, column + random.laplace(0, p.stray_column, n), column)
        drift = np.where(in_barrel, LORENTZ, LORENTZ * math.sin(math.radians(20.0)))
        hits.append(Incidence(side * row, column, drift))
    disk = random.integers(0, 2, n)
    plus = np.where(side > 0, 4, 7)
    inner_layer = np.where(barrel, random.integers(0, 3, n), plus + disk)
    outer_layer = np.where(barrel, plus, plus + disk + 1)
    return hits[0], hits[1], np.stack([inner_layer, outer_layer], axis=1)


def clusters(
    random: np.random.Generator, at: Incidence, overlap: NDArray[np.bool_], gain_spread: float
) -> NDArray[np.float16]:
    """(n, 16, 16) float16 calibrated charges of one cluster each, its barycentre in pixel (8, 8)."""
    charge = _collected(random, at)
    second = np.flatnonzero(overlap)
    beside = random.uniform(-1.5, 1.5, (len(second), 2))
    charge[second] += _collected(random, Incidence(at.row[second], at.column[second], at.drift[second]), beside)
    flat = charge.reshape(-1)
    hit = np.flatnonzero(flat)
    seen = flat[hit] + random.normal(0, NOISE, len(hit))
    counts = np.minimum(np.rint(seen / PER_COUNT), COUNTS)
    gain = 1 + gain_spread * random.standard_normal(len(hit))
    flat[hit] = np.where(seen > THRESHOLD, counts * PER_COUNT * gain, 0)
    return _centred(_largest(charge)).astype(np.float16)


def _collected(
    random: np.random.Generator, at: Incidence, beside: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(n, GRID, GRID) electrons under each pixel, before noise, of tracks `beside` (n, 2) pixels off the middle one."""
    n = len(at.row)
    start = GRID / 2 + random.random((n, 2)) + (0 if beside is None else beside)
    depth = (np.arange(STEPS) + 0.5) / STEPS - 0.5
    path = THICKNESS * np.sqrt(1 + at.row**2 + at.column**2)[:, None] / STEPS  # of one step
    width = LANDAU_WIDTH * path
    # shares of one Landau loss: summed over the steps this is the distribution of the whole path
    loss = width * (landau(random, (n, STEPS)) - MODE + np.log(width / (LANDAU_WIDTH * THICKNESS)))
    electrons = np.maximum(loss + MOST_PROBABLE * path, 0)
    shares = []
    for axis, (slope, pitch) in enumerate(((at.row, PITCH_ROW), (at.column + at.drift, PITCH_COLUMN))):
        place = start[:, axis, None] + depth * (slope * THICKNESS / pitch)[:, None]
        shares.append(_two_pixels(place, DIFFUSION / pitch))
    flat = np.zeros(n * GRID * GRID)
    base = np.arange(n)[:, None] * GRID * GRID
    for row, row_share in shares[0]:
        for column, column_share in shares[1]:
            inside = (row >= 0) & (row < GRID) & (column >= 0) & (column < GRID)
            index = (base + row * GRID + column)[inside]
            flat += np.bincount(index, (electrons * row_share * column_share)[inside], len(flat))
    return flat.reshape(n, GRID, GRID)


def _two_pixels(place: NDArray[np.float64], sigma: float) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Pixel numbers and shares of clouds of width `sigma` (pitches): their own pixel's and the nearer neighbour's."""
    from scipy.special import ndtr

    own = np.floor(place).astype(np.int64)
    within = place - own
    upper = within > 0.5
    neighbour: NDArray[np.float64] = ndtr(-np.where(upper, 1 - within, within) / sigma)
    return [(own, 1 - neighbour), (np.where(upper, own + 1, own - 1), neighbour)]


def _largest(charge: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each image only the connected cluster (8 neighbours) with the most charge."""
    from scipy.ndimage import label

    structure = np.zeros((3, 3, 3), dtype=int)
    structure[1] = 1
    number, found = label(charge > 0, structure)
    total = np.bincount(number.ravel(), charge.ravel(), found + 1)
    total[0] = 0
    best = total[number].reshape(len(charge), -1).max(axis=1)
    kept: NDArray[np.float64] = np.where(total[number] >= best[:, None, None], charge, 0) * (number > 0)
    return kept


def _centred(charge: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, PAD, PAD) cut out around the barycentre."""
    total = np.maximum(charge.sum(axis=(1, 2)), 1e-9)
    index = np.arange(GRID)
    middles = [np.rint((charge.sum(axis=other) @ index) / total).astype(int) for other in (2, 1)]
    rows, columns = (m[:, None] + np.arange(-PAD // 2, PAD // 2) for m in middles)
    inside = ((rows >= 0) & (rows < GRID))[:, :, None] & ((columns >= 0) & (columns < GRID))[:, None, :]
    rows, columns = rows.clip(0, GRID - 1), columns.clip(0, GRID - 1)
    cut: NDArray[np.float64] = charge[np.arange(len(charge))[:, None, None], rows[:, :, None], columns[:, None, :]]
    cut *= inside
    return cut
