"""Tables of files, whatever their kind: names and kinds of columns at once, values when asked for.

A column is either one value a row, or one list a row (a row is then an event); which, its type says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.hdf5 import LIMIT_BYTES, open_checked, read_bounded

SCALED = {"scale_factor", "add_offset"}
"""Attributes of netCDF: values are not what is stored."""


@dataclass(frozen=True)
class Column:
    """Values one after the other; `lengths` of the lists they stand in, one a row, or None."""

    values: NDArray[Any]
    lengths: NDArray[np.int64] | None = None

    def row_of(self, place: int) -> int:
        """Row in which value `place` stands."""
        if self.lengths is None:
            return place
        return int(np.searchsorted(np.cumsum(self.lengths), place, side="right"))


@dataclass(frozen=True)
class Table:
    """A table of a file: ``kinds`` has a letter a column (``f``, ``i``, ``u``, ``b``; others hold no numbers), `notes`
    what its reader took for granted."""

    name: str
    kinds: dict[str, str]
    load: Callable[[str], Column]
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def open_parquet(path: Path) -> Iterator[list[Table]]:
    """One table; fields of structs, and of lists of structs, are columns ``outer.inner``."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        leaves = _named_leaves(pa, file.schema_arrow, path)

        def load(name: str) -> Column:
            steps = leaves[name][0]
            groups = [file.metadata.row_group(g) for g in range(file.metadata.num_row_groups)]
            sizes = (g.column(c) for g in groups for c in range(g.num_columns))
            size = sum(c.total_uncompressed_size for c in sizes if c.path_in_schema.split(".")[0] == steps[0])
            _bounded(max(size, 8 * file.metadata.num_rows), f"{path}: {name}")
            column = file.read(columns=[steps[0]]).column(0)
            array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
            return _descend(pa, array, steps[1:], f"{path}: {name}")

        yield [Table("", {name: kind for name, (_, kind) in leaves.items()}, load)]


