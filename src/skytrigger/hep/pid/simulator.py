"""The shower simulator: primaries to hits and layer clusters, the same on any number of processes.

It models the detector of `geometry` with the profiles of `profiles`; docs/pid.md says what it leaves out and how its
checks came out. Figures on its showers compare networks and engines; they say nothing about physics.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator
from skytrigger.hep.clue.workspace import Workspace
from skytrigger.hep.pid.clustering import layer_clusters
from skytrigger.hep.pid.deposits import Cells, deposit
from skytrigger.hep.pid.geometry import CLASSES
from skytrigger.hep.pid.particles import Primaries, parts_of
from skytrigger.hep.pid.tracksters import Tracksters

VERSION = 1
"""Of the simulated physics: rises whenever a seed gives other showers."""
BLOCK = 64
"""Showers that share a random stream; more leave the cache."""


@dataclass(frozen=True)
class Beam:
    """What is shot.

    Attributes
    ----------
    energy
        Range in GeV, uniform.
    eta
        Range, uniform; phi is uniform all around.
    mix
        Shares of `CLASSES`.
    pileup
        Mean number of other collisions at the same time.
    """

    energy: tuple[float, float] = (25.0, 400.0)
    eta: tuple[float, float] = (1.7, 2.7)
    mix: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    pileup: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.energy
        if not 1.0 <= low <= high <= 2000.0:
            raise InputError(f"energies from {low:g} to {high:g} GeV", expected="1 to 2000 GeV, the lower one first")
        low, high = self.eta
        if not 1.5 <= low <= high <= 3.0:
            raise InputError(f"eta from {low:g} to {high:g}", expected="1.5 to 3.0, the lower one first")
        shares = np.asarray(self.mix, float)
        if (
            len(shares) != len(CLASSES)
            or not (shares >= 0).all()
            or not math.isfinite(shares.sum())
            or not shares.sum()
        ):
            raise InputError(
                f"particle mix {self.mix}", expected=f"one share of 0 or more for each of {', '.join(CLASSES)}"
            )
        if not 0 <= self.pileup <= 1000:
            raise InputError(f"pile-up of {self.pileup:g} collisions", expected="0 to 1000")

    @property
    def facts(self) -> dict[str, Any]:
        """As files keep it."""
        return {**asdict(self), "simulator": VERSION}


def primaries(random: np.random.Generator, n: int, beam: Beam) -> Primaries:
    """Draw `n` of them."""
    shares = np.cumsum(beam.mix) / np.sum(beam.mix)
    kind = np.searchsorted(shares, random.random(n), side="right").astype(np.int64)
    return Primaries(
        kind, random.uniform(*beam.energy, n), random.uniform(*beam.eta, n), random.uniform(-np.pi, np.pi, n)
    )


def block(start: int, size: int, seed: int, beam: Beam) -> tuple[Primaries, Cells]:
    """Showers ``start : start + size`` (whole blocks of `BLOCK`; a shorter one is cut off, not drawn anew)."""
    random = generator(seed, "pid", "simulate", start)
    what = primaries(random, BLOCK, beam)
    cells = deposit(random, what, parts_of(random, what, beam.pileup))
    if size < BLOCK:
        what = Primaries(what.kind[:size], what.energy[:size], what.eta[:size], what.phi[:size])
        kept = cells.shower < size
        cells = Cells(*(v[kept] for v in vars(cells).values()))
    return what, cells


def with_truth(found: Tracksters, what: Primaries) -> Tracksters:
    """`found` with the primaries' kinds, energies and directions."""
    energy, eta, phi = (v.astype(np.float32) for v in (what.energy, what.eta, what.phi))
    return replace(found, label=what.kind.astype(np.int8), true_energy=energy, true_eta=eta, true_phi=phi)


def _work(start: int, count: int, seed: int, beam: Beam, hits: bool) -> tuple[Tracksters, Cells | None]:
    size = min(BLOCK, count - start)
    what, cells = block(start, size, seed, beam)
    return with_truth(layer_clusters(cells, size, _workspace()), what), cells if hits else None


_kept: list[Workspace] = []


def _workspace() -> Workspace:
    """This process's own."""
    if not _kept:
        _kept.append(Workspace())
    return _kept[0]


def simulate(
    count: int, seed: int = 0, beam: Beam | None = None, *, processes: int = 1, hits: bool = False
) -> Iterator[tuple[Tracksters, Cells | None]]:
    """Blocks of `count` showers in order: tracksters with truth and, where asked for, hits (`shower` counts from 0 in
    each block).

    Raises
    ------
    InputError
        Nothing to simulate, or no process to do it.
    """
    if count < 1 or processes < 1:
        raise InputError(f"{count} showers on {processes} processes", expected="at least 1 of each")
    work = partial(_work, count=count, seed=seed, beam=beam or Beam(), hits=hits)
    starts = range(0, count, BLOCK)
    if processes == 1 or len(starts) == 1:
        yield from map(work, starts)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, starts, chunksize=4)
