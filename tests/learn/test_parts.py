"""Batches, statistics, symmetries, metrics, predictions, weights files."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.learn.batches import Batches, augment_d4, channel_statistics
from skytrigger.learn.evaluate import align
from skytrigger.learn.metrics import cross_entropy, expected_calibration_error, metrics
from skytrigger.learn.predict import EVALUATION_BATCH, answers
from skytrigger.learn.predictions import Predictions, read_predictions, write_predictions
from skytrigger.learn.run_folder import load_tensors, save_tensors


def test_statistics_are_numpys_and_of_the_chosen_images_only() -> None:
    data = tiny.dataset()
    index = np.arange(5, 60)
    mean, std = channel_statistics(data, index, block=7)
    chosen = data.x[index].astype(np.float64)
    np.testing.assert_allclose(mean, chosen.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, chosen.std((0, 2, 3)), rtol=1e-9)


def test_dn_above_32767_survive_the_way_to_the_device() -> None:
    data = tiny.dataset()
    data.x[3, 0, 0, 0] = 65535
    batches = Batches(data, (0.0,) * 3, (1.0,) * 3, torch.device("cpu"))
    images, (labels,) = batches.images(np.array([3, 4])), batches.truth(np.array([3, 4]))
    np.testing.assert_array_equal(images.numpy(), data.x[[3, 4]].astype(np.float32))
    assert labels.tolist() == data.y[[3, 4]].tolist()


def test_the_last_partial_batch_is_there() -> None:
    batches = Batches(tiny.dataset(), (0.0,) * 3, (1.0,) * 3, torch.device("cpu"))
    network, index = torch.nn.Flatten(), np.arange(EVALUATION_BATCH + 5) % 96
    (found,) = answers(network, batches, index)
    np.testing.assert_array_equal(found, tiny.dataset().x[index].reshape(len(index), -1))


def test_d4_has_eight_different_elements_that_keep_every_pixel() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    seen = {tuple(augment_d4(image, np.array([e])).flatten().tolist()) for e in range(8)}
    assert len(seen) == 8
    assert all(sorted(s) == list(range(16)) for s in seen)
    mirrored = augment_d4(image, np.array([4]))
    assert torch.equal(augment_d4(mirrored, np.array([4])), image)


def test_metrics_against_scikit_learn() -> None:
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

    random = np.random.default_rng(0)
    true = random.integers(0, 4, 300)
    logits = random.normal(size=(300, 4)).astype(np.float32)
    logits[np.arange(300), true] += 1
    found = metrics(logits, true, list("abcd"))
    predicted = logits.argmax(1)
    np.testing.assert_array_equal(found["confusion"], confusion_matrix(true, predicted))
    p, r, f, s = precision_recall_fscore_support(true, predicted)
    rows = list(found["per_class"].values())
    np.testing.assert_allclose([row["precision"] for row in rows], p)
    np.testing.assert_allclose([row["recall"] for row in rows], r)
    np.testing.assert_allclose([row["f1"] for row in rows], f)
    assert [row["images"] for row in rows] == s.tolist()
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found["loss"] == pytest.approx(log_loss(true, softmax), rel=1e-5)
    low, high = found["accuracy_interval_95"]
    assert low < found["accuracy"] < high


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 80), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_calibration_error_against_a_loop(n: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits, true = random.normal(0, 3, (n, k)), random.integers(0, k, n)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = 0.0
    for b in range(15):
        inside = [i for i in range(n) if min(int(p[i].max() * 15), 14) == b]
        if inside:
            gap = np.mean([p[i].argmax() == true[i] for i in inside]) - np.mean([p[i].max() for i in inside])
            expected += len(inside) / n * abs(gap)
    assert expected_calibration_error(logits, true) == pytest.approx(expected, abs=1e-9)


def test_cross_entropy_of_huge_logits_is_finite() -> None:
    assert cross_entropy(np.array([[1e4, -1e4]]), np.array([1])) == pytest.approx(2e4)


def test_classes_never_seen_or_never_predicted_have_no_ratio() -> None:
    found = metrics(np.array([[9.0, 0, 0]]), np.array([0]), list("abc"))
    assert found["per_class"]["b"] == {
        "images": 0, "precision": None, "recall": None, "recall_interval_95": None, "f1": None,
    }  # fmt: skip


def predictions() -> Predictions:
    logits = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    return Predictions(tuple("vwxyz"), np.array([0, 1, 2, 0, 1]), logits, ("a", "b", "c"))


def test_predictions_survive_their_file(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.parquet", predictions())
    found = read_predictions(tmp_path / "p.parquet")
    assert (found.ids, found.classes) == (predictions().ids, predictions().classes)
    np.testing.assert_array_equal(found.logits, predictions().logits)
    np.testing.assert_array_equal(found.true, predictions().true)


@pytest.mark.parametrize("damage", ["cut", "text", "labels", "nan", "repeat"])
def test_bad_predictions_are_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "p.parquet"
    good = predictions()
    logits = good.logits.copy()
    logits[0, 0] = np.nan
    changed = {
        "labels": replace(good, true=good.true + 9),
        "nan": replace(good, logits=logits),
        "repeat": replace(good, ids=("v",) * 5),
    }
    write_predictions(file, changed.get(damage, good))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    if damage == "text":
        file.write_text("id,true\n")
    with pytest.raises(InputError, match=r"p\.parquet"):
        read_predictions(file)


def test_weights_are_safetensors_and_a_pickle_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "w", {"a": torch.arange(6.0).view(2, 3).t()}, {"k": "v"})
    tensors, metadata = load_tensors(tmp_path / "w")
    assert torch.equal(tensors["a"], torch.arange(6.0).view(2, 3).t())
    assert metadata == {"k": "v"}
    (tmp_path / "w").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="not a valid safetensors"):
        load_tensors(tmp_path / "w")
    torch.save({"a": torch.zeros(2)}, tmp_path / "w")
    with pytest.raises(InputError, match="not a valid safetensors"):
        load_tensors(tmp_path / "w")
    save_tensors(tmp_path / "w", {"a": torch.zeros(1000)}, {})
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:500])
    with pytest.raises(InputError, match="not a valid safetensors"):
        load_tensors(tmp_path / "w")


def card(**changes: object) -> ModelCard:
    good = ModelCard("basic", ("B01", "B02", "B03"), tuple(f"class{k}" for k in range(4)), (16, 16), (0,) * 3, (1,) * 3,
                     "DN", "h")  # fmt: skip
    return replace(good, **changes)


def test_data_are_matched_to_a_model_by_name() -> None:
    data = tiny.dataset()
    swapped = align(data, card(channels=("B03", "B01"), mean=(0,) * 2, std=(1,) * 2))
    np.testing.assert_array_equal(swapped.x, data.x[:, [2, 0]])
    turned = align(data, card(classes=("class3", "class2", "class1", "class0", "more")))
    np.testing.assert_array_equal(turned.y, 3 - data.y)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"units": "rgb8"}, "rgb8"),
        ({"channels": ("B01", "B02", "B99")}, "B99"),
        ({"size": (32, 32)}, "32"),
        ({"classes": ("class0", "class1")}, "class2"),
    ],
)
def test_data_that_do_not_fit_a_model_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        align(tiny.dataset(), card(**changes))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 1}', "[" * 100_000])
def test_a_bad_card_is_named(text: str) -> None:
    with pytest.raises(InputError, match="here"):
        ModelCard.from_json(text, "here")
