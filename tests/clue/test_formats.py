"""Files as people have them: each layout is written by a few lines here, read by one command, and listed in the docs.

``SKYTRIGGER_WRITE_DOCS=1`` writes the table of docs/formats.md anew (the whole file of tests must run).
"""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.hep.clue.tables import read_hits, read_table

from .layouts import (
    ENERGY,
    FORMATS,
    LAYER,
    Writer,
    X,
    Y,
    flat_root,
    hdf5_file,
    nano,
    parquet_file,
    root_file,
    structs,
    ticl,
)
from .odd_hits import READ
from .odd_hits import REFUSED as ODD

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"
BEGIN, END = "<!-- hits: made by tests/clue/test_formats.py -->", "<!-- end of hits -->"
HEADER = "| what there is | what happens | command |"


def _command(name: str, words: list[str]) -> list[str]:
    return ["clue", name, *words, "--dc", "1", "--rhoc", "2"]


def _told(data: dict[str, Any]) -> str:
    """What was read, in words."""
    read = data["read"]
    roles = ", ".join(f"{role} = {name}" for role, name in read["columns"].items())
    assumed = f"; assumed: {'; '.join(read['assumed'])}" if read["assumed"] else ""
    return f"{data['n_hits']} hits: {roles}{assumed}"


def _line(title: str, told: str, name: str, words: list[str]) -> str:
    told = " ".join(re.sub(r"([|<>])", r"\\\1", re.sub(r"\n  (?=expected|remedy)", "; ", told)).split())
    return f"| {title} | {told} | `skytrigger {' '.join(_command(name, words))}` |"


def _listed(place: int, line: str) -> None:
    """The page has this line here; with SKYTRIGGER_WRITE_DOCS it is written."""
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    lines = table.strip("\n").split("\n")
    if os.environ.get("SKYTRIGGER_WRITE_DOCS"):
        lines = [HEADER, "|---|---|---|", *lines[2:], *[""] * (place + 3 - len(lines))]
        lines[2 + place] = line
        DOCS.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    assert lines[2 + place] == line, "write the page anew: SKYTRIGGER_WRITE_DOCS=1"


EVERY = [*FORMATS, *READ]


