from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.reader import doublet_dataset
from skytrigger.hep.doublets.simulator import simulate
from skytrigger.hep.doublets.split import (
    TENTHS,
    cluster_numbers,
    distinct_doublets,
    families,
    split_doublets,
    tenths,
)


def _sharing(count: int, clusters: int, seed: int = 0):
    """Doublets that share clusters, as real ones do, each row twice."""
    random = np.random.default_rng(seed)
    pads = np.zeros((clusters, 16, 16), np.float16)
    pads[:, 8, 8] = np.arange(1, clusters + 1)
    pairs = random.integers(0, clusters, (count, 2))
    x = np.concatenate([pads[pairs], pads[pairs]])
    y = np.tile(np.arange(count) % 2, 2)
    return doublet_dataset(x, y, {})


def test_no_cluster_and_no_doublet_is_in_two_parts():
    data = _sharing(2000, 2500)
    split = split_doublets(data)
    parts = [split.part(name) for name in ("train", "val", "test")]
    clusters = [{c.tobytes() for c in data.x[p].reshape(-1, 16, 16)} for p in parts]
    assert not clusters[0] & clusters[1]
    assert not (clusters[0] | clusters[1]) & clusters[2]
    doublets = [{d.tobytes() for d in data.x[p]} for p in parts]
    assert all(len(d) == len(p) for d, p in zip(doublets, parts, strict=True))  # each distinct doublet once
    held = sum(map(len, parts))
    assert held + split.facts["across_parts_left_out"] == split.facts["distinct"] == len({d.tobytes() for d in data.x})
    assert split.facts["across_parts_left_out"] < 0.1 * held  # the graph is cut at few edges
    assert [round(len(p) / held, 1) for p in parts] == [0.7, 0.1, 0.2]


def test_the_seed_decides():
    data = _sharing(500, 800)
    first, again, other = (split_doublets(data, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_a_file_of_few_clusters_cannot_be_split():
    data = _sharing(200, 2)
    with pytest.raises(InputError, match="cannot be split without sharing clusters"):
        split_doublets(data)


def test_twenty_channels_are_split_by_the_pads_with_charge():
    data = simulate(400, channels=20)
    split = split_doublets(data)
    assert sum(map(len, (split.train, split.val, split.test))) == 400


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(31, 60)), min_size=1, max_size=200),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_cluster_has_one_bin(pairs, seed):
    _, dense = np.unique(np.array(pairs), return_inverse=True)
    hits = dense.reshape(-1, 2)
    bins = tenths(hits, seed)
    assert bins.shape == hits.shape
    assert bins.min() >= 0
    assert bins.max() < TENTHS
    for hit in np.unique(hits):
        assert len(np.unique(bins[hits == hit])) == 1


def test_cluster_numbers_are_equal_exactly_for_equal_pads():
    x = np.zeros((3, 2, 4, 4), np.float16)
    x[0, 0, 1, 1] = x[2, 1, 1, 1] = 5
    x[1, 0, 1, 2] = 5
    numbers = cluster_numbers(x)
    flat = x.reshape(6, -1)
    same = (flat[:, None] == flat[None]).all(axis=2)
    assert np.array_equal(numbers.reshape(-1, 1) == numbers.reshape(1, -1), same)
    assert list(distinct_doublets(np.concatenate([x, x])))[:3] == list(distinct_doublets(np.concatenate([x, x])))[3:]


def test_families_hold_repeats_and_shared_clusters_together():
    data = _sharing(2000, 2500)
    family = families(data.x)
    assert np.array_equal(family[:2000], family[2000:])
    inner = cluster_numbers(data.x)[:, 0]
    for number in np.unique(inner)[:200]:
        assert len(np.unique(family[inner == number])) == 1
    assert np.bincount(family[:2000]).max() < 2 * 20 + 60  # a region is about 1 % at most
    lonely = simulate(300)
    assert len(np.unique(families(lonely.x))) > 290  # single pixels at saturation can coincide
