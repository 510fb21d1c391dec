"""Showers as a dataset of images with two heads: particle class, and energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset, labelled
from skytrigger.core.errors import InputError
from skytrigger.core.heads import Head
from skytrigger.core.synthetic import synthetic
from skytrigger.hep.pid.clustering import layer_clusters
from skytrigger.hep.pid.columns import cells_of, tracksters_of
from skytrigger.hep.pid.formats import read_tables
from skytrigger.hep.pid.geometry import CLASSES, MUON
from skytrigger.hep.pid.images import LAYOUTS, images
from skytrigger.hep.pid.simulator import Beam, simulate
from skytrigger.hep.pid.tracksters import TRUTH_COLUMNS, Tracksters, join

UNITS = "layer clusters"
IDENTITY, ENERGY = "identity", "energy"
DEFAULT_COUNT, LIMIT = 4000, 1_000_000
ROWS = 8192
"""Showers that are read at a time."""

HEADS = (
    Head(IDENTITY, "classes", CLASSES),
    Head(ENERGY, "values", ("energy",), "GeV", "gaussian"),
)


def read_showers(path: str | Path) -> Tracksters:
    """The tracksters of a file, with truth; hits are clustered where there are no clusters.

    Raises
    ------
    InputError
        See `tracksters_of`, or the file does not say what the showers are.
    """
    parts = []
    for table in read_tables(path, ROWS):
        if "cluster" in table.lists:
            parts.append(tracksters_of(table, str(path)))
            continue
        found = layer_clusters(cells_of(table, str(path)), table.rows)
        truth: dict[str, Any] = {
            k: np.asarray(v, TRUTH_COLUMNS[k]) for k, v in table.scalars.items() if k in TRUTH_COLUMNS
        }
        parts.append(replace(found, **truth).check(str(path)))
    found = join(parts)
    if found.label is None or found.true_energy is None:
        raise InputError(
            f"{path} does not say what the showers are", expected="columns label and true_energy",
            remedy="skytrigger pid run gives answers without truth",
        )  # fmt: skip
    return found


def dataset_of(found: Tracksters, layout: str, source: dict[str, Any] | None = None) -> Dataset:
    """Images of `layout` with the truth of both heads.

    Energies of muons are NaN, which training and evaluation leave out: they lose the same whatever they carry.
    """
    if found.label is None or found.true_energy is None:
        raise InputError("tracksters without truth", expected="label and true_energy")
    energy = np.where(found.label == MUON, np.nan, found.true_energy).astype(np.float32)
    targets: dict[str, NDArray[Any]] = {IDENTITY: found.label.astype(np.int64), ENERGY: energy}
    ids = [f"shower_{i}" for i in range(len(found))]
    return labelled(images(found, layout), targets, ids, LAYOUTS[layout].channels, HEADS, units=UNITS, source=source)


def load_showers(
    sources: Sequence[str],
    *,
    bands: str = "all",
    skip_bad: bool = False,
    channels: int = 0,
    seed: int = 0,
    layout: str = "ticl",
) -> Dataset:
    """Showers of a file (.parquet, .h5, .root), or ``synthetic``, ``synthetic:COUNT[:SEED]``, as images of `layout`.

    ``FILE@origin`` names another layout where a command does not choose it by the network.
    """
    if len(sources) != 1:
        raise InputError(f"--data names {len(sources)} sources", expected="one file of showers, or synthetic[:COUNT]")
    if skip_bad:
        raise InputError("--skip-bad with showers", expected="a file whose showers are all good")
    if bands != "all":
        raise InputError(f"--bands {bands} with showers", expected="all: a network takes each cluster whole")
    name, _, said = str(sources[0]).partition("@")
    layout = said or layout
    if layout not in LAYOUTS:
        raise InputError(f"no image layout called {layout!r}", expected=", ".join(LAYOUTS))
    made = synthetic(name, 4, LIMIT)
    if made:
        seed = seed if made.seed is None else made.seed
        found = join([block for block, _ in simulate(made.count or DEFAULT_COUNT, seed)])
        return dataset_of(found, layout, {"kind": "synthetic", "seed": seed, "showers": len(found), **Beam().facts})
    return dataset_of(read_showers(name), layout, source_of(name))


def source_of(path: str | Path) -> dict[str, Any]:
    """What a file says about where its showers come from."""
    facts = next(iter(read_tables(path, 1))).facts
    return {
        "kind": str(facts.get("kind", "showers")),
        "file": Path(path).name,
        **{k: v for k, v in facts.items() if k != "kind"},
    }
