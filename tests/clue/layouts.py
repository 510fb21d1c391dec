"""Layouts of hits that people have, each written by a few lines; none is copied from anybody's files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

X, Y, LAYER, ENERGY = [0.0, 0.5, 9.0, 0.25], [0.0, 0.0, 9.0, 1.5], [1, 1, 1, 2], [1.5, 2.5, 0.5, 4.0]
ROWS = list(zip(X, Y, LAYER, ENERGY, strict=True))


def text_file(path: Path, separator: str = ",", header: str = "", point: str = ".", before: str = "") -> None:
    lines = [separator.join(f"{v:g}".replace(".", point) for v in row) for row in ROWS]
    path.write_text(before + (header + "\n" if header else "") + "\n".join(lines) + "\n")


def parquet_file(path: Path, **columns: object) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), path)


def structs(path: Path) -> None:
    names = ("x", "y", "layer", "energy")
    parquet_file(
        path,
        hits=[
            [dict(zip(names, r, strict=True)) for r in ROWS[:2]],
            [],
            [dict(zip(names, r, strict=True)) for r in ROWS[2:]],
        ],
    )


def hdf5_file(path: Path, name: str, compound: bool = False) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        if compound:
            kinds = [("x", "f8"), ("y", "f8"), ("layer", "i4"), ("energy", "f4")]
            file[name] = np.array(ROWS, np.dtype(kinds))
            return
        group = file.create_group(name)
        group["x"], group["y"], group["layer"], group["energy"] = X, Y, LAYER, ENERGY
        file["other/unrelated"] = [1.0, 2.0]


def root_file(path: Path, trees: dict[str, dict[str, object]], kind: str = "mktree") -> None:
    uproot = pytest.importorskip("uproot")
    awkward = pytest.importorskip("awkward")
    with uproot.recreate(path) as file:
        for name, columns in trees.items():
            arrays = {k: awkward.Array(v) for k, v in columns.items()}
            types = {k: v.type.content if kind == "mktree" else v.layout.form for k, v in arrays.items()}
            if kind == "mktree":
                file.mktree(name, types)
                file[name].extend(arrays)
            else:
                file.mkrntuple(name, arrays)


def lists(values: list[float], dtype: type) -> object:
    import awkward

    return awkward.values_astype(awkward.Array([values[:2], [], values[2:]]), dtype)


def ticl(path: Path) -> None:
    """Layer clusters as ntuples of the HGCAL reconstruction hold them: vectors, one entry an event."""
    pytest.importorskip("awkward")
    columns = {
        "event": np.array([7, 2**40, 9], np.int64),
        "position_x": lists(X, np.float32),
        "position_y": lists(Y, np.float32),
        "position_z": lists([320.0] * 4, np.float32),
        "energy": lists(ENERGY, np.float32),
        "cluster_layer_id": lists(LAYER, np.int32),
        "cluster_time": lists([0.0] * 4, np.float32),
    }
    root_file(path, {"clusters": columns, "tracksters": {"barycenter_r": np.arange(3.0)}})


def nano(path: Path) -> None:
    pytest.importorskip("awkward")
    kinds = {"x": (X, np.float32), "y": (Y, np.float32), "energy": (ENERGY, np.float32), "layer": (LAYER, np.int32)}
    columns = {f"RecHitHGC_{k}": lists(v, kind) for k, (v, kind) in kinds.items()}
    root_file(path, {"Events": {"run": np.array([1, 1, 1]), "event": np.array([4, 5, 6]), **columns}})


def edm(path: Path) -> None:
    pytest.importorskip("awkward")
    columns = {
        "ECalHits.position.x": lists(X, np.float32),
        "ECalHits.position.y": lists(Y, np.float32),
        "ECalHits.energy": lists(ENERGY, np.float32),
        "ECalHits.cellID": lists(LAYER, np.int64),
        "HCalHits.position.x": lists(Y, np.float32),
        "HCalHits.position.y": lists(X, np.float32),
    }
    root_file(path, {"events": columns})


def flat_root(path: Path, kind: str = "mktree") -> None:
    columns = {"x": X, "y": Y, "layer": np.array(LAYER, np.int32), "energy": ENERGY, "event": np.array([1, 1, 2, 2])}
    root_file(path, {"hits": columns}, kind)


Writer = Callable[[Path], object]
FORMATS: list[tuple[str, str, Writer, list[str]]] = [
    ("the original program's text, no header", "a.csv", text_file, []),
    (
        "a header, any order of columns, units in brackets",
        "b.csv",
        lambda p: text_file(p, header="X,y (cm),Layer,weight [GeV]"),
        [],
    ),
    ("other names for the weight", "c.csv", lambda p: text_file(p, header="x,y,layer,energy"), []),
    ("`;` and decimal commas", "d.csv", lambda p: text_file(p, ";", "x;y;layer;energy", ","), []),
    ("tabs", "e.tsv", lambda p: text_file(p, "\t", "x\ty\tlayer\tenergy"), []),
    ("blanks", "f.csv", lambda p: text_file(p, "  ", "x  y  layer  energy"), []),
    (
        "blank and comment lines first",
        "g.csv",
        lambda p: text_file(p, header="x,y,layer,e", before="\n# a run\n\n# of hits\n"),
        [],
    ),
    ("a byte-order mark", "h.csv", lambda p: text_file(p, header="x,y,layer,e", before="\ufeff"), []),
    (
        "gzip",
        "i.csv.gz",
        lambda p: p.write_bytes(
            gzip.compress("\n".join(["x,y,layer,e", *(",".join(map(str, r)) for r in ROWS)]).encode())
        ),
        [],
    ),
    (
        "names of one's own",
        "j.csv",
        lambda p: text_file(p, header="lcX,lcY,lcLayer,lcEnergy"),
        ["--columns", "x=lcX,y=lcY,layer=lcLayer,weight=lcEnergy"],
    ),
    (
        "more columns, no header",
        "k.csv",
        lambda p: p.write_text("".join(f"7,{r[3]},{r[0]},{r[1]},{r[2]}\n" for r in ROWS)),
        ["--columns", "x=3,y=4,layer=5,weight=2"],
    ),
    (
        "CLUEstering's columns",
        "l.csv",
        lambda p: p.write_text("x0,x1,layer,weight\n" + "".join(",".join(map(str, r)) + "\n" for r in ROWS)),
        [],
    ),
    ("Parquet, a row a hit", "m.parquet", lambda p: parquet_file(p, x=X, y=Y, layer=LAYER, energy=ENERGY), []),
    (
        "Parquet, a row an event",
        "n.parquet",
        lambda p: parquet_file(
            p, x=[X[:2], X[2:]], y=[Y[:2], Y[2:]], layer=[LAYER[:2], LAYER[2:]], energy=[ENERGY[:2], ENERGY[2:]]
        ),
        [],
    ),
    (
        "Parquet, a row an event and its number",
        "o.parquet",
        lambda p: parquet_file(
            p,
            eventNumber=[2**40, 3],
            x=[X[:2], X[2:]],
            y=[Y[:2], Y[2:]],
            layer=[LAYER[:2], LAYER[2:]],
            energy=[ENERGY[:2], ENERGY[2:]],
        ),
        [],
    ),
    ("Parquet, lists of records (awkward)", "p.parquet", structs, []),
    ("HDF5, arrays in a group", "q.h5", lambda p: hdf5_file(p, "hits"), []),
    ("HDF5, a table with named fields", "r.h5", lambda p: hdf5_file(p, "hits", compound=True), []),
    ("ROOT tree, an entry a hit", "s.root", flat_root, []),
    ("ROOT tree, an entry an event: TICL", "t.root", ticl, []),
    ("ROOT tree: NanoAOD", "u.root", nano, []),
    (
        "ROOT tree: EDM4hep, layers from elsewhere",
        "v.root",
        edm,
        ["--group", "ECalHits", "--columns", "layer=ECalHits.cellID"],
    ),
    (
        "ROOT, two trees with hits",
        "w.root",
        lambda p: root_file(
            p, {k: {"x": X, "y": Y, "layer": np.array(LAYER, np.int32), "energy": ENERGY} for k in ("one", "two")}
        ),
        ["--tree", "two"],
    ),
]
