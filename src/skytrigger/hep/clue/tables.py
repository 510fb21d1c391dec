"""Hits from files and results to files: CSV, Parquet, HDF5, and ROOT through uproot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import atomic_path
from skytrigger.hep.clue.events import Hitset
from skytrigger.hep.clue.hits import coordinate, labels
from skytrigger.hep.clue.results import Clusters

RESULT_COLUMNS = ("index", "x", "y", "layer", "weight", "rho", "delta", "nh", "isSeed", "clusterId")
NO_HIGHER = 999.0
"""`delta` in files where there is no nearest higher (then `nh` is -1), as the original program prints it."""
OPTIONAL = ("event", "z", "truth", "noise")


def read_hits(path: str | Path) -> Hitset:
    """Hits of a file, by its suffix.

    ``.csv``: columns x, y, layer, weight without a header, or named in a header. ``.parquet``, ``.h5`` / ``.hdf5`` and
    ``.root``: columns (datasets, branches) of those names. Optional everywhere: event, z, truth. Layer and weight may
    be missing (one layer, weights 1). In Parquet columns and ROOT branches of lists each row is an event.
    """
    path = Path(path)
    readers = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
        ".h5": _read_hdf5,
        ".hdf5": _read_hdf5,
        ".root": _read_root,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown kind of file", expected=", ".join(readers))
    if not path.is_file():
        raise InputError(f"{path} is not there, or no file")
    try:
        columns = reader(path)
    except InputError:
        raise
    except Exception as error:  # each library has its own
        raise InputError(f"cannot read {path}: {error}") from error
    return _hitset(columns, str(path))


def _hitset(columns: Mapping[str, NDArray[Any]], where: str) -> Hitset:
    missing = [name for name in ("x", "y") if name not in columns]
    if missing:
        raise InputError(
            f"{where} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}",
            expected="x, y and, optionally, layer, weight, event, z, truth",
        )
    x = coordinate(f"{where}: x", columns["x"])
    n = len(x)

    def whole(name: str) -> NDArray[np.int32]:
        values = labels(f"{where}: {name}", columns[name], n)
        if n and not -(2**31) <= int(values.min()) <= int(values.max()) < 2**31:
            raise InputError(f"{where}: {name} holds {values.max()}", expected="32-bit whole numbers")
        return np.asarray(values, np.int32)

    return Hitset(
        x=x,
        y=coordinate(f"{where}: y", columns["y"], n),
        layer=whole("layer") if "layer" in columns else np.zeros(n, np.int32),
        weight=coordinate(f"{where}: weight", columns["weight"], n) if "weight" in columns else np.ones(n, np.float32),
        event=whole("event") if "event" in columns else None,
        z=coordinate(f"{where}: z", columns["z"], n) if "z" in columns else None,
        truth=whole("truth") if "truth" in columns else None,
    )


def _read_csv(path: Path) -> dict[str, NDArray[Any]]:
    from pyarrow import csv

    with open(path, encoding="utf-8", errors="replace") as stream:
        first = stream.readline().strip().split(",")
    if first == [""]:
        raise InputError(f"{path} is empty", expected="columns x, y, layer, weight")
    try:
        [float(v) for v in first]
        names = ["x", "y", "layer", "weight"][: len(first)]
        if len(first) > 4 or len(first) < 2:
            raise InputError(f"{path} has {len(first)} columns and no header", expected="2 to 4: x, y, layer, weight")
    except ValueError:
        names = None  # a header
    table = csv.read_csv(path, read_options=csv.ReadOptions(column_names=names))
    return {name: _numbers(table.column(name), f"{path}: {name}") for name in table.column_names}


def _numbers(column: Any, where: str) -> NDArray[Any]:
    values = column.to_numpy()
    if values.dtype.kind not in "fiub":
        raise InputError(f"{where} does not hold numbers", expected="numbers in every row")
    return np.asarray(values)


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(path)
    wanted = [n for n in table.column_names if n in ("x", "y", "layer", "weight", *OPTIONAL)]
    columns: dict[str, NDArray[Any]] = {}
    rows: NDArray[np.int64] | None = None
    for name in wanted:
        column = table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            lengths = np.diff(column.offsets.to_numpy())
            if rows is not None and not np.array_equal(lengths, rows):
                raise InputError(f"{path}: the lists of {name} differ in length from those before")
            rows = lengths
            column = column.flatten()
        columns[name] = _numbers(column.drop_null(), f"{path}: {name}")
    if rows is not None and "event" not in columns:
        columns["event"] = np.repeat(np.arange(len(rows)), rows)
    elif rows is not None and len(columns["event"]) == len(rows) != len(columns.get("x", rows)):
        columns["event"] = np.repeat(columns["event"], rows)
    return columns


def _read_hdf5(path: Path) -> dict[str, NDArray[Any]]:
    h5py = require("h5py", why="reading HDF5")
    with h5py.File(path) as file:
        return {name: np.asarray(file[name]) for name in ("x", "y", "layer", "weight", *OPTIONAL) if name in file}


def _read_root(path: Path) -> dict[str, NDArray[Any]]:
    uproot = require("uproot", why="reading ROOT files")
    awkward = require("awkward", why="reading ROOT files")
    with uproot.open(path) as file:
        trees = [file[key] for key, kind in file.classnames().items() if kind in ("TTree", "ROOT::RNTuple")]
        if not trees:
            raise InputError(f"{path} holds no tree")
        tree = trees[0]
        columns: dict[str, NDArray[Any]] = {}
        for name in (n for n in tree.keys() if n in ("x", "y", "layer", "weight", *OPTIONAL)):  # noqa: SIM118  # no dict
            values = tree[name].array()
            if values.ndim == 2:
                columns.setdefault("event", np.repeat(np.arange(len(values)), awkward.to_numpy(awkward.num(values))))
                values = awkward.flatten(values)
            columns[name] = awkward.to_numpy(values)
        return columns


def result_columns(hits: Hitset, clusters: Clusters) -> dict[str, NDArray[Any]]:
    """The columns of the reference files, then event and z where the hits have them."""
    delta = np.where(clusters.nearest_higher >= 0, clusters.delta, np.float32(NO_HIGHER))
    values = (
        np.arange(len(hits), dtype=np.int32),
        hits.x,
        hits.y,
        hits.layer,
        hits.weight,
        clusters.rho,
        delta,
        clusters.nearest_higher,
        clusters.is_seed.astype(np.int8),
        clusters.cluster_id,
    )
    columns: dict[str, NDArray[Any]] = dict(zip(RESULT_COLUMNS, values, strict=True))
    for name in ("event", "z"):
        value = getattr(hits, name)
        if value is not None:
            columns[name] = value
    return columns


def write_clusters(path: str | Path, hits: Hitset, clusters: Clusters, digits: int = 6) -> None:
    """Results as ``.csv`` (numbers with `digits` significant digits, 6 as in the reference files; 9 lose nothing),
    ``.parquet`` or ``.h5``. Whole or not at all."""
    write_columns(path, result_columns(hits, clusters), digits)


def write_hits(path: str | Path, hits: Hitset, digits: int = 9) -> None:
    """Hits with a header, as `read_hits` takes them."""
    write_columns(path, {name: v for name, v in vars(hits).items() if v is not None}, digits)


def write_columns(path: str | Path, columns: Mapping[str, NDArray[Any]], digits: int) -> None:
    """One table, by the suffix of `path`."""
    path = Path(path)
    writers = {".csv": _write_csv, ".parquet": _write_parquet, ".h5": _write_hdf5, ".hdf5": _write_hdf5}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: unknown kind of file", expected=", ".join(writers))
    with atomic_path(path) as temporary:
        writer(temporary, columns, digits)


def _write_csv(path: Path, columns: Mapping[str, NDArray[Any]], digits: int) -> None:
    form = ",".join(f"%.{digits}g" if v.dtype.kind == "f" else "%d" for v in columns.values()) + "\n"
    with open(path, "w", encoding="ascii", newline="\n") as stream:
        stream.write(",".join(columns) + "\n")
        rows: Iterable[tuple[Any, ...]] = zip(*(v.tolist() for v in columns.values()), strict=True)
        stream.writelines(map(form.__mod__, rows))


def _write_parquet(path: Path, columns: Mapping[str, NDArray[Any]], digits: int) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(dict(columns)), path)


def _write_hdf5(path: Path, columns: Mapping[str, NDArray[Any]], digits: int) -> None:
    h5py = require("h5py", why="writing HDF5")
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values)
