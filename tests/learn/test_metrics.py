"""metrics.json against scikit-learn, SciPy and counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax as scipy_log_softmax
from scipy.stats import binomtest, sem
from scipy.stats import t as student
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from skytrigger.core.heads import Head
from skytrigger.learn.metrics import (
    confusion,
    cross_entropy,
    expected_calibration_error,
    log_softmax,
    metrics,
    value_metrics,
)

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 57)  # no image of class d
    logits = (rng.normal(size=(57, 4)) + 1.5 * np.eye(4)[true]).astype(np.float32)
    logits[:, 1] -= 9  # b is never predicted
    return logits, true


def test_log_softmax_is_safe_and_right() -> None:
    logits = np.random.default_rng(1).normal(size=(20, 5)).astype(np.float32) * 30
    before = logits.copy()
    assert log_softmax(logits) == pytest.approx(scipy_log_softmax(logits.astype(float), axis=1), abs=1e-12)
    assert (logits == before).all()
    assert log_softmax(np.array([[1e5, 0.0]])).tolist() == [[0.0, -1e5]]
    assert log_softmax(logits).dtype == np.float64
    assert log_softmax(np.array([[0, 1], [2, 5]])) == pytest.approx(scipy_log_softmax([[0, 1], [2, 5]], axis=1))
    far = np.array([[1e5, 1e5 - 1], [0.0, 1.0]])  # each row by its own largest
    assert log_softmax(far) == pytest.approx(scipy_log_softmax(far, axis=1))


def test_every_figure(answers: tuple[np.ndarray, np.ndarray]) -> None:
    logits, true = answers
    found = metrics(logits, true, NAMES)
    predicted = logits.argmax(axis=1)
    right = int((predicted == true).sum())
    assert (found["images"], found["correct"], found["accuracy"]) == (57, right, right / 57)
    wilson = binomtest(right, 57).proportion_ci(0.95, "wilson")
    assert found["accuracy_interval_95"] == pytest.approx([wilson.low, wilson.high])
    probability = np.exp(scipy_log_softmax(logits.astype(float), axis=1))
    assert found["loss"] == pytest.approx(log_loss(true, probability, labels=range(4)))
    assert cross_entropy(logits, true) == pytest.approx(-np.log(probability[np.arange(57), true]))
    assert found["confusion"] == confusion_matrix(true, predicted, labels=range(4)).tolist()
    assert found["classes"] == list(NAMES)
    assert found["expected_calibration_error"] == pytest.approx(expected_calibration_error(logits, true))
    assert list(found["per_class"]) == list(NAMES)


def test_figures_of_each_class(answers: tuple[np.ndarray, np.ndarray]) -> None:
    logits, true = answers
    rows = metrics(logits, true, NAMES)["per_class"]
    predicted = logits.argmax(axis=1)
    precision, recall, f1, images = precision_recall_fscore_support(true, predicted, labels=range(4), zero_division=0)
    for i, name in enumerate(NAMES):
        row = rows[name]
        assert row["images"] == images[i]
        assert row["precision"] == (None if name == "b" else pytest.approx(precision[i]))
        assert row["recall"] == (None if name == "d" else pytest.approx(recall[i]))
        assert row["f1"] == pytest.approx(f1[i])
        if name == "d":
            assert row["recall_interval_95"] is None
        else:
            hit = int(((true == i) & (predicted == i)).sum())
            wilson = binomtest(hit, int(images[i])).proportion_ci(0.95, "wilson")
            assert row["recall_interval_95"] == pytest.approx([wilson.low, wilson.high])
    perfect = metrics(np.eye(2, dtype=np.float32)[[0, 1, 1]], np.array([0, 1, 1]), "xy")["per_class"]
    assert [row["f1"] for row in perfect.values()] == [1.0, 1.0]
    empty = metrics(np.eye(3, dtype=np.float32)[[0, 1]], np.array([0, 1]), "xyz")["per_class"]["z"]
    assert empty == {"images": 0, "precision": None, "recall": None, "recall_interval_95": None, "f1": None}


def test_confusion_is_true_by_predicted() -> None:
    assert confusion(np.array([0, 0, 1]), np.array([1, 1, 0]), 2).tolist() == [[0, 2], [1, 0]]
    assert confusion(np.array([0]), np.array([0]), 3).shape == (3, 3)
    assert confusion(np.array([0]), np.array([0]), 3).dtype == np.int64


def test_calibration_takes_the_largest_probability() -> None:
    logits = np.log(np.array([[0.9, 0.05, 0.05], [0.2, 0.2, 0.6]]))
    assert expected_calibration_error(logits, np.array([0, 0])) == pytest.approx((0.1 + 0.6) / 2)
    assert expected_calibration_error(logits, np.array([0, 0]), bins=1) == pytest.approx(abs(0.5 - 0.75))


def test_errors_of_values_and_their_intervals() -> None:
    rng = np.random.default_rng(3)
    head = Head("size", "values", ("energy", "time"), "GeV")
    true = rng.normal(size=(30, 2))
    values = (true + [0.5, -0.1] + 0.3 * rng.normal(size=(30, 2))).astype(np.float32)
    true[:4, 1] = np.nan  # not known
    found = value_metrics(values, true, head)
    assert (found["images"], list(found["values"])) == (30, ["energy", "time"])
    for place, (name, n) in enumerate((("energy", 30), ("time", 26))):
        row, error = found["values"][name], values[30 - n :, place].astype(float) - true[30 - n :, place]
        assert (row["images"], row["unit"]) == (n, "GeV")
        for figure, sample, power in (("bias", error, 1), ("mae", abs(error), 1), ("rmse", error**2, 0.5)):
            interval = student.interval(0.95, n - 1, sample.mean(), sem(sample))
            assert row[figure] == pytest.approx(sample.mean() ** power if power < 1 else sample.mean())
            assert row[f"{figure}_interval_95"] == pytest.approx([np.sign(end) * abs(end) ** power for end in interval])


def test_values_of_no_and_of_one_image() -> None:
    head = Head("size", "values", ("energy",), "GeV")
    one = value_metrics(np.array([[3.0]]), np.array([[1.0]]), head)["values"]["energy"]
    assert one == {
        "images": 1, "unit": "GeV", "bias": 2.0, "bias_interval_95": None, "mae": 2.0, "mae_interval_95": None,
        "rmse": 2.0, "rmse_interval_95": None,
    }  # fmt: skip
    none = value_metrics(np.array([[3.0]]), np.array([[np.nan]]), head)["values"]["energy"]
    assert (none["images"], none["bias"], none["mae"], none["rmse"]) == (0, None, None, None)
    two = value_metrics(np.array([[3.0], [3.0]]), np.array([[3.0], [0.0]]), head)["values"]["energy"]
    assert two["rmse_interval_95"][0] == 0.0  # a mean square is not negative
    assert two["bias_interval_95"][0] < 0
