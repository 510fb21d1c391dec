"""Hits from files and results to files: text, Parquet, HDF5, and ROOT through uproot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.extras import require
from skytrigger.core.files import atomic_path
from skytrigger.hep.clue.hits import coordinate, labels
from skytrigger.hep.clue.hitset import Hitset
from skytrigger.hep.clue.naming import Choice, choose_columns
from skytrigger.hep.clue.readers import Column, Table, open_arrow, open_hdf5, open_parquet, open_root
from skytrigger.hep.clue.results import Clusters
from skytrigger.hep.clue.text_tables import open_text

RESULT_COLUMNS = ("index", "x", "y", "layer", "weight", "rho", "delta", "nh", "isSeed", "clusterId")
MAGIC = {b"PAR1": ".parquet", b"ARROW1": ".feather", b"\x89HDF": ".h5", b"root": ".root", b"\x1f\x8b": ".csv.gz"}
"""First bytes -> the ending that such a file has."""
NO_HIGHER = 999.0
"""`delta` in files where there is no nearest higher (then `nh` is -1), as the original program prints it."""
READERS = {
    ".csv": open_text,
    ".tsv": open_text,
    ".csv.gz": open_text,
    ".tsv.gz": open_text,
    ".txt": open_text,
    ".dat": open_text,
    ".parquet": open_parquet,
    ".feather": open_arrow,
    ".arrow": open_arrow,
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
    ".root": open_root,
}


def read_hits(
    path: str | Path, columns: Mapping[str, str] | None = None, tree: str | None = None, group: str | None = None
) -> Hitset:
    """Hits of a file; see `read_table`."""
    return read_table(path, columns, tree, group)[0]


def read_table(
    path: str | Path, columns: Mapping[str, str] | None = None, tree: str | None = None, group: str | None = None
) -> tuple[Hitset, dict[str, Any]]:
    """Hits of a file, by its suffix, and how they were read.

    Parameters
    ----------
    path
        Text (``.csv``, ``.tsv``, ``.txt``, ``.dat``; the first two also ``.gz``), ``.parquet``, ``.feather`` /
        ``.arrow``, ``.h5`` / ``.hdf5`` or ``.root``. Columns are found by
        the names in `naming.ALIASES`; where they hold lists, each row is an event.
    columns
        Role (x, y, z, layer, weight, event, truth, noise) -> column, or ``none``: instead of what the names say.
    tree
        Which tree of a ROOT file.
    group
        Which group of an HDF5 file; elsewhere the collection whose x and y are meant (`Hits` of `Hits.x`).

    Returns
    -------
    tuple
        The hits, and facts: ``columns`` by role, ``assumed``, ``ignored``, ``table``.

    Raises
    ------
    InputError
        For files that cannot be read, names that leave a choice, nulls, lists of different lengths.
    """
    path = Path(path)
    suffix = "".join(path.suffixes[-2:]).lower()
    reader = READERS.get(suffix if suffix.endswith(".gz") else path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown kind of file", expected=", ".join(READERS))
    if not path.is_file():
        raise InputError(f"{path} is not there, or no file")
    _check_kind(path, reader)
    try:
        with reader(path) as tables:
            in_tables = tree if reader is open_root else group if reader is open_hdf5 else None
            table, choice = _choose_table(tables, columns or {}, in_tables, None if in_tables else group, str(path))
            loaded = {role: table.load(name) for role, name in choice.columns.items()}
    except SkytriggerError:
        raise
    except Exception as error:  # each library has its own
        raise InputError(f"cannot read {path}: {error}") from error
    assumed = [*table.notes, *choice.assumed]
    facts: dict[str, Any] = {"table": table.name, "columns": choice.columns, "assumed": assumed}
    hits = _hitset(_joined(loaded, choice, facts, str(path)), choice, str(path))
    return hits, facts | {"ignored": choice.ignored}


def _check_kind(path: Path, reader: Any) -> None:
    with open(path, "rb") as stream:
        start = stream.read(8)
    kind = next((ending for magic, ending in MAGIC.items() if start.startswith(magic)), "")
    if kind and READERS[kind] is not reader:
        raise InputError(f"{path} is a {kind} file, by its first bytes", remedy="rename it")
    if kind == ".csv.gz" and path.suffix.lower() != ".gz":
        raise InputError(f"{path} is compressed with gzip, by its first bytes", remedy="call it .csv.gz")


def _choose_table(
    tables: list[Table], columns: Mapping[str, str], name: str | None, group: str | None, where: str
) -> tuple[Table, Choice]:
    """The table that is meant, or the only one with x and y."""
    names = [t.name for t in tables]
    if name is not None:
        chosen = [t for t in tables if t.name.strip("/") == name.strip("/")]
        if not chosen:
            raise InputError(f"{where} has no table {name}", expected=", ".join(n or "/" for n in names) or "none")
        return chosen[0], choose_columns(chosen[0].kinds, columns, group, f"{where}, {name}")
    if not tables:
        raise InputError(f"{where} holds no table", expected="columns x and y")
    found: list[tuple[Table, Choice]] = []
    problems: list[InputError] = []
    for table in tables:
        try:
            found.append((table, choose_columns(table.kinds, columns, group, where)))
        except InputError as error:
            problems.append(error)
    if len(found) == 1:
        return found[0]
    if not found:
        raise problems[0]
    raise InputError(
        f"{where}: x and y are in {' and '.join(t.name or '/' for t, _ in found)}",
        remedy="choose one with --tree (ROOT) or --group (HDF5)",
    )


def _joined(loaded: dict[str, Column], choice: Choice, facts: dict[str, Any], where: str) -> dict[str, NDArray[Any]]:
    """One value a hit and column: lists end to end, values of a row for each of its hits."""
    first = loaded["x"]
    rows = len(first.values) if first.lengths is None else len(first.lengths)
    values = {}
    for role, column in loaded.items():
        name = f"{where}: {choice.columns[role]}"
        if column.values.dtype.kind not in "fiub":
            raise InputError(f"{name} does not hold numbers{_first_text(column)}", expected="numbers in every row")
        if column.lengths is None and len(column.values) != rows:
            raise InputError(f"{name} has {len(column.values)} rows, {choice.columns['x']} has {rows}")
        if column.lengths is not None and first.lengths is None:
            raise InputError(f"{name} holds lists, {choice.columns['x']} does not", expected="lists in both or none")
        if column.lengths is None or first.lengths is None:
            values[role] = column.values if first.lengths is None else np.repeat(column.values, first.lengths)
            continue
        if len(column.lengths) != rows or (column.lengths != first.lengths).any():
            both = zip(column.lengths.tolist(), first.lengths.tolist(), strict=False)
            row, (has, wanted) = next(((k, b) for k, b in enumerate(both) if b[0] != b[1]), (rows, (0, 0)))
            raise InputError(
                f"{name} has {has} values in row {row}, {choice.columns['x']} has {wanted}",
                expected="lists of one length in a row",
            )
        values[role] = column.values
    if first.lengths is not None and "event" not in values:
        values["event"] = np.repeat(np.arange(rows), first.lengths)
        facts["assumed"].append("no event: each row is one")
    return values


def _first_text(column: Column) -> str:
    """Where a column of texts holds something else than a number."""
    for place, value in enumerate(column.values.tolist() if column.values.dtype.kind in "OUS" else ()):
        try:
            float(value)
        except (TypeError, ValueError):
            return f": {str(value)[:40]!r} in row {column.row_of(place)}"
    return ""


def _hitset(columns: Mapping[str, NDArray[Any]], choice: Choice, where: str) -> Hitset:
    name = {role: f"{where}: {choice.columns.get(role, role)}" for role in columns}
    x = coordinate(name["x"], columns["x"])
    n = len(x)

    def whole(role: str, wide: bool = True) -> NDArray[Any] | None:
        if role not in columns:
            return None
        values = labels(name[role], columns[role], n)
        if n == 0 or -(2**31) <= int(values.min()) <= int(values.max()) < 2**31:
            return np.asarray(values, np.int32)
        if not wide:
            raise InputError(f"{name[role]} holds {values.max()}", expected="32-bit whole numbers")
        return np.asarray(values, np.int64)

    def real(role: str) -> NDArray[np.float32] | None:
        return coordinate(name[role], columns[role], n) if role in columns else None

    layer, weight = whole("layer", wide=False), real("weight")
    return Hitset(
        x=x,
        y=coordinate(name["y"], columns["y"], n),
        layer=np.zeros(n, np.int32) if layer is None else layer,
        weight=np.ones(n, np.float32) if weight is None else weight,
        event=whole("event"),
        z=real("z"),
        truth=whole("truth"),
        noise=real("noise"),
    )


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