@pytest.mark.parametrize("place", range(len(EVERY)), ids=[f[1] for f in EVERY])
def test_layout(place: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title, name, write, words = EVERY[place]
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
    _listed(place, _line(title, _told(data), name, words))


@pytest.mark.parametrize("place", range(len(ODD)), ids=[f[1] for f in ODD])
def test_odd(place: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title, name, write, words, seen = ODD[place]
    write(tmp_path / name)
    assert main(_command(str(tmp_path / name), words)) == 2
    told = capsys.readouterr().err
    assert seen in told
    told = "refused: " + told.removeprefix("skytrigger: error: ").replace(f"{tmp_path}/", "")
    _listed(len(EVERY) + place, _line(title, told, name, words))


def test_the_page_has_no_other_rows() -> None:
    table = DOCS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert len(table.strip("\n").split("\n")) == 2 + len(EVERY) + len(ODD)


def test_events_of_a_row(tmp_path: Path) -> None:
    for write, name, expected in (
        (ticl, "t.root", [7, 7, 9, 9]),
        (nano, "u.root", [4, 4, 6, 6]),
        (FORMATS[14][2], "o.parquet", [2**40, 2**40, 3, 3]),
        (flat_root, "s.root", [1, 1, 2, 2]),
        (lambda p: flat_root(p, "mkrntuple"), "tuple.root", [1, 1, 2, 2]),
    ):
        write(tmp_path / name)
        hits, facts = read_table(tmp_path / name)
        np.testing.assert_array_equal(hits.event, expected)
        assert "event" in facts["columns"]
    structs(tmp_path / "p.parquet")
    hits, facts = read_table(tmp_path / "p.parquet")
    np.testing.assert_array_equal(hits.event, [0, 0, 2, 2])
    assert facts["assumed"] == ["no event: each row is one"]


def test_as_many_hits_as_events_are_told_apart_by_type(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet_file(path, x=[[1.0, 2.0], [3.0]], y=[[0.0, 0.0], [1.0]], event=[5, 6], layer=[[1, 1], [2]])
    np.testing.assert_array_equal(read_hits(path).event, [5, 5, 6])
    parquet_file(path, x=[[1.0], [2.0]], y=[[0.0], [1.0]], event=[5, 6], layer=[8, 9])
    np.testing.assert_array_equal(read_hits(path).event, [5, 6])
    np.testing.assert_array_equal(read_hits(path).layer, [8, 9])


REFUSED: list[tuple[str, Writer, dict[str, object], str]] = [
    ("a.parquet", lambda p: parquet_file(p, x=[1.0, None, 3.0], y=[1.0, 2.0, 3.0]), {}, "x is null in row 1"),
    ("a.parquet", lambda p: parquet_file(p, x=[[1.0], [2.0, None]], y=[[1.0], [2.0, 3.0]]), {}, "x is null in row 1"),
    ("a.parquet", lambda p: parquet_file(p, x=[[1.0], None], y=[[1.0], [2.0]]), {}, "x is null in row 1"),
    (
        "a.parquet",
        lambda p: parquet_file(p, x=[[1.0], [2.0, 3.0]], y=[[1.0, 2.0], [3.0]]),
        {},
        "y has 2 values in row 0, x has 1",
    ),
    ("a.parquet", lambda p: parquet_file(p, x=[1.0, 2.0], y=[[1.0], [2.0]]), {}, "y holds lists, x does not"),
    ("a.parquet", lambda p: parquet_file(p, x=[[[1.0]]], y=[[[1.0]]]), {}, "lists of lists"),
    ("a.parquet", lambda p: parquet_file(p, x=["a"], y=[1.0]), {}, "x does not hold numbers"),
    ("a.csv", lambda p: p.write_text("x,y\n1,2\n3,\n"), {}, "y has no number in row 1"),
    ("a.csv", lambda p: p.write_text("x,y,x\n1,2,3\n"), {}, "two columns have one name"),
    (
        "a.csv",
        lambda p: p.write_text("x,y,amount\n1,2,3.5\n"),
        {},
        "no column is known to be the weight, and it has amount",
    ),
    (
        "a.csv",
        lambda p: p.write_text("x,y,weight,plane\n1,2,3,4\n"),
        {},
        "no column is known to be the layer, and it has plane",
    ),
    ("a.csv", lambda p: p.write_text("x,y,energy,edep\n1,2,3,4\n"), {}, "energy and edep could each be the weight"),
    ("a.csv", lambda p: p.write_text("a.x,a.y,b.x,b.y\n1,2,3,4\n"), {}, "x and y of a, b"),
    ("a.csv", lambda p: p.write_text("x,y\n1,2\n"), {"columns": {"weight": "energy"}}, "no column energy for weight"),
    ("a.csv.gz", lambda p: p.write_bytes(gzip.compress(b"x,y\n1,2\n")[:-9]), {}, "damaged gzip"),
    ("a.h5", lambda p: hdf5_file(p, "hits"), {"group": "none"}, "no table none"),
]


@pytest.mark.parametrize(("name", "write", "options", "word"), REFUSED)
def test_refused(name: str, write: Writer, options: dict[str, object], word: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError, match=word):
        read_hits(tmp_path / name, **options)  # type: ignore[arg-type]


def test_root_lists_of_different_lengths(tmp_path: Path) -> None:
    awkward = pytest.importorskip("awkward")
    path = tmp_path / "a.root"
    root_file(path, {"t": {"x": awkward.Array([[1.0], [2.0, 3.0]]), "y": awkward.Array([[1.0, 2.0], [3.0]])}})
    with pytest.raises(InputError, match=r"y has 2 values in row 0, x has 1"):
        read_hits(path)


def test_root_trees_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    root_file(path, {"one": {"x": [1.0], "y": [2.0]}, "two": {"x": [3.0], "y": [4.0]}})
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

    hdf5_file(tmp_path / "secret.h5", "hits")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink("secret.h5", "/hits/x")
        file["y"] = [0.0] * 4
    with pytest.raises(InputError, match="link to elsewhere"):
        read_hits(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", (300_000_000,), "f8", chunks=(1_000_000,), compression="gzip")
        file["y"] = [0.0]
    assert (tmp_path / "b.h5").stat().st_size < 10_000
    with pytest.raises(InputError, match=r"declares|takes"):
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
