"""Showers as named columns: what the file formats write and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.hep.pid import geometry as geo
from skytrigger.hep.pid.deposits import Cells
from skytrigger.hep.pid.tracksters import CLUSTER_COLUMNS, TRUTH_COLUMNS, Clusters, Tracksters

HIT_COLUMNS = {"x": np.float32, "y": np.float32, "layer": np.int16, "mip": np.float32, "noise": np.float32}
GROUPS = {"cluster": CLUSTER_COLUMNS, "hit": HIT_COLUMNS}


@dataclass(frozen=True)
class Lists:
    """Columns of lists: row i holds ``offsets[i] : offsets[i + 1]`` of each."""

    offsets: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Table:
    """Rows of showers.

    Attributes
    ----------
    rows
        How many.
    scalars
        One number a row, of `TRUTH_COLUMNS`.
    lists
        ``cluster`` and ``hit``, or one of them.
    facts
        How the showers were made; kept in the file.
    """

    rows: int
    scalars: Mapping[str, NDArray[Any]]
    lists: Mapping[str, Lists]
    facts: Mapping[str, Any] = field(default_factory=dict)


def table_of(showers: Sequence[tuple[Tracksters, Cells | None]], clusters: bool = True) -> Table:
    """Blocks of `simulate` as one table, with hits where the blocks have them."""
    found = [t for t, _ in showers]
    scalars = {
        name: np.concatenate([getattr(t, name) for t in found]).astype(dtype)
        for name, dtype in TRUTH_COLUMNS.items()
        if found[0].label is not None
    }
    lists = {}
    if clusters:
        columns = {n: [getattr(t.clusters, n) for t in found] for n in CLUSTER_COLUMNS}
        lists["cluster"] = _lists([t.counts for t in found], columns)
    cells = [c for _, c in showers if c is not None]
    if cells:
        counts = [np.bincount(c.shower, minlength=len(t)) for t, c in showers if c is not None]
        lists["hit"] = _lists(counts, {n: [getattr(c, n).astype(d) for c in cells] for n, d in HIT_COLUMNS.items()})
    return Table(sum(map(len, found)), scalars, lists)


def _lists(counts: Sequence[NDArray[np.int64]], columns: Mapping[str, Sequence[NDArray[Any] | None]]) -> Lists:
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    kept = {name: [a for a in arrays if a is not None] for name, arrays in columns.items()}
    return Lists(offsets, {name: np.concatenate(arrays) for name, arrays in kept.items() if arrays})


def tracksters_of(table: Table, where: str) -> Tracksters:
    """The layer clusters of a table, checked.

    Needed: ``cluster_energy`` and eta and phi, or x, y and z. Where layers are missing they follow from z, where
    eta and phi are missing from x, y and z; multiplicities are 1 by default.
    """
    group = _group(table, "cluster", where)
    n = int(group.offsets[-1])
    given = {name: np.asarray(v, CLUSTER_COLUMNS[name]) for name, v in group.columns.items() if name in CLUSTER_COLUMNS}
    have_xyz = all(name in given for name in ("x", "y", "z"))
    _need(given, ("energy",) if have_xyz else ("energy", "eta", "phi"), "cluster", where)
    if have_xyz:
        for name in ("x", "y", "z"):
            _finite(given[name], f"{where}: cluster_{name}")
        radius = np.hypot(given["x"], given["y"])
        with np.errstate(divide="ignore"):
            given.setdefault("eta", np.arcsinh(given["z"] / radius))
        given.setdefault("phi", np.arctan2(given["y"], given["x"]))
    if "layer" not in given:
        _need(given, ("z",), "cluster", where)
        given["layer"] = geo.layer_of_z(given["z"]).astype(np.int16)
    given.setdefault("multiplicity", np.ones(n, np.float32))
    columns: dict[str, Any] = {name: given.get(name) for name in CLUSTER_COLUMNS}
    truth = {name: np.asarray(v, TRUTH_COLUMNS[name]) for name, v in table.scalars.items() if name in TRUTH_COLUMNS}
    return Tracksters(Clusters(**columns), group.offsets, **truth).check(where)


def cells_of(table: Table, where: str) -> Cells:
    """The hits of a table, checked; `shower` is the row.

    Needed: ``hit_x``, ``hit_y`` (cm), ``hit_mip`` and ``hit_layer``, or ``hit_z`` that it follows from. Where
    ``hit_noise`` is missing it follows from the kind of sensor at this distance from the beam.
    """
    group = _group(table, "hit", where)
    given = dict(group.columns)
    _need(given, ("x", "y", "mip"), "hit", where)
    for name in ("x", "y", "mip", "noise", "z"):
        if name in given:
            given[name] = np.asarray(given[name], np.float32)
            _finite(given[name], f"{where}: hit_{name}")
    bad = np.flatnonzero(given["mip"] <= 0)
    if len(bad):
        raise InputError(
            f"{where}: hit_mip[{bad[0]}] = {given['mip'][bad[0]]} ({len(bad)} of {len(given['mip'])} such)",
            expected="above 0 MIP", remedy="drop hits without energy",
        )  # fmt: skip
    if "layer" not in given:
        _need(given, ("z",), "hit", where)
        given["layer"] = geo.layer_of_z(given["z"])
    layer = np.asarray(given["layer"]).astype(np.int32)
    geo.check_layers(layer, given.get("z"), f"{where}: hits")
    if "noise" not in given:
        given["noise"] = geo.NOISE[geo.sensor_of(np.hypot(given["x"], given["y"]))].astype(np.float32)
    shower = np.repeat(np.arange(table.rows, dtype=np.int32), np.diff(group.offsets))
    return Cells(shower, layer, given["x"], given["y"], given["mip"], given["noise"])


def _group(table: Table, name: str, where: str) -> Lists:
    if name not in table.lists:
        raise InputError(
            f"{where} has no {name}s; it has {', '.join(table.lists) or 'no lists'}",
            expected=f"columns {', '.join(f'{name}_{c}' for c in GROUPS[name])}",
        )
    group = table.lists[name]
    lengths = {k: len(v) for k, v in group.columns.items()}
    wrong = {k: v for k, v in lengths.items() if v != group.offsets[-1]}
    if wrong:
        raise InputError(f"{where}: {name} columns differ in length: {lengths}", expected=f"{group.offsets[-1]} each")
    return group


def _need(given: Mapping[str, Any], names: Sequence[str], group: str, where: str) -> None:
    missing = [f"{group}_{name}" for name in names if name not in given]
    if missing:
        raise InputError(f"{where} has no column {', '.join(missing)}", expected=f"{', '.join(missing)}")


def _finite(values: NDArray[Any], name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InputError(f"{name}[{bad[0]}] = {values[bad[0]]} ({len(bad)} of {len(values)} such)", expected="numbers")
