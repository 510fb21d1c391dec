"""Files as people have them: each layout is written by a few lines here, read by one command, and listed in the docs.

``SKYTRIGGER_WRITE_DOCS=1`` writes the table of docs/clue.md anew.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.hep.clue.tables import read_hits, read_table

DOCS = Path(__file__).parents[2] / "docs" / "clue.md"
BEGIN, END = "<!-- layouts -->", "<!-- end of layouts -->"
X, Y, LAYER, ENERGY = [0.0, 0.5, 9.0, 0.25], [0.0, 0.0, 9.0, 1.5], [1, 1, 1, 2], [1.5, 2.5, 0.5, 4.0]
ROWS = list(zip(X, Y, LAYER, ENERGY, strict=True))


def _text(path: Path, separator: str = ",", header: str = "", point: str = ".", before: str = "") -> None:
    lines = [separator.join(f"{v:g}".replace(".", point) for v in row) for row in ROWS]
    path.write_text(before + (header + "\n" if header else "") + "\n".join(lines) + "\n")


def _parquet(path: Path, **columns: object) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), path)


def _structs(path: Path) -> None:
    names = ("x", "y", "layer", "energy")
    _parquet(path, hits=[[dict(zip(names, r, strict=True)) for r in ROWS[:2]], [], [dict(zip(names, r, strict=True)) for r in ROWS[2:]]])  # fmt: skip


def _hdf5(path: Path, name: str, compound: bool = False) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        if compound:
            kinds = [("x", "f8"), ("y", "f8"), ("layer", "i4"), ("energy", "f4")]
            file[name] = np.array(ROWS, np.dtype(kinds))
            return
        group = file.create_group(name)
        group["x"], group["y"], group["layer"], group["energy"] = X, Y, LAYER, ENERGY
        file["other/unrelated"] = [1.0, 2.0]


def _root(path: Path, trees: dict[str, dict[str, object]], kind: str = "mktree") -> None:
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


def _lists(values: list[float], dtype: type) -> object:
    import awkward

    return awkward.values_astype(awkward.Array([values[:2], [], values[2:]]), dtype)


def _ticl(path: Path) -> None:
    """Layer clusters as ntuples of the HGCAL reconstruction hold them: vectors, one entry an event."""
    pytest.importorskip("awkward")
    columns = {
        "event": np.array([7, 2**40, 9], np.int64),
        "position_x": _lists(X, np.float32),
        "position_y": _lists(Y, np.float32),
        "position_z": _lists([320.0] * 4, np.float32),
        "energy": _lists(ENERGY, np.float32),
        "cluster_layer_id": _lists(LAYER, np.int32),
        "cluster_time": _lists([0.0] * 4, np.float32),
    }
    _root(path, {"clusters": columns, "tracksters": {"barycenter_r": np.arange(3.0)}})


def _nano(path: Path) -> None:
    pytest.importorskip("awkward")
    kinds = {"x": (X, np.float32), "y": (Y, np.float32), "energy": (ENERGY, np.float32), "layer": (LAYER, np.int32)}
    columns = {f"RecHitHGC_{k}": _lists(v, kind) for k, (v, kind) in kinds.items()}
    _root(path, {"Events": {"run": np.array([1, 1, 1]), "event": np.array([4, 5, 6]), **columns}})


def _edm(path: Path) -> None:
    pytest.importorskip("awkward")
    columns = {
        "ECalHits.position.x": _lists(X, np.float32),
        "ECalHits.position.y": _lists(Y, np.float32),
        "ECalHits.energy": _lists(ENERGY, np.float32),
        "ECalHits.cellID": _lists(LAYER, np.int64),
        "HCalHits.position.x": _lists(Y, np.float32),
        "HCalHits.position.y": _lists(X, np.float32),
    }
    _root(path, {"events": columns})


def _flat_root(path: Path, kind: str = "mktree") -> None:
    columns = {"x": X, "y": Y, "layer": np.array(LAYER, np.int32), "energy": ENERGY, "event": np.array([1, 1, 2, 2])}
    _root(path, {"hits": columns}, kind)


Writer = Callable[[Path], object]
FORMATS: list[tuple[str, str, Writer, list[str]]] = [
    ("the original program's text, no header", "a.csv", _text, []),
    ("a header, any order of columns, units in brackets", "b.csv", lambda p: _text(p, header="X,y (cm),Layer,weight [GeV]"), []),
    ("other names for the weight", "c.csv", lambda p: _text(p, header="x,y,layer,energy"), []),
    ("`;` and decimal commas", "d.csv", lambda p: _text(p, ";", "x;y;layer;energy", ","), []),
    ("tabs", "e.tsv", lambda p: _text(p, "\t", "x\ty\tlayer\tenergy"), []),
    ("blanks", "f.csv", lambda p: _text(p, "  ", "x  y  layer  energy"), []),
    ("blank and comment lines first", "g.csv", lambda p: _text(p, header="x,y,layer,e", before="\n# a run\n\n# of hits\n"), []),
    ("a byte-order mark", "h.csv", lambda p: _text(p, header="x,y,layer,e", before="\ufeff"), []),
    ("gzip", "i.csv.gz", lambda p: p.write_bytes(gzip.compress("\n".join(["x,y,layer,e", *(",".join(map(str, r)) for r in ROWS)]).encode())), []),
    ("names of one's own", "j.csv", lambda p: _text(p, header="lcX,lcY,lcLayer,lcEnergy"), ["--columns", "x=lcX,y=lcY,layer=lcLayer,weight=lcEnergy"]),
    ("more columns, no header", "k.csv", lambda p: p.write_text("".join(f"7,{r[3]},{r[0]},{r[1]},{r[2]}\n" for r in ROWS)), ["--columns", "x=3,y=4,layer=5,weight=2"]),
    ("CLUEstering's columns", "l.csv", lambda p: p.write_text("x0,x1,layer,weight\n" + "".join(",".join(map(str, r)) + "\n" for r in ROWS)), []),
    ("Parquet, a row a hit", "m.parquet", lambda p: _parquet(p, x=X, y=Y, layer=LAYER, energy=ENERGY), []),
    ("Parquet, a row an event", "n.parquet", lambda p: _parquet(p, x=[X[:2], X[2:]], y=[Y[:2], Y[2:]], layer=[LAYER[:2], LAYER[2:]], energy=[ENERGY[:2], ENERGY[2:]]), []),
    ("Parquet, a row an event and its number", "o.parquet", lambda p: _parquet(p, eventNumber=[2**40, 3], x=[X[:2], X[2:]], y=[Y[:2], Y[2:]], layer=[LAYER[:2], LAYER[2:]], energy=[ENERGY[:2], ENERGY[2:]]), []),
    ("Parquet, lists of records (awkward)", "p.parquet", _structs, []),
    ("HDF5, arrays in a group", "q.h5", lambda p: _hdf5(p, "hits"), []),
    ("HDF5, a table with named fields", "r.h5", lambda p: _hdf5(p, "hits", compound=True), []),
    ("ROOT tree, an entry a hit", "s.root", _flat_root, []),
    ("ROOT tree, an entry an event: TICL", "t.root", _ticl, []),
    ("ROOT tree: NanoAOD", "u.root", _nano, []),
    ("ROOT tree: EDM4hep, layers from elsewhere", "v.root", _edm, ["--group", "ECalHits", "--columns", "layer=ECalHits.cellID"]),
    ("ROOT, two trees with hits", "w.root", lambda p: _root(p, {k: {"x": X, "y": Y, "layer": np.array(LAYER, np.int32), "energy": ENERGY} for k in ("one", "two")}), ["--tree", "two"]),
]  # fmt: skip


def _command(name: str, words: list[str]) -> list[str]:
    return ["clue", name, *words, "--dc", "1", "--rhoc", "2"]


@pytest.mark.parametrize(("title", "name", "write", "words"), FORMATS, ids=[f[1] for f in FORMATS])
def test_layout(
    title: str, name: str, write: Writer, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    write(path)
    out, clusters = tmp_path / "out.parquet", tmp_path / "clusters.csv"
    assert main([*_command(str(path), words), "--json", "--out", str(out), "--clusters", str(clusters)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["read"]["columns"].keys() >= {"x", "y", "weight", "layer"}
    back = read_hits(out)
    for values, expected in ((back.x, X), (back.y, Y), (back.layer, LAYER), (back.weight, ENERGY)):
        np.testing.assert_array_equal(values, np.float32(expected))
    assert data["n_clusters"] == 2
    table = np.genfromtxt(clusters, delimiter=",", names=True)
    np.testing.assert_array_equal(table["energy"], [4.0, 4.0])
    np.testing.assert_array_equal(table["n_hits"], [2, 1])


def test_the_docs_list_them() -> None:
    lines = ["| file | command |", "|---|---|"]
    lines += [f"| {title} | `skytrigger {' '.join(_command(name, words))}` |" for title, name, _, words in FORMATS]
    before, _, rest = DOCS.read_text().partition(BEGIN)
    expected = before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.partition(END)[2]
    if os.environ.get("SKYTRIGGER_WRITE_DOCS"):
        DOCS.write_text(expected)
    assert DOCS.read_text() == expected


def test_events_of_a_row(tmp_path: Path) -> None:
    for write, name, expected in (
        (_ticl, "t.root", [7, 7, 9, 9]),
        (_nano, "u.root", [4, 4, 6, 6]),
        (FORMATS[14][2], "o.parquet", [2**40, 2**40, 3, 3]),
        (_flat_root, "s.root", [1, 1, 2, 2]),
        (lambda p: _flat_root(p, "mkrntuple"), "tuple.root", [1, 1, 2, 2]),
    ):
        write(tmp_path / name)
        hits, facts = read_table(tmp_path / name)
        np.testing.assert_array_equal(hits.event, expected)
        assert "event" in facts["columns"]
    _structs(tmp_path / "p.parquet")
    hits, facts = read_table(tmp_path / "p.parquet")
    np.testing.assert_array_equal(hits.event, [0, 0, 2, 2])
    assert facts["assumed"] == ["no event: each row is one"]


def test_as_many_hits_as_events_are_told_apart_by_type(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    _parquet(path, x=[[1.0, 2.0], [3.0]], y=[[0.0, 0.0], [1.0]], event=[5, 6], layer=[[1, 1], [2]])
    np.testing.assert_array_equal(read_hits(path).event, [5, 5, 6])
    _parquet(path, x=[[1.0], [2.0]], y=[[0.0], [1.0]], event=[5, 6], layer=[8, 9])
    np.testing.assert_array_equal(read_hits(path).event, [5, 6])
    np.testing.assert_array_equal(read_hits(path).layer, [8, 9])


REFUSED: list[tuple[str, Writer, dict[str, object], str]] = [
    ("a.parquet", lambda p: _parquet(p, x=[1.0, None, 3.0], y=[1.0, 2.0, 3.0]), {}, "x is null in row 1"),
    ("a.parquet", lambda p: _parquet(p, x=[[1.0], [2.0, None]], y=[[1.0], [2.0, 3.0]]), {}, "x is null in row 1"),
    ("a.parquet", lambda p: _parquet(p, x=[[1.0], None], y=[[1.0], [2.0]]), {}, "x is null in row 1"),
    ("a.parquet", lambda p: _parquet(p, x=[[1.0], [2.0, 3.0]], y=[[1.0, 2.0], [3.0]]), {}, "y has 2 values in row 0, x has 1"),
    ("a.parquet", lambda p: _parquet(p, x=[1.0, 2.0], y=[[1.0], [2.0]]), {}, "y holds lists, x does not"),
    ("a.parquet", lambda p: _parquet(p, x=[[[1.0]]], y=[[[1.0]]]), {}, "lists of lists"),
    ("a.parquet", lambda p: _parquet(p, x=["a"], y=[1.0]), {}, "x does not hold numbers"),
    ("a.csv", lambda p: p.write_text("x,y\n1,2\n3,\n"), {}, "y has no number in row 1"),
    ("a.csv", lambda p: p.write_text("x,y,x\n1,2,3\n"), {}, "two columns have one name"),
    ("a.csv", lambda p: p.write_text("x,y,amount\n1,2,3.5\n"), {}, "no column is known to be the weight, and it has amount"),
    ("a.csv", lambda p: p.write_text("x,y,weight,plane\n1,2,3,4\n"), {}, "no column is known to be the layer, and it has plane"),
    ("a.csv", lambda p: p.write_text("x,y,energy,edep\n1,2,3,4\n"), {}, "energy and edep could each be the weight"),
    ("a.csv", lambda p: p.write_text("a.x,a.y,b.x,b.y\n1,2,3,4\n"), {}, "x and y of a, b"),
    ("a.csv", lambda p: p.write_text("x,y\n1,2\n"), {"columns": {"weight": "energy"}}, "no column energy for weight"),
    ("a.csv.gz", lambda p: p.write_bytes(gzip.compress(b"x,y\n1,2\n")[:-9]), {}, "damaged gzip"),
    ("a.h5", lambda p: _hdf5(p, "hits"), {"group": "none"}, "no table none"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "options", "word"), REFUSED)
def test_refused(name: str, write: Writer, options: dict[str, object], word: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError, match=word):
        read_hits(tmp_path / name, **options)  # type: ignore[arg-type]


def test_root_lists_of_different_lengths(tmp_path: Path) -> None:
    awkward = pytest.importorskip("awkward")
    path = tmp_path / "a.root"
    _root(path, {"t": {"x": awkward.Array([[1.0], [2.0, 3.0]]), "y": awkward.Array([[1.0, 2.0], [3.0]])}})
    with pytest.raises(InputError, match=r"y has 2 values in row 0, x has 1"):
        read_hits(path)


def test_root_trees_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    _root(path, {"one": {"x": [1.0], "y": [2.0]}, "two": {"x": [3.0], "y": [4.0]}})
    with pytest.raises(InputError, match="x and y are in one and two"):
        read_hits(path)
    assert read_hits(path, tree="two").x[0] == 3
    with pytest.raises(InputError, match="no table three"):
        read_hits(path, tree="three")


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n")
    assert read_table(path)[1]["assumed"] == ["no weight: all weights 1", "no layer: one layer"]
    path.write_text("x,y,amount,plane\n1,2,3.5,4\n")
    hits, facts = read_table(path, {"weight": "none", "layer": "plane"})
    assert (hits.weight[0], hits.layer[0]) == (1, 4)
    assert facts["assumed"] == ["no weight: all weights 1"]
    assert facts["ignored"] == ["amount"]


def test_a_header_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y,layer,weight\n")
    assert len(read_hits(path)) == 0
    assert main(["clue", str(path), "--dc", "1", "--rhoc", "1"]) == 0


def test_a_column_of_noise_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y,layer,weight,noise\n0,0,0,3,0.3\n9,9,0,3,2\n")
    assert main(["clue", str(path), "--rules", "cmssw", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_clusters"] == 1
    assert main(["clue", str(path), "--rules", "cmssw", "--noise", "0.3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_clusters"] == 2


def test_hdf5_of_other_files_is_refused(tmp_path: Path) -> None:
    import h5py

    _hdf5(tmp_path / "secret.h5", "hits")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink("secret.h5", "/hits/x")
        file["y"] = [0.0] * 4
    with pytest.raises(InputError, match="link to elsewhere"):
        read_hits(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", (300_000_000,), "f8", chunks=(1_000_000,), compression="gzip")
        file["y"] = [0.0]
    assert (tmp_path / "b.h5").stat().st_size < 10_000
    with pytest.raises(InputError, match="declares|takes"):
        read_hits(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("x", (4,), "f8", external=[(tmp_path / "secret.h5", 0, 32)])
        file["y"] = [0.0] * 4
    with pytest.raises(InputError, match="in other files"):
        read_hits(tmp_path / "c.h5")


def test_scan_in_three_dimensions_with_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, picture = tmp_path / "a.csv", tmp_path / "a.png"
    path.write_text(
        "x,y,z,layer,weight,truth\n" + "".join(f"{k % 2},0,{100 * (k % 2)},0,1,{k % 2}\n" for k in range(8))
    )
    words = ["clue", str(path), "--dc", "2,3", "--rhoc", "2", "--json"]
    assert main([*words, "--three-dimensional", "--picture", str(picture)]) == 0
    assert json.loads(capsys.readouterr().out)["trials"][0]["f1"] == 1
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["trials"][0]["f1"] < 1
