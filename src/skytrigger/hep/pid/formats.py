"""Files of showers: Parquet with nested lists, HDF5, and ROOT through uproot.

Columns: `label`, `true_energy`, `true_eta`, `true_phi` (one a row) and the lists ``cluster_<name>`` and
``hit_<name>`` of `columns`. HDF5 holds each list flat, with ``cluster/offsets``. ROOT: a tree ``tracksters``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.extras import require
from skytrigger.hep.pid.columns import GROUPS, Lists, Table
from skytrigger.hep.pid.tracksters import TRUTH_COLUMNS

FACTS = b"skytrigger"
TREE = "tracksters"
SUFFIXES = (".parquet", ".h5", ".hdf5", ".root")


class Writer(Protocol):
    """An open file that takes tables one after another."""

    def write(self, table: Table) -> None:
        """Append its rows."""

    def close(self) -> None:
        """Finish the file."""


def open_writer(temporary: Path, suffix: str, facts: dict[str, Any]) -> Writer:
    """Writer of the format that `suffix` means; use it on a temporary file, see `core.files.atomic_path`."""
    makers: dict[str, Any] = {".parquet": _Parquet, ".h5": _Hdf5, ".hdf5": _Hdf5, ".root": _Root}
    if suffix.lower() not in makers:
        raise InputError(f"cannot write a file called *{suffix}", expected=", ".join(SUFFIXES))
    writer: Writer = makers[suffix.lower()](temporary, facts)
    return writer


class _Parquet:
    """Row groups, one a table."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path, self.facts, self.writer = path, facts, None

    def write(self, table: Table) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        columns: dict[str, Any] = {name: pa.array(values) for name, values in table.scalars.items()}
        for group, lists in table.lists.items():
            offsets = pa.array(lists.offsets.astype(np.int32))
            for name, values in lists.columns.items():
                columns[f"{group}_{name}"] = pa.ListArray.from_arrays(offsets, pa.array(values))
        whole = pa.table(columns)
        whole = whole.replace_schema_metadata({FACTS: json.dumps(self.facts, sort_keys=True).encode()})
        if self.writer is None:
            self.writer = parquet.ParquetWriter(self.path, whole.schema, compression="zstd")
        self.writer.write_table(whole)  # type: ignore[attr-defined]

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class _Hdf5:
    """Flat datasets that grow."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        h5py = require("h5py", why="HDF5 files")
        self.file = h5py.File(path, "w")
        self.file.attrs["skytrigger"] = json.dumps(facts, sort_keys=True)

    def write(self, table: Table) -> None:
        for name, values in table.scalars.items():
            self._append(name, values)
        for group, lists in table.lists.items():
            before = 0
            if f"{group}/offsets" in self.file:
                before = int(self.file[f"{group}/offsets"][-1])
            self._append(f"{group}/offsets", lists.offsets[1 if before else 0 :] + before)
            for name, values in lists.columns.items():
                self._append(f"{group}/{name}", values)

    def _append(self, name: str, values: Any) -> None:
        if name not in self.file:
            self.file.create_dataset(name, data=values, maxshape=(None,), chunks=True, compression="gzip", shuffle=True)
            return
        old = len(self.file[name])
        self.file[name].resize(old + len(values), axis=0)
        self.file[name][old:] = values

    def close(self) -> None:
        self.file.close()


class _Root:
    """One tree, a basket a table."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        uproot = require("uproot", why="ROOT files")
        require("awkward", why="ROOT files")
        self.file = uproot.recreate(path)
        self.file["facts"] = json.dumps(facts, sort_keys=True)
        self.tree: Any = None

    def write(self, table: Table) -> None:
        ak = require("awkward")
        branches: dict[str, Any] = dict(table.scalars)
        for group, lists in table.lists.items():
            layout = ak.index.Index64(lists.offsets)
            record = ak.contents.RecordArray([ak.contents.NumpyArray(v) for v in lists.columns.values()],
                                             list(lists.columns))  # fmt: skip
            branches[group] = ak.Array(ak.contents.ListOffsetArray(layout, record))
        if self.tree is None:
            types = {name: v.type if hasattr(v, "layout") else v.dtype for name, v in branches.items()}
            types = {name: t.content if hasattr(t, "content") else t for name, t in types.items()}
            self.tree = self.file.mktree(TREE, types)
        self.tree.extend(branches)

    def close(self) -> None:
        self.file.close()


def read_table(path: str | Path) -> Table:
    """All rows of a file.

    Raises
    ------
    InputError
        It is not there, of an unknown kind, corrupt, or has no showers.
    """
    tables = list(read_tables(path, rows=1 << 62))
    return tables[0] if len(tables) == 1 else concatenate(tables)


def read_tables(path: str | Path, rows: int) -> Iterator[Table]:
    """The file in tables of about `rows` rows (Parquet: of whole row groups), so that memory does not grow with it."""
    path = Path(path)
    readers = {".parquet": _read_parquet, ".h5": _read_hdf5, ".hdf5": _read_hdf5, ".root": _read_root}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown kind of file", expected=", ".join(SUFFIXES))
    if not path.is_file():
        raise InputError(f"{path} is not there, or no file")
    seen = 0
    try:
        for table in reader(path, rows):
            seen += table.rows
            yield table
    except SkytriggerError:
        raise
    except Exception as error:  # each library has its own
        raise InputError(f"cannot read {path}: {error}") from error
    if not seen:
        raise InputError(f"{path} holds no showers", expected="at least one row")


