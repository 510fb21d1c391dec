"""Run by `test_cuda_packs.py` in a process of its own: many events in one call, in the simulator or on a GPU."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.hep.clue import Workspace, cluster
from skytrigger.hep.clue import cuda as backend

FIELDS = ("rho", "delta", "nearest_higher", "is_seed", "cluster_id")
CUTS = {"dc": 1.0, "rhoc": 2.0, "outlier_distance": 2.0}


def events(rng: np.random.Generator, sizes: list[int], whole: Any = np.int32) -> dict[str, np.ndarray]:
    """Events of so many hits each (0: an event number that is left out), each with a number of layers of its own."""
    event = np.repeat(np.arange(len(sizes)) * 7 - 3, sizes).astype(whole)
    layers = rng.integers(1, 5, len(sizes))
    layer = np.concatenate([rng.integers(-1, count, size) for count, size in zip(layers, sizes, strict=True)])
    n = len(event)
    x, y = (rng.integers(0, 12, (2, n)) / 3).astype(np.float32)
    weight = (rng.integers(0, 4, n) / 2).astype(np.float32)
    return {"x": x, "y": y, "layer": layer.astype(whole), "weight": weight, "event": event}


def cases(rng: np.random.Generator, size: int) -> dict[str, dict[str, np.ndarray]]:
    """Names and columns; most of the types that are taken as they are."""
    plain = events(rng, [size, 2 * size, size // 2])
    unequal = events(rng, [1, 0, size, 1, 0, 3 * size, 1, size // 2, 1], np.int64)
    shuffled = {k: v[np.argsort(rng.random(len(plain["x"])))] for k, v in plain.items()}
    layers = plain | {"event": None, "layer": np.sort(plain["layer"])}
    return {
        "plain": plain,
        "one hit, empty, unequal": unequal,
        "events of one hit": events(rng, [1] * (size // 2)),
        "no layers": plain | {"layer": None},
        "no weights": plain | {"weight": None},
        "layers in order": layers,
        "layers in no order": shuffled | {"event": None},
        "events in no order": shuffled,
        "far layers": plain | {"layer": plain["layer"].astype(np.int64) * 2**40},
        "many layers": plain | {"layer": plain["layer"] * 100_000},
        "rising, but for one": plain | {"event": np.where(np.arange(len(plain["x"])) == size // 2, 2, plain["event"])},
        "other types": {k: v.astype(np.float64) for k, v in plain.items()},
        "every other": {k: np.repeat(v, 2)[::2] for k, v in plain.items()},
        "minus nothing": plain | {"weight": np.where(plain["weight"] == 0, np.float32(-0.0), plain["weight"])},
        "one hit": {k: v[:1] for k, v in plain.items()},
    }


def refused(columns: dict[str, np.ndarray]) -> None:
    """What is wrong is found in any pack, and said as ever; the workspace works on."""
    space = Workspace()
    n = len(columns["x"])
    wrongs = [("x", 0, np.nan), ("y", n - 1, -np.inf), ("y", n // 2, 2e18), ("weight", n // 2, -1.0)]
    wrongs += [("weight", n - 1, np.nan), ("weight", 3, 1e38), ("x", 5, -np.float32(np.nan))]
    for name, place, bad in wrongs:
        wrong = columns[name].copy()
        wrong[place] = bad
        said = []
        for how in ({}, {"backend": "cuda", "strategy": 3}, {"backend": "cuda", "strategy": 4}):
            try:
                cluster(**columns | {name: wrong}, **CUTS, workspace=space, **how)
                said.append("nothing")
            except InputError as error:
                said.append(str(error))
        assert said == said[:1] * 3, said
        assert said[0] != "nothing", (name, place)
    agree("after errors", columns, space)


def agree(name: str, columns: dict[str, Any], space: Workspace) -> None:
    """All strategies against brute force, with and without what the workspace kept."""
    expected = cluster(**columns, **CUTS, backend="reference")
    for strategy in (4, 3):
        found = cluster(**columns, **CUTS, backend="cuda", strategy=strategy, workspace=space)
        for field in FIELDS:
            a, b = getattr(expected, field), getattr(found, field)
            assert a.dtype == b.dtype
            assert np.array_equal(a, b), (name, strategy, field, np.flatnonzero(a != b)[:5])


SHORT = ("plain", "one hit, empty, unequal", "layers in order", "no layers", "far layers")


def main(size: int, pack: int, short: bool) -> None:
    """Cases of events of about `size` hits in packs of about `pack`; a few of them where that takes long."""
    backend.PACK_HITS = (pack, pack)
    rng = np.random.default_rng(size)
    space, made = Workspace(), cases(rng, size)
    for name, columns in made.items():
        if not short or name in SHORT:
            agree(name, columns, space)
    if not short:
        refused(made["plain"])
    print(f"{len(made)} agree")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), sys.argv[3:] == ["short"])
