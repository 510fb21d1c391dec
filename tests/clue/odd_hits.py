"""Odd files of hits: read as they are meant, or refused with what was seen."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .layouts import ENERGY, LAYER, ROWS, Writer, X, Y, parquet_file, text_file

HEAD = "x,y,layer,energy\n"
LINES = "".join(",".join(map(str, row)) + "\n" for row in ROWS)


def text(content: str | bytes) -> Writer:
    """A file of these characters."""
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def columns(**changed: object) -> Writer:
    """Parquet of the four hits, with some columns otherwise."""
    return lambda path: parquet_file(path, **{**{"x": X, "y": Y, "layer": LAYER, "energy": ENERGY}, **changed})


def typed(path: Path) -> None:
    import pyarrow as pa

    numbers = [decimal.Decimal(str(v)) for v in X]
    columns(x=pa.array(numbers, pa.decimal128(8, 3)), layer=pa.array(LAYER).dictionary_encode())(path)


def feather(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import feather as arrow

    arrow.write_feather(pa.table({"x": X, "y": Y, "layer": LAYER, "energy": ENERGY}), str(path))


def twice(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_arrays([pa.array(v) for v in (X, Y, X)], ["x", "y", "x"]), path)


def hdf5(make: Callable[[object], None]) -> Writer:
    import h5py

    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            make(file)

    return write


def nested(file: object) -> None:
    group = file.create_group("run1/event7")  # type: ignore[attr-defined]
    group["x"], group["y"], group["layer"], group["energy"] = X, Y, LAYER, ENERGY


def events(file: object) -> None:
    for k in range(2):
        group = file.create_group(f"event{k}")  # type: ignore[attr-defined]
        group["x"], group["y"] = X, Y


def packed(file: object) -> None:
    file["x"], file["y"] = np.arange(4, dtype=np.int16), Y  # type: ignore[index]
    file["x"].attrs["scale_factor"] = 0.01  # type: ignore[index]


def padded(file: object) -> None:
    file["x"] = file["y"] = np.zeros((5, 4))  # type: ignore[index]


READ: list[tuple[str, str, Writer, list[str]]] = [
    ("decimal commas, whole numbers first", "ba.csv", text("x;y;layer;energy\n" + "".join(
        ";".join(f"{v:g}" for v in row).replace(".", ",") + "\n" for row in ROWS)), []),
    ("tabs and decimal commas", "bb.tsv", lambda p: text_file(p, "\t", "x\ty\tlayer\tenergy", ","), []),
    ("quotes around names, commas in them", "bc.csv", text('"x, cm","y, cm","layer","energy, GeV"\n' + LINES), []),
    ("quotes around numbers", "bd.csv", text(HEAD + LINES.replace("0.5,", '"0.5",')), []),
    ("a column of row numbers without a name (pandas)", "be.csv", text("," + HEAD + "".join(
        f"{k},{line}\n" for k, line in enumerate(LINES.splitlines()))), []),
    ("a comma at the end of every line", "bf.csv", text((HEAD + LINES).replace("\n", ",\n")), []),
    ("`\\|`", "bg.txt", text((HEAD + LINES).replace(",", "|")), []),
    ("lines that end in a carriage return", "bh.csv", text((HEAD + LINES).replace("\n", "\r")), []),
    ("UTF-16", "bi.csv", text((HEAD + LINES).encode("utf-16")), []),
    ("names in a comment (`numpy.savetxt`)", "bj.txt", text("# layer x y energy\n" + "".join(
        f"{row[2]} {row[0]} {row[1]} {row[3]}\n" for row in ROWS)), []),
    ("decimals, dictionaries", "bk.parquet", typed, []),
    ("half floats, whole numbers as float", "bl.parquet", columns(
        x=np.array(X, np.float16), layer=np.array(LAYER, float)), []),
    ("row numbers of pandas", "bm.parquet", columns(__index_level_0__=[5, 6, 7, 8]), []),
    ("Feather, Arrow", "bn.feather", feather, []),
    ("HDF5, groups in groups", "bo.h5", hdf5(nested), []),
]  # fmt: skip
REFUSED: list[tuple[str, str, Writer, list[str], str]] = [
    ("NaN", "ca.csv", text(HEAD + "nan,0,1,1\n"), [], "x has no number in row 0"),
    ("an infinite weight", "cb.csv", text(HEAD + "1,0,1,inf\n"), [], "weight[0] = inf"),
    ("a negative weight", "cc.csv", text(HEAD + "1,0,1,-2\n"), [], "weight[0] = -2.0"),
    ("a layer above 2^31", "cd.csv", text(HEAD + "1,0,5000000000,2\n"), [], "layer holds 5000000000"),
    ("a layer that is no whole number", "ce.csv", text(HEAD + "1,0,1.5,2\n"), [], "layer[0] = 1.5"),
    ("event numbers above 2^53 as floats", "cf.csv", text("x,y,layer,energy,event\n1,0,1,2,1e17\n"), [],
     "event[0] = 1e+17"),
    ("a text among numbers", "cg.csv", text(HEAD + "1,0,1,2\nfoo,0,1,2\n"), [], "'foo' in row 1"),
    ("names of layers", "ch.csv", text(HEAD + "1,0,EE1,2\n"), [], "layer does not hold numbers: 'EE1'"),
    ("points for thousands", "ci.csv", text("x;y;layer;energy\n1.234,5;0;1;1\n"), [], "'1.234,5' in row 0"),
    ("a first line of 0, 1, 2, ... (pandas without names)", "cj.csv", text("0,1,2,3\n" + LINES), [],
     "a hit, or numbers that stand for names"),
    ("columns in different units", "ck.csv", text("x [mm],y [cm],layer,energy\n1,2,3,4\n"), [], "different units"),
    ("two columns of one name", "cl.csv", text("x,y,layer,x\n1,2,3,4\n"), [], "two columns have one name"),
    ("two columns of one name, in Parquet", "cm.parquet", twice, [], "two columns have one name: x"),
    ("one column for two roles", "cn.csv", text(HEAD + LINES), ["--columns", "x=x,y=x"], "named for x and y"),
    ("Latin-1", "co.csv", text("x,y,layer,caf\u00e9\n1,2,3,4\n".encode("latin-1")), [], "not text in UTF-8"),
    ("Parquet that is called .csv", "cp.csv", columns(), [], "is a .parquet file, by its first bytes"),
    ("HDF5, a group for each event", "cq.h5", hdf5(events), [], "x and y are in event0 and event1"),
    ("HDF5, values to be scaled (netCDF)", "cr.h5", hdf5(packed), [], "attribute scale_factor"),
    ("HDF5, padded arrays", "cs.h5", hdf5(padded), [], "x (5, 4)"),
    ("another kind of file", "ct.json", text("[]"), [], "unknown kind of file"),
]  # fmt: skip
