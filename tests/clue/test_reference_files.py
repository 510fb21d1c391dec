"""The original program's own results, label for label and byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skytrigger.cli.main import main
from skytrigger.hep.clue import cluster
from skytrigger.hep.clue.tables import read_hits

SETS = ("aniso_1000_20_20_50_50", "moons_1000_20_20_150_15", "sissa_1000_20_20_80_25")


def _split(name: str) -> tuple[str, dict[str, float]]:
    points, dc, outlier, seed, rhoc = name.rsplit("_", 4)
    return points, {
        "dc": float(dc),
        "outlier_distance": float(outlier),
        "seed_distance": float(seed),
        "rhoc": float(rhoc),
    }


@pytest.mark.real
@pytest.mark.parametrize("backend", ["reference", "kdtree", "cpu"])
@pytest.mark.parametrize("name", SETS)
def test_label_for_label(real_data: Path, name: str, backend: str) -> None:
    points, options = _split(name)
    hits = read_hits(real_data / "clue" / f"{points}.csv")
    expected = np.genfromtxt(real_data / "clue" / "reference" / f"{name}.csv", delimiter=",", skip_header=1)
    found = cluster(hits.x, hits.y, hits.layer, hits.weight, **options, backend=backend)
    for column, values in ((5, found.rho), (7, found.nearest_higher), (8, found.is_seed), (9, found.cluster_id)):
        np.testing.assert_array_equal(values, expected[:, column])
    assert found.n_clusters == expected[:, 8].sum()


@pytest.mark.real
@pytest.mark.parametrize("name", SETS)
def test_same_bytes(real_data: Path, tmp_path: Path, name: str) -> None:
    points, options = _split(name)
    out = tmp_path / "out.csv"
    words = [f"--{k.replace('_', '-')}={v:g}" for k, v in options.items()]
    assert main(["clue", str(real_data / "clue" / f"{points}.csv"), *words, "--out", str(out)]) == 0
    assert out.read_bytes() == (real_data / "clue" / "reference" / f"{name}.csv").read_bytes()


@pytest.mark.real
def test_toy_detector_layers_are_alike(real_data: Path) -> None:
    from skytrigger.hep.clue.events import toy_detector

    layer = read_hits(real_data / "clue" / "toyDetector_1000.csv")
    hits = toy_detector(layer.x, layer.y, 3)
    options = {"dc": 3.0, "rhoc": 8.0, "seed_distance": 5.0, "outlier_distance": 5.0}
    one = cluster(layer.x, layer.y, **options, backend="reference")
    three = cluster(hits.x, hits.y, hits.layer, hits.weight, **options)
    for number in range(3):
        own = slice(1000 * number, 1000 * (number + 1))
        np.testing.assert_array_equal(three.delta[own], one.delta)
        shift = number * one.n_clusters
        np.testing.assert_array_equal(three.cluster_id[own], np.where(one.cluster_id < 0, -1, one.cluster_id + shift))
