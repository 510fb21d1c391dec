"""Hits from files, results to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skytrigger.core.errors import InputError
from skytrigger.hep.clue import cluster
from skytrigger.hep.clue.events import pu200_events
from skytrigger.hep.clue.hitset import Hitset
from skytrigger.hep.clue.tables import RESULT_COLUMNS, read_hits, write_clusters, write_hits


@pytest.fixture(scope="module")
def hits() -> Hitset:
    return pu200_events(2, 300, n_layers=4, seed=1)


def _assert_same(a: Hitset, b: Hitset) -> None:
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, getattr(b, name))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5"])
def test_there_and_back(hits: Hitset, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"hits{suffix}"
    write_hits(path, hits)
    _assert_same(hits, read_hits(path))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5"])
def test_results(hits: Hitset, tmp_path: Path, suffix: str) -> None:
    found = cluster(hits.x, hits.y, hits.layer, hits.weight, hits.event, dc=1.3, rhoc=3.0)
    path = tmp_path / f"out{suffix}"
    write_clusters(path, hits, found, digits=9)
    back = read_hits(path)  # results can be clustered again
    np.testing.assert_array_equal(back.x, hits.x)
    if suffix == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(path)
        assert tuple(table.column_names[:10]) == RESULT_COLUMNS
        np.testing.assert_array_equal(table["clusterId"], found.cluster_id)
        alone = np.asarray(table["nh"]) == -1
        assert (np.asarray(table["delta"])[alone] == 999).all()


def test_csv_without_header(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("1.5,2.0,3.00,0.5\n-1,0,2.00,1\n")
    hits = read_hits(path)
    np.testing.assert_array_equal(hits.layer, [3, 2])
    np.testing.assert_array_equal(hits.weight, np.float32([0.5, 1]))
    path.write_text("1.5,2.0\n")
    assert read_hits(path).weight[0] == 1


def test_lists_are_events(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "events.parquet"
    table = pa.table({"x": [[1.0, 2.0], [], [3.0]], "y": [[0.0, 0.0], [], [1.0]], "layer": [[1, 2], [], [7]]})
    parquet.write_table(table, path)
    hits = read_hits(path)
    np.testing.assert_array_equal(hits.event, [0, 0, 2])
    np.testing.assert_array_equal(hits.layer, [1, 2, 7])


def test_root(tmp_path: Path) -> None:
    uproot = pytest.importorskip("uproot")
    awkward = pytest.importorskip("awkward")
    path = tmp_path / "events.root"
    with uproot.recreate(path) as file:
        file.mktree("hits", {"x": "var * float32", "y": "var * float32"})
        file["hits"].extend({"x": awkward.Array([[1, 2], [3]]), "y": awkward.Array([[0, 0], [1]])})
    hits = read_hits(path)
    np.testing.assert_array_equal(hits.x, [1, 2, 3])
    np.testing.assert_array_equal(hits.event, [0, 0, 1])


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", "1,2,3,4,5\n", "no column x, y; it has 1, 2, 3, 4, 5"),
        ("a.csv", "x,z\n1,2\n", "no column y"),
        ("a.csv", "x,y\n1,two\n", "numbers"),
        ("a.csv", "1,2\n3\n", "cannot read"),
        ("a.csv", "1,2,0.5,1\n", r"layer\[0\] = 0.5"),
        ("a.parquet", "not parquet", "cannot read"),
        ("a.h5", "not hdf5", "not a valid HDF5"),
        ("a.json", "[]", "unknown kind"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str, word: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=word):
        read_hits(path)


def test_missing_file_and_bad_target(hits: Hitset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not there"):
        read_hits(tmp_path / "none.csv")
    with pytest.raises(InputError, match="unknown kind"):
        write_hits(tmp_path / "a.xls", hits)
    assert not list(tmp_path.iterdir())
