from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.metrics import _draws, auc_difference, calibration, curve, filter_metrics

_SCORES = st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=2, max_size=80)


@given(_SCORES, st.sampled_from([0.2, 0.5, 0.9, 0.99, 1.0]))
@settings(max_examples=200, deadline=None)
def test_against_counting_by_hand(rows, efficiency):
    score = np.array([s for s, _ in rows], float)
    true = np.array([t for _, t in rows], int)
    if len(set(true)) < 2:
        with pytest.raises(InputError, match="one class"):
            curve(score, true)
        return
    found = curve(score, true)
    trues, fakes = score[true == 1], score[true == 0]
    pairs = [(t > f) + 0.5 * (t == f) for t in trues for f in fakes]
    assert found.auc == pytest.approx(np.mean(pairs))
    assert found.auc == pytest.approx(roc_auc_score(true, score))
    # the highest of all thresholds that keep enough
    threshold = max(t for t in score if (trues >= t).mean() >= efficiency - 1e-12)
    expected = (threshold, (trues >= threshold).mean(), (fakes < threshold).mean())
    assert found.at(efficiency) == pytest.approx(expected)


def test_weights_are_repetitions():
    random = np.random.default_rng(0)
    score, true = random.normal(size=60).round(1), random.integers(0, 2, 60)
    weight = random.integers(0, 4, 60)
    one, other = curve(score, true, weight), curve(np.repeat(score, weight), np.repeat(true, weight))
    assert one.auc == pytest.approx(other.auc)
    assert one.at(0.9)[2] == pytest.approx(other.at(0.9)[2])


def _logits(score):
    return np.stack([np.zeros_like(score), score], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def sample():
    random = np.random.default_rng(1)
    true = np.arange(800) % 2
    return random.normal(size=800) + true, true


def test_a_file_of_repeats_has_the_same_figures_and_intervals(sample):
    score, true = sample
    group = np.arange(800)
    once = filter_metrics(_logits(score), true, group, resamples=200)
    eight = filter_metrics(_logits(np.tile(score, 8)), np.tile(true, 8), np.tile(group, 8), resamples=200)
    assert (eight["n"], eight["families"], once["n"]) == (6400, 800, 800)
    assert eight["auc"] == pytest.approx(once["auc"])
    assert eight["rejection"] == pytest.approx(once["rejection"])
    assert eight["intervals_95"]["auc"] == pytest.approx(once["intervals_95"]["auc"])


def test_the_interval_is_as_wide_as_theory_says(sample):
    score, true = sample
    found = filter_metrics(_logits(score), true, np.arange(800), resamples=600)
    auc = found["auc"]
    # Hanley & McNeil 1982, eq. 2
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    sigma = np.sqrt((auc * (1 - auc) + 399 * (q1 - auc**2) + 399 * (q2 - auc**2)) / 400**2)
    low, high = found["intervals_95"]["auc"]
    assert high - low == pytest.approx(2 * 1.96 * sigma, rel=0.15)
    assert low < auc < high


def test_what_a_trigger_reads(sample):
    score, true = sample
    found = filter_metrics(_logits(score), true, np.arange(800), resamples=50)
    assert list(found["rejection"]) == ["0.5", "0.9", "0.95", "0.99"]
    for point in found["working_points"]:
        kept = score >= point["threshold"] - 1e-6
        assert kept[true == 1].mean() == pytest.approx(point["efficiency"], abs=1e-9)
        assert (~kept)[true == 0].mean() == pytest.approx(point["rejection"], abs=1e-9)
        assert true[kept].mean() == pytest.approx(point["purity"])


def test_the_difference_is_paired(sample):
    score, true = sample
    group = np.arange(800)
    assert auc_difference(score, 3 * score + 1, true, group, resamples=50) == (0.0, 0.0, 0.0)
    worse = score + np.random.default_rng(2).normal(size=800)
    difference, low, high = auc_difference(score, worse, true, group, resamples=200)
    assert difference == pytest.approx(roc_auc_score(true, score) - roc_auc_score(true, worse))
    assert 0 < low < difference < high


def test_calibration_agrees_with_scikit_learn(sample):
    score, true = sample
    found = calibration(score, true)
    probability = 1 / (1 + np.exp(-score))
    assert found["brier"] == pytest.approx(brier_score_loss(true, probability))
    assert found["log_loss"] == pytest.approx(log_loss(true, probability))
    assert sum(b["n"] for b in found["bins"]) == 800


def test_true_odds_are_calibrated_and_doubled_ones_are_not():
    random = np.random.default_rng(5)
    score = random.normal(size=20_000)
    true = (random.random(20_000) < 1 / (1 + np.exp(-score))).astype(int)
    assert calibration(score, true)["expected_error"] < 0.02
    assert calibration(3 * score, true)["expected_error"] > 0.08


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="1 scores are not finite"):
        curve(np.array([0.0, np.nan]), np.array([0, 1]))


def test_draws_of_one_class_are_left_out_and_not_counted():
    """Two families, one true and one fake: half of all draws hold one class, and no ROC."""
    score, true, group = np.array([1.0, 0.0]), np.array([1, 0]), np.array([0, 1])
    found = filter_metrics(_logits(score), true, group, resamples=64)
    assert found["intervals_95"]["auc"] == [1.0, 1.0]
    drawn = list(_draws(true, group, np.ones(2, int), 64, 0))
    assert len(drawn) == 64
    assert {tuple(d) for d in drawn} == {(1, 1)}


def test_families_are_drawn_whole_and_as_many_as_there_are():
    group = np.array([7, 7, 3, 9, 9, 9])
    weight = np.array([1, 2, 1, 1, 1, 3])
    for count in _draws(np.array([1, 0, 1, 0, 1, 0]), group, weight, 50, 1):
        times = count / weight
        assert len(set(times[:2])) == len(set(times[3:])) == 1
        assert times[0] + times[2] + times[3] == 3


def test_one_seed_one_interval(sample):
    score, true = sample
    spans = [
        tuple(filter_metrics(_logits(score), true, np.arange(800), resamples=100, seed=s)["intervals_95"]["auc"])
        for s in (0, 0, 1)
    ]
    assert spans[0] == spans[1] != spans[2]
