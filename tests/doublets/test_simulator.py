from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from skytrigger.core.errors import InputError
from skytrigger.hep.doublets import simulator
from skytrigger.hep.doublets.landau import landau
from skytrigger.hep.doublets.shape_features import feature_names, shape_features
from skytrigger.hep.doublets.simulator import CHANNELS_20, Incidence, clusters, simulate
from skytrigger.hep.doublets.trees import Trees


@pytest.fixture(scope="module")
def sample():
    return simulate(6000, seed=1)


@pytest.fixture(scope="module")
def shape(sample):
    features, names = shape_features(sample.x), feature_names()
    return lambda name: features[:, names.index(name)]


# mean pixels, rows, columns and median charge (e-) of the CMS file's inner and outer clusters
REAL = {"inner": (4.91, 3.98, 2.02, 44_400), "outer": (2.94, 1.99, 2.05, 29_300)}


@pytest.mark.parametrize("pad", ["inner", "outer"])
def test_marginals_are_those_of_the_cms_file(shape, pad):
    found = [shape(f"{pad}.{name}").mean() for name in ("pixels", "rows", "columns")]
    assert [*found, np.median(shape(f"{pad}.charge"))] == pytest.approx(REAL[pad], rel=0.12)


def test_true_outer_clusters_are_smaller_than_fake_ones(sample, shape):
    pixels = shape("outer.pixels")
    assert pixels[sample.y == 1].mean() == pytest.approx(2.58, rel=0.12)
    assert pixels[sample.y == 0].mean() == pytest.approx(3.29, rel=0.12)


def test_it_is_as_hard_as_the_real_file(sample):
    train, test = np.arange(4000), np.arange(4000, 6000)
    trees = Trees.fit(sample.x[train], sample.y[train])
    from sklearn.metrics import roc_auc_score

    assert 0.68 < roc_auc_score(sample.y[test], trees.logits(sample.x[test])[:, 1]) < 0.77


def test_landau_against_scipy():
    values = landau(np.random.default_rng(0), (40_000,))
    # SciPy's parametrisation is shifted by ln(pi / 2) at scale pi / 2
    reference = scipy.stats.landau(loc=np.log(np.pi / 2), scale=np.pi / 2)
    inside = values[values < 200]
    grid = np.array([-2, -1, 0, 1, 2, 5, 10, 50])
    share = (inside[:, None] < grid).mean(axis=0)
    assert share == pytest.approx(reference.cdf(grid) / reference.cdf(200), abs=0.01)


def test_a_perpendicular_track_loses_the_most_probable_charge():
    n = 6000
    zero = np.zeros(n)
    found = clusters(np.random.default_rng(0), Incidence(zero, zero, zero), np.zeros(n, bool), 0.0)
    charge = found.astype(np.float64).sum(axis=(1, 2))
    counts, edges = np.histogram(charge[charge < 34_000], bins=40, range=(15_000, 34_000))
    smooth = np.convolve(counts, np.ones(5) / 5, "same")
    assert edges[smooth.argmax()] == pytest.approx(simulator.MOST_PROBABLE * simulator.THICKNESS, rel=0.06)


def test_inclination_and_drift_lengthen_clusters():
    n, random = 2000, np.random.default_rng(1)
    zero, no = np.zeros(n), np.zeros(n, bool)

    def extents(row, drift):
        at = Incidence(np.full(n, row), zero, np.full(n, drift))
        features, names = shape_features(np.repeat(clusters(random, at, no, 0.0)[:, None], 2, axis=1)), feature_names()
        return [features[:, names.index(f"inner.{name}")].mean() for name in ("rows", "columns")]

    rows, columns = extents(0.0, 0.0)
    long_rows, same_columns = extents(4.0, 0.0)
    # a track with tangent 4 crosses 4 x 285 / 150 = 7.6 pitches
    assert long_rows - rows == pytest.approx(7.6, abs=0.5)
    assert same_columns == pytest.approx(columns, abs=0.2)
    # the drift of 115 um crosses 1.15 pitches of 100 um; what falls under the threshold at both ends (10 um each)
    # and the diffusion that the straight track has already are lost
    assert extents(0.0, simulator.LORENTZ)[1] - columns == pytest.approx(0.85, abs=0.2)


def test_charges_are_8_bit_counts_over_threshold():
    zero = np.zeros(500)
    found = clusters(np.random.default_rng(2), Incidence(zero + 2, zero, zero), np.zeros(500, bool), 0.0)
    seen = np.unique(found[found > 0].astype(np.float64))
    assert seen.min() > simulator.THRESHOLD - simulator.PER_COUNT
    assert seen.max() <= 255 * simulator.PER_COUNT + 16  # float16 steps there
    assert np.allclose(seen / simulator.PER_COUNT, np.rint(seen / simulator.PER_COUNT), atol=0.13)


def test_clusters_are_connected_and_centred(sample):
    from scipy.ndimage import label

    for pad in sample.x[:200].reshape(-1, 16, 16):
        assert label(pad > 0, np.ones((3, 3)))[1] == 1
    charge = sample.x.astype(np.float64)
    centre = (charge.sum(axis=3) @ np.arange(16)) / charge.sum(axis=(2, 3))
    assert np.median(np.abs(centre - 8)) < 0.5


def test_seed_and_count():
    one, again, other = simulate(1500, seed=4), simulate(1500, seed=4), simulate(1500, seed=5)
    assert one.content_hash == again.content_hash != other.content_hash
    assert np.array_equal(simulate(1024, seed=4).x, one.x[:1024])  # a longer sample begins like a shorter one
    assert one.y.mean() == pytest.approx(0.5, abs=0.001)
    assert one.source["kind"] == "synthetic"
    with pytest.raises(InputError, match="1 simulated"):
        simulate(1)
    with pytest.raises(InputError, match="7 channels"):
        simulate(10, channels=7)


def test_twenty_channels_hold_the_same_pads():
    two, wide = simulate(300, seed=2), simulate(300, seed=2, channels=20)
    assert wide.channels == CHANNELS_20
    assert wide.x.shape == (300, 20, 16, 16)
    charged = wide.x.any(axis=(2, 3))
    assert (charged[:, :10].sum(axis=1) == 1).all()
    assert (charged[:, 10:].sum(axis=1) == 1).all()
    assert np.array_equal(wide.x[charged].reshape(300, 2, 16, 16), two.x)
    assert np.array_equal(wide.y, two.y)
