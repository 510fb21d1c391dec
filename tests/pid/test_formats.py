"""Files of showers: what is written is read back, what is broken is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.core.errors import InputError
from skytrigger.hep.pid import geometry as geo
from skytrigger.hep.pid.clustering import layer_clusters
from skytrigger.hep.pid.columns import Lists, Table, cells_of, tracksters_of
from skytrigger.hep.pid.formats import read_table, read_tables
from skytrigger.hep.pid.images import Layout, channels_last, images, ranks
from skytrigger.hep.pid.production import produce
from skytrigger.hep.pid.simulator import Beam, simulate
from skytrigger.hep.pid.tracksters import Clusters, Tracksters, join

BEAM = Beam(energy=(25, 60))


def same(a: Tracksters, b: Tracksters) -> None:
    np.testing.assert_array_equal(a.offsets, b.offsets)
    for name in ("label", "true_energy", "true_eta", "true_phi"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in ("eta", "phi", "x", "y", "z", "layer", "energy", "multiplicity"):
        np.testing.assert_array_equal(getattr(a.clusters, name), getattr(b.clusters, name))


def few(n: int = 3) -> Tracksters:
    """n tracksters of four clusters."""
    m = 4 * n
    layer = np.tile([1, 1, 2, 50], n).astype(np.int16)
    z = geo.LAYER_Z[layer - 1].astype(np.float32)
    clusters = Clusters(
        np.full(m, 2.0, np.float32), np.linspace(-3, 3, m, dtype=np.float32), np.full(m, 50, np.float32),
        np.full(m, 60, np.float32), z, layer, np.arange(1, m + 1, dtype=np.float32), np.ones(m, np.float32),
    )  # fmt: skip
    return Tracksters(clusters, np.arange(0, m + 1, 4))


def changed(found: Tracksters, name: str, place: int, value: float) -> Tracksters:
    values = getattr(found.clusters, name).copy()
    values[place] = value
    return replace(found, clusters=replace(found.clusters, **{name: values}))


@pytest.mark.parametrize("suffix", [".parquet", ".h5", ".root"])
def test_files_hold_what_was_simulated(tmp_path: Path, suffix: str):
    if suffix == ".root":
        pytest.importorskip("uproot")
    path = tmp_path / f"showers{suffix}"
    made = produce(path, 150, 4, BEAM, content="both")
    table = read_table(path)
    wanted = join([t for t, _ in simulate(150, 4, BEAM)])
    same(tracksters_of(table, "file"), wanted)
    assert made["showers"] == table.rows == 150
    assert table.facts["kind"] == "synthetic"
    assert table.facts["seed"] == 4
    again = layer_clusters(cells_of(table, "file"), 150)
    np.testing.assert_array_equal(again.offsets, wanted.offsets)
    np.testing.assert_allclose(again.clusters.energy, wanted.clusters.energy, rtol=1e-6)
    parts = list(read_tables(path, rows=64))
    same(join([tracksters_of(t, "part") for t in parts]), wanted)


def test_parquet_reads_as_nested_lists(tmp_path: Path):
    ak = pytest.importorskip("awkward")
    produce(tmp_path / "s.parquet", 20, 1, BEAM)
    rows = ak.from_parquet(tmp_path / "s.parquet")
    wanted = join([t for t, _ in simulate(20, 1, BEAM)])
    assert ak.num(rows.cluster_energy).tolist() == wanted.counts.tolist()
    np.testing.assert_allclose(ak.sum(rows.cluster_energy, axis=1), wanted.layer_energy().sum(1), rtol=1e-4)


@pytest.mark.parametrize("suffix", [".parquet", ".h5"])
def test_same_bytes_again(tmp_path: Path, suffix: str):
    for name in ("a", "b"):
        produce(tmp_path / f"{name}{suffix}", 70, 2, BEAM)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".parquet", ".h5", ".root"])
def test_broken_files_are_refused(tmp_path: Path, suffix: str):
    path = tmp_path / f"s{suffix}"
    produce(path, 20, 1, BEAM)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot read"):
        read_table(path)
    with pytest.raises(InputError, match="not there"):
        read_table(tmp_path / f"none{suffix}")
    with pytest.raises(InputError, match="unknown kind"):
        read_table(tmp_path / "s.csv")
    with pytest.raises(InputError, match="cannot write"):
        produce(tmp_path / "s.csv", 20, 1, BEAM)


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("eta", 3, np.nan, r"eta\[3\] = nan"),
        ("phi", 0, np.inf, r"phi\[0\] = inf"),
        ("energy", 5, 0.0, r"energy\[5\] = 0.0"),
        ("energy", 5, -1.0, r"energy\[5\] = -1.0"),
        ("multiplicity", 1, 0.0, r"multiplicity\[1\]"),
        ("layer", 2, 0, r"layer\[2\] = 0"),
        ("layer", 2, 51, r"layer\[2\] = 51"),
        ("layer", 2, 3, r"layer\[2\] = 3, but z\[2\] = 323.05"),
    ],
)
def test_clusters_that_would_spoil_images_are_refused(name, place, value, message):
    with pytest.raises(InputError, match=message):
        changed(few(), name, place, value).check("test")


def test_layers_counted_from_0_are_refused_with_the_first_contradiction():
    found = few()
    layer = found.clusters.layer.copy()
    layer[1:] = np.maximum(layer[1:] - 1, 1)
    with pytest.raises(InputError, match=r"layer\[2\] = 1, but z\[2\] = 323.05 cm \(6 of 12 contradict\)"):
        replace(found, clusters=replace(found.clusters, layer=layer)).check("test")


def test_empty_tracksters_are_refused():
    with pytest.raises(InputError, match=r"trackster\[1\] = 0"):
        replace(few(), offsets=np.array([0, 4, 4, 12])).check("test")


def test_missing_columns_follow_from_others_or_are_named():
    found = few()
    given = {n: getattr(found.clusters, n) for n in ("x", "y", "z", "energy")}
    made = tracksters_of(Table(3, {}, {"cluster": Lists(found.offsets, given)}), "t")
    np.testing.assert_array_equal(made.clusters.layer, found.clusters.layer)
    np.testing.assert_allclose(made.clusters.phi, np.arctan2(60, 50), rtol=1e-6)
    with pytest.raises(InputError, match="cluster_eta, cluster_phi"):
        tracksters_of(
            Table(3, {}, {"cluster": Lists(found.offsets, {"energy": given["energy"], "z": given["z"]})}), "t"
        )
    with pytest.raises(InputError, match="has no hits"):
        cells_of(Table(3, {}, {"cluster": Lists(found.offsets, given)}), "t")


@pytest.mark.parametrize(("column", "value"), [("mip", 0.0), ("mip", np.nan), ("x", np.inf), ("layer", 77)])
def test_bad_hits_are_refused(column, value):
    hits = {"x": np.full(4, 50.0), "y": np.full(4, 50.0), "mip": np.ones(4), "layer": np.array([1, 2, 3, 4])}
    assert len(cells_of(Table(1, {}, {"hit": Lists(np.array([0, 4]), hits)}), "t").noise) == 4
    hits[column] = hits[column].copy()
    hits[column][2] = value
    with pytest.raises(InputError, match=rf"{column}\[2\]"):
        cells_of(Table(1, {}, {"hit": Lists(np.array([0, 4]), hits)}), "t")


# images


def brute_image(found: Tracksters, i: int, width: int) -> np.ndarray:
    """(50, width, 3) eta, phi, energy, straight from the definition."""
    out = np.zeros((50, width, 3), np.float32)
    c = found.clusters
    for layer in range(1, 51):
        own = [k for k in range(found.offsets[i], found.offsets[i + 1]) if c.layer[k] == layer]
        own.sort(key=lambda k: (-c.energy[k], k))
        for place, k in enumerate(own[:width]):
            out[layer - 1, place] = c.eta[k], c.phi[k], c.energy[k]
    return out


@pytest.mark.parametrize("width", [1, 5, 10, 30])
def test_images_are_the_definition(width: int):
    found = join([t for t, _ in simulate(6, 8)])
    made = channels_last(images(found, Layout(width, ("eta", "phi", "energy"))))
    for i in range(6):
        np.testing.assert_array_equal(made[i], brute_image(found, i, width))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from([0.5, 1.0, 2.0])), min_size=1, max_size=60))
def test_more_clusters_than_columns_keep_the_largest_and_the_first_of_equal(clusters):
    layer = np.array([c[0] for c in clusters], np.int16)
    energy = np.array([c[1] for c in clusters], np.float32)
    m = len(clusters)
    phi = np.arange(m, dtype=np.float32)
    found = Tracksters(Clusters(phi, phi, None, None, None, layer, energy, np.ones(m, np.float32)), np.array([0, m]))
    np.testing.assert_array_equal(images(found)[0].transpose(1, 2, 0), brute_image(found, 0, 30))


def test_ticl_layout_is_cmssws():
    """energy / vertex multiplicity, |eta|, phi; ten a layer; layer number - 1 is the row."""
    found = few(1)
    c = found.clusters
    found = replace(found, clusters=replace(c, eta=-c.eta, multiplicity=np.array([2, 1, 1, 4], np.float32)))
    made = channels_last(images(found, "ticl"))
    assert made.shape == (1, 50, 10, 3)
    # sorted by the cluster's own energy, not by the shared one
    np.testing.assert_allclose(made[0, 0, :2, 0], [2, 0.5])
    np.testing.assert_allclose(made[0, 49, 0], [1, 2.0, 3.0])
    assert not made[0, 2:49].any()


def test_images_do_not_depend_on_the_order_of_clusters():
    found = join([t for t, _ in simulate(4, 8)])
    order = np.concatenate(
        [np.random.default_rng(0).permutation(np.arange(*found.offsets[i : i + 2])) for i in range(4)]
    )
    columns = {n: getattr(found.clusters, n)[order] for n in vars(found.clusters)}
    assert len(np.unique(found.clusters.energy)) > 0.99 * len(order)
    a, b = images(found), images(replace(found, clusters=Clusters(**columns)))
    np.testing.assert_array_equal(a[:, 2], b[:, 2])
    assert ranks(found).max() < 200


def test_unknown_layouts_are_refused():
    with pytest.raises(InputError, match="layout"):
        images(few(), "none")
    with pytest.raises(InputError, match="channel"):
        images(few(), Layout(3, ("charge",)))