def _known(name: str) -> tuple[str, str] | None:
    """(group, column) of a list's name, None for others."""
    group, _, column = name.partition("_")
    return (group, column) if group in GROUPS and column else None


def _read_parquet(path: Path, rows: int) -> Iterator[Table]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        facts = json.loads((file.schema_arrow.metadata or {}).get(FACTS, b"{}"))
        group, n = 0, file.num_row_groups
        while group < n:
            last, size = group, 0
            while last < n and (last == group or size + file.metadata.row_group(last).num_rows <= rows):
                size += file.metadata.row_group(last).num_rows
                last += 1
            yield _arrow_table(file.read_row_groups(list(range(group, last))), facts, str(path))
            group = last


def _arrow_table(found: Any, facts: dict[str, Any], where: str) -> Table:
    import pyarrow as pa

    scalars: dict[str, Any] = {}
    lists: dict[str, dict[str, Any]] = {}
    offsets: dict[str, Any] = {}
    for name in found.column_names:
        known = _known(name)
        if known is None and name not in TRUTH_COLUMNS:
            continue
        column = found.column(name)
        if column.null_count:
            raise InputError(f"{where}: column {name} has {column.null_count} empty rows", expected="a value in each")
        column = pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
        if known is None:
            scalars[name] = _plain(column, where, name)
            continue
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            raise InputError(f"{where}: column {name} holds {column.type}", expected="a list of numbers in each row")
        own = column.offsets.to_numpy().astype(np.int64)
        own = own - own[0]
        group, short = known
        if not np.array_equal(own, offsets.setdefault(group, own)):
            raise InputError(f"{where}: lists of {name} differ in length from those of the other {group} columns")
        lists.setdefault(group, {})[short] = _plain(column.flatten(), where, name)
    return Table(
        found.num_rows, scalars, {group: Lists(offsets[group], columns) for group, columns in lists.items()}, facts
    )


def _plain(column: Any, where: str, name: str) -> Any:
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "fiub":
        raise InputError(f"{where}: column {name} does not hold numbers", expected="numbers")
    return values


def _read_hdf5(path: Path, rows: int) -> Iterator[Table]:
    h5py = require("h5py", why="HDF5 files")
    with h5py.File(path) as file:
        facts = json.loads(file.attrs.get("skytrigger", "{}"))
        groups = [g for g in GROUPS if g in file]
        if not groups:
            raise InputError(f"{path} has neither clusters nor hits", expected="groups cluster or hit with offsets")
        n = len(file[f"{groups[0]}/offsets"]) - 1
        for start in range(0, n, min(rows, max(n, 1))):
            stop = min(n, start + rows)
            scalars = {name: file[name][start:stop] for name in TRUTH_COLUMNS if name in file}
            lists = {}
            for group in groups:
                offsets = file[f"{group}/offsets"][start : stop + 1].astype(np.int64)
                part = slice(int(offsets[0]), int(offsets[-1]))
                columns = {name: file[group][name][part] for name in file[group] if name != "offsets"}
                lists[group] = Lists(offsets - offsets[0], columns)
            yield Table(stop - start, scalars, lists, facts)


def _read_root(path: Path, rows: int) -> Iterator[Table]:
    uproot = require("uproot", why="ROOT files")
    ak = require("awkward", why="ROOT files")
    with uproot.open(path) as file:
        facts = json.loads(str(file["facts"])) if "facts" in file else {}
        if TREE not in file:
            raise InputError(f"{path} has no tree {TREE}; it has {', '.join(file.keys()) or 'nothing'}", expected=TREE)
        tree = file[TREE]
        for start in range(0, tree.num_entries, min(rows, max(tree.num_entries, 1))):
            stop = min(tree.num_entries, start + rows)
            scalars: dict[str, Any] = {}
            lists: dict[str, dict[str, Any]] = {}
            offsets: dict[str, Any] = {}
            for name in tree.keys():  # noqa: SIM118 - a tree is no dict
                known = _known(name)
                if known is None and name not in TRUTH_COLUMNS:
                    continue
                array = tree[name].array(entry_start=start, entry_stop=stop, library="ak")
                if known is None:
                    scalars[name] = ak.to_numpy(array)
                else:
                    own = np.concatenate([[0], np.cumsum(ak.to_numpy(ak.num(array)))]).astype(np.int64)
                    offsets.setdefault(known[0], own)
                    lists.setdefault(known[0], {})[known[1]] = ak.to_numpy(ak.flatten(array))
            yield Table(stop - start, scalars, {g: Lists(offsets[g], c) for g, c in lists.items()}, facts)


def concatenate(tables: list[Table]) -> Table:
    """One table of all rows, in order."""
    if not tables:
        raise InputError("no rows")
    lists = {}
    for group in tables[0].lists:
        parts = [t.lists[group] for t in tables]
        counts = np.concatenate([np.diff(p.offsets) for p in parts])
        columns = {name: np.concatenate([p.columns[name] for p in parts]) for name in parts[0].columns}
        lists[group] = Lists(np.concatenate([[0], np.cumsum(counts)]), columns)
    scalars = {name: np.concatenate([t.scalars[name] for t in tables]) for name in tables[0].scalars}
    return Table(sum(t.rows for t in tables), scalars, lists, tables[0].facts)