@contextlib.contextmanager
def open_arrow(path: Path) -> Iterator[list[Table]]:
    """One table of an Arrow file (Feather), columns as in `open_parquet`."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as stream, pa.ipc.open_file(stream) as file:
        leaves = _named_leaves(pa, file.schema, path)
        table = file.read_all()
        _bounded(table.nbytes, str(path))

        def load(name: str) -> Column:
            steps = leaves[name][0]
            column = table.column(steps[0])
            array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
            return _descend(pa, array, steps[1:], f"{path}: {name}")

        yield [Table("", {name: kind for name, (_, kind) in leaves.items()}, load)]


def _named_leaves(pa: Any, schema: Any, path: Path) -> dict[str, tuple[tuple[str, ...], str]]:
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for name, steps, kind in _leaves(pa, schema):
        if name in found:
            raise InputError(f"{path}: two columns have one name: {name}", expected="a name each")
        found[name] = steps, kind
    return found


def _bounded(size: int, where: str) -> None:
    if size > LIMIT_BYTES:
        raise InputError(f"{where} takes {size} bytes", expected=f"at most {LIMIT_BYTES}")


def _leaves(pa: Any, fields: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for one in fields:
        steps, kind = (*before, one.name), one.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            yield from _leaves(pa, [kind.field(k) for k in range(kind.num_fields)], steps)
            continue
        number = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        yield ".".join(steps), steps, "f" if number else "i" if pa.types.is_integer(kind) else "o"


def _descend(pa: Any, array: Any, steps: tuple[str, ...], where: str) -> Column:
    """Through lists and structs to the numbers."""
    lengths: NDArray[np.int64] | None = None
    while True:
        if array.null_count:
            place = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
            row = place if lengths is None else Column(np.empty(0), lengths).row_of(place)
            raise InputError(f"{where} is null in row {row}", expected="a value everywhere", remedy="drop such hits")
        kind = array.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            if lengths is not None:
                raise InputError(f"{where} holds lists of lists", expected="a number, or a list of numbers, a row")
            lengths = np.asarray(array.value_lengths(), np.int64)
            array = array.flatten()
        elif pa.types.is_struct(kind):
            array = pa.compute.struct_field(array, [steps[0]]) if hasattr(pa, "compute") else array.field(steps[0])
            steps = steps[1:]
        elif pa.types.is_decimal(kind):
            array = array.cast(pa.float64())
        elif pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
        else:
            return Column(np.asarray(array.to_numpy(zero_copy_only=False)), lengths)


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[list[Table]]:
    """A table a group that holds arrays, and one a dataset with named fields."""
    h5py = require("h5py", why="reading HDF5")
    with open_checked(path) as file:
        groups = {"": file}
        file.visititems(lambda name, member: groups.update({name: member}))
        tables = [t for name, member in groups.items() if (t := _hdf5_table(h5py, name, member)) is not None]
        arrays = [f"{n} {m.shape}" for n, m in groups.items() if isinstance(m, h5py.Dataset)]
        if arrays and not tables:
            raise InputError(
                f"{path} has {', '.join(arrays[:6])}", expected="a group of arrays of one dimension, or named fields"
            )
        yield tables


def _hdf5_table(h5py: Any, name: str, member: Any) -> Table | None:
    if isinstance(member, h5py.Dataset):
        fields = member.dtype.names
        if fields is None or member.ndim != 1:
            return None
        rows = read_bounded(member)
        return Table(name, {n: rows.dtype[n].kind for n in fields}, lambda n: Column(rows[n]))
    arrays = {n: m for n, m in member.items() if isinstance(m, h5py.Dataset) and m.ndim == 1 and not m.dtype.names}

    def load(column: str) -> Column:
        for attribute in SCALED & set(arrays[column].attrs):
            raise InputError(
                f"{name or '/'}: {column} has the attribute {attribute} = {arrays[column].attrs[attribute]}",
                expected="values that need no factor",
                remedy="apply it, and write the file without it",
            )
        values = read_bounded(arrays[column])
        if h5py.check_vlen_dtype(arrays[column].dtype) is None:
            return Column(values)
        lists = [np.asarray(v) for v in values]
        return Column(np.concatenate(lists) if lists else np.empty(0), np.array([len(v) for v in lists], np.int64))

    kinds = {n: (h5py.check_vlen_dtype(m.dtype) or m.dtype) for n, m in arrays.items()}
    return Table(name, {n: np.dtype(k).kind for n, k in kinds.items()}, load) if arrays else None


@contextlib.contextmanager
def open_root(path: Path) -> Iterator[list[Table]]:
    """A table a TTree or RNTuple."""
    uproot = require("uproot", why="reading ROOT files")
    require("awkward", why="reading ROOT files")
    with uproot.open(path) as file:
        names = file.keys(cycle=False, filter_classname=["TTree", "ROOT::RNTuple"])
        yield [_root_table(name, file[name], path) for name in dict.fromkeys(names)]


def _root_table(name: str, tree: Any, path: Path) -> Table:
    branches = {key.rpartition("/")[2]: tree[key] for key in tree.keys()}  # noqa: SIM118  # no dict
    counters = {c.name for b in branches.values() if (c := getattr(b, "count_branch", None)) is not None}

    def load(column: str) -> Column:
        import awkward

        branch = branches[column]
        _bounded(max(getattr(branch, "uncompressed_bytes", 0), 8 * tree.num_entries), f"{path}: {column}")
        values = branch.array()
        if values.ndim > 2:
            raise InputError(f"{path}: {column} holds lists of lists", expected="a number, or a list, an entry")
        lengths = None
        if values.ndim == 2:
            lengths, values = np.asarray(awkward.num(values), np.int64), awkward.flatten(values)
        return Column(awkward.to_numpy(values), lengths)

    return Table(name, {n: _typename_kind(b.typename) for n, b in branches.items() if n not in counters}, load)


def _typename_kind(typename: str) -> str:
    if "float" in typename or "double" in typename:
        return "f"
    return "i" if any(word in typename for word in ("int", "long", "short")) and "struct" not in typename else "o"
