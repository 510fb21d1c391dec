"""Figures of energies and classes against what is known of made-up answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from skytrigger.core.errors import InputError
from skytrigger.hep.pid.baselines import WeightedSum
from skytrigger.hep.pid.evaluation import judge
from skytrigger.hep.pid.geometry import CLASSES
from skytrigger.hep.pid.response import fit_resolution, response, sigma68
from skytrigger.hep.pid.separation import area, pair_rocs, probabilities, temperature


def answers(n: int, a: float, b: float, bias: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    true = random.uniform(25, 400, n)
    return true, true * (1 + bias) * (1 + np.sqrt(a**2 / true + b**2) * random.standard_normal(n))


def test_sigma68_of_a_gaussian_is_its_sigma():
    assert sigma68(np.random.default_rng(0).normal(3, 2, 200_000)) == pytest.approx(2, rel=0.01)


def test_fit_of_exact_points_is_exact():
    energy = np.array([20.0, 50, 100, 300])
    assert fit_resolution(energy, np.sqrt(0.226**2 / energy + 0.008**2)) == pytest.approx((0.226, 0.008), rel=1e-6)
    assert fit_resolution(energy, 0.2 / np.sqrt(energy))[1] == pytest.approx(0, abs=1e-6)


def test_response_finds_resolution_and_bias_within_its_intervals():
    found = response(*answers(20_000, 0.23, 0.01, 0.02), np.linspace(25, 400, 9))
    assert found.a_interval[0] < 0.23 < found.a_interval[1]
    assert found.b_interval[0] <= 0.01 < found.b_interval[1] + 0.002
    assert found.bias_interval[0] < 0.02 < found.bias_interval[1]
    assert found.a_interval[1] - found.a_interval[0] < 0.05
    assert sum(b.n for b in found.bins) == found.n == 20_000
    for one in found.bins:
        assert one.median_interval[0] <= one.median <= one.median_interval[1]


def test_resolution_does_not_know_the_bias():
    plain, biased = (response(*answers(5000, 0.23, 0.01, bias), (25, 100, 400)) for bias in (0.0, 0.3))
    assert plain.a == pytest.approx(biased.a, rel=1e-6)


def test_response_that_runs_high_at_large_energies_shows():
    true, energy = answers(20_000, 0.2, 0.01, 0.0)
    found = response(true, energy * (1 + 0.1 * (true / 400) ** 2), np.linspace(25, 400, 9))
    assert found.bins[-1].median_interval[0] > 1.07
    assert abs(found.bins[0].median - 1) < 0.01


def test_too_few_showers_are_refused():
    with pytest.raises(InputError, match="two bins"):
        response(*answers(30, 0.2, 0.01, 0), (25, 300, 400))


def test_roc_of_pairs_is_scikit_learns():
    random = np.random.default_rng(1)
    true = random.integers(0, 4, 2000)
    logits = (random.normal(0, 1, (2000, 4)) + 1.5 * np.eye(4)[true]).astype(np.float32)
    pairs = pair_rocs(logits, true, CLASSES)
    assert len(pairs) == 6
    own = (true == 0) | (true == 3)
    score = logits[own, 0].astype(float) - logits[own, 3]
    assert pairs["photon/charged_hadron"]["auc"] == pytest.approx(roc_auc_score(true[own] == 0, score), abs=1e-9)
    curve = pairs["photon/charged_hadron"]
    assert curve["rejection"][0] == pytest.approx(1, abs=0.02)
    assert np.all(np.diff(curve["rejection"]) <= 1e-9)


def test_area_counts_ties_half():
    assert area(np.array([1.0, 1.0]), np.array([1.0, 0.0])) == 0.75


def test_temperature_undoes_overconfidence():
    random = np.random.default_rng(2)
    logits = random.normal(0, 2, (20_000, 4))
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    true = np.array([random.choice(4, p=p) for p in chance])
    assert temperature((3 * logits).astype(np.float32), true) == pytest.approx(3, rel=0.05)
    assert probabilities(np.array([[2.0, 0, 0, 0]], np.float32), 2.0)[0, 0] == pytest.approx(np.e / (np.e + 3))
    with pytest.raises(InputError, match="no showers"):
        temperature(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def test_weighted_sum_finds_the_line():
    random = np.random.default_rng(3)
    true = random.uniform(25, 400, 8000)
    label = random.integers(0, 4, 8000)
    total = (0.8 * true + 3) * random.normal(1, 0.02, 8000)
    line = WeightedSum.fit(total, true, label)
    assert line.slope[3] == pytest.approx(0.8, rel=0.01)
    np.testing.assert_allclose(np.median(line.energy(total, np.full(8000, 3)) / true), 1, atol=0.01)
    assert WeightedSum.from_json(line.to_json()) == line


def test_judging_leaves_muons_out_of_energies_and_shows_what_lies_outside():
    random = np.random.default_rng(4)
    true = random.uniform(10, 500, 8000)
    label = random.integers(0, 4, 8000)
    energy = true * random.normal(1, 0.05, 8000)
    energy[label == 2] = 1e6
    logits = (np.eye(4)[label] * 5).astype(np.float32)
    found = judge(logits, energy, label, true, (25.0, 400.0))
    assert found["accuracy"] == 1
    assert set(found["resolution"]) == set(CLASSES) - {"muon"}
    assert found["bias"]["photon"]["median"] == pytest.approx(0, abs=0.01)
    bins = found["response_outside"]["photon"]["bins"]
    assert bins[0]["high"] <= 25
    assert bins[-1]["low"] >= 400
    assert all(25 <= b["low"] < b["high"] <= 400 for b in found["response"]["photon"]["bins"])
