"""Calibration ranges against quantiles and a slow search, and what is written of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.model import quantise as quantising
from skytrigger.model.calibration import tensor_ranges
from skytrigger.model.export import write_model
from skytrigger.model.file import read_model
from skytrigger.model.quantise import calibration_facts, quantise, require_fp32, stratified, weight_limit, write_int8

RNG = np.random.default_rng(0)
METHODS = ("minmax", "percentile", "entropy")


def network() -> onnx.ModelProto:
    """tiles (n, 2, 8, 8) standardised, a convolution, its ReLU, three logits."""
    values = {
        "mean": np.array([1.0, -1.0], np.float32).reshape(1, 2, 1, 1), "std": np.full((1, 2, 1, 1), 2, np.float32),
        "w": RNG.normal(size=(3, 2, 1, 1)).astype(np.float32), "b": np.zeros(3, np.float32),
        "rows": np.array([2, 3], np.int64), "flat": np.array([0, 3], np.int64),
        "g": RNG.normal(size=(3, 3)).astype(np.float32), "h": np.zeros(3, np.float32),
    }  # fmt: skip
    steps = [("Sub", "tiles mean", "t"), ("Div", "t std", "x"), ("Conv", "x w b", "c"), ("Relu", "c", "r"),
             ("GlobalAveragePool", "r", "p"), ("Reshape", "p flat", "f"), ("Gemm", "f g h", "logits")]  # fmt: skip
    made = helper.make_graph(
        [helper.make_node(op, inputs.split(), [out], name=f"{out}/node") for op, inputs, out in steps], "g",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", 2, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(v, k) for k, v in values.items() if k != "rows"],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def tiles(n: int) -> np.ndarray:
    return RNG.normal(size=(n, 2, 8, 8)).astype(np.float32)


def test_whole_ranges_are_over_all_images() -> None:
    images = tiles(70)
    images[69, 0, 7, 7], images[0, 1, 0, 0] = 50.0, -60.0  # beyond two batches of 32, and at the very beginning
    found = tensor_ranges(network(), ["tiles", "x", "r", "logits"], images, ["minmax"])
    assert list(found) == ["minmax"]
    assert found["minmax"]["tiles"] == (-60.0, 50.0)
    x = (images - np.array([1.0, -1.0], np.float32)[:, None, None]) / 2
    assert found["minmax"]["x"] == (float(x.min()), float(x.max()))
    assert found["minmax"]["r"][0] == 0.0
    assert set(found["minmax"]) == {"tiles", "x", "r", "logits"}
    whole = (images * 100).astype(np.int16)
    assert tensor_ranges(network(), ["tiles", "r"], whole, ["minmax"])["minmax"]["tiles"] == (-6000.0, 5000.0)


@pytest.mark.parametrize("shift", [0.0, 20.0, -20.0])
def test_percentiles_cut_five_thousandths_of_a_percent_off_each_end(shift: float) -> None:
    images = tiles(160) + np.float32(shift)
    images[0, 0, 0, 0], images[1, 1, 1, 1] = shift + 9, shift - 9  # 2 of 20,480: left out
    (low, high), (least, most) = (tensor_ranges(network(), ["tiles", "r"], images)[m]["tiles"] for m in METHODS[1::-1])
    width = (most - least) / 2048
    if shift > 0:
        assert low == least  # nothing is negative: the lower end stays
        assert abs(high - np.quantile(images, 0.9999)) < 2 * width
    else:
        assert abs(low - np.quantile(images, 0.00005)) < 2 * width
        assert abs(high - np.quantile(images, 0.99995)) < 2 * width
    assert high < most - 3


def slow_entropy(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Migacz' search, bin by bin."""
    largest = max(-low, high)
    counts = np.histogram(np.abs(values), 2048, (0, largest))[0].astype(float)
    counts[0] = counts[1]
    best, threshold = np.inf, largest
    for bins in range(128, 2049, 16):
        p = counts[:bins].copy()
        p[-1] += counts[bins:].sum()
        q = np.zeros(bins)
        for level in range(128):
            part = slice(-(-level * bins // 128), -(-(level + 1) * bins // 128))
            own = np.flatnonzero(counts[part]) + part.start
            q[own] = counts[own].sum() / max(1, len(own))
        p, q = p / p.sum(), q / q.sum()
        kl = np.sum(p[p > 0] * (np.log(p[p > 0]) - np.log(np.maximum(q[p > 0], 1e-12))))
        if kl < best:
            best, threshold = kl, bins * largest / 2048
    return max(low, -threshold), min(high, threshold)


@pytest.mark.parametrize("kind", ["normal", "uniform", "outlier", "positive"])
def test_entropy_against_a_slow_search(kind: str) -> None:
    images = tiles(24)
    if kind == "uniform":
        images = RNG.uniform(-3, 3, images.shape).astype(np.float32)
    if kind == "outlier":
        images[0, 0, 0, 0] = -200.0
    if kind == "positive":
        images = np.abs(images) ** 3
    found = tensor_ranges(network(), ["tiles", "r"], images)
    assert found["entropy"]["tiles"] == pytest.approx(slow_entropy(images, *found["minmax"]["tiles"]))
    cut = found["entropy"]["tiles"] != pytest.approx(found["minmax"]["tiles"], rel=0.02)
    assert cut or kind != "outlier"
    assert not cut or kind != "uniform"


def test_a_tensor_that_never_changes() -> None:
    images = np.full((3, 2, 8, 8), 2.0, np.float32)
    found = tensor_ranges(network(), ["tiles", "r"], images)
    assert found["minmax"]["tiles"] == (2.0, 2.0)
    low, high = found["percentile"]["tiles"]
    assert (low, high) == (2.0, pytest.approx(2 + 1 / 2048))
    assert found["entropy"]["tiles"][1] == pytest.approx(2.0, abs=0.01)
    assert tensor_ranges(network(), ["tiles", "r"], 0 * images)["entropy"]["tiles"] == (0.0, 0.0)


def test_only_what_is_asked_for() -> None:
    for methods in (["entropy"], ["percentile"], ["percentile", "minmax"]):
        assert list(tensor_ranges(network(), ["x"], tiles(2), methods)) == methods
    with pytest.raises(InputError, match="'guess'"):
        tensor_ranges(network(), ["x"], tiles(2), ["minmax", "guess"])


@pytest.mark.parametrize(
    ("isa", "limit"), [([], 63), (["avx2"], 63), (["avx2", "avx_vnni"], 127), (["avx512_vnni"], 127),
                       (["amx_int8"], 127), (["asimddp"], 127), (["i8mm"], 127), (["asimd"], 63)]
)  # fmt: skip
def test_eighth_bit_only_where_products_do_not_overflow(isa: list[str], limit: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(quantising, "host_facts", lambda: {"cpu": {"isa": isa}})
    assert weight_limit() == limit


def test_calibration_images_are_even_over_the_classes() -> None:
    labels = np.array([0] * 50 + [1] * 30 + [2] * 3)
    index = np.arange(83)[::-1][:-10]  # the first ten are not for calibration
    found = stratified(index, labels, 23)
    assert found.tolist() == sorted(set(found.tolist()))
    assert set(found) <= set(index)
    assert np.bincount(labels[found]).tolist() == [10, 10, 3]
    assert np.bincount(labels[stratified(index, labels, 4)]).sum() == 4
    assert len(stratified(index, labels, 500)) == 73
    np.testing.assert_array_equal(found, stratified(index, labels, 23, 0))
    assert (found != stratified(index, labels, 23, 1)).any()
    assert (np.diff(found[:10]) > 1).any()  # drawn, not the first ones


CARD = ModelCard("n", ("a", "b"), ("x", "y", "z"), (8, 8), (1.0, -1.0), (2.0, 2.0), "DN", "hash", notes={"kept": 1})


@pytest.mark.parametrize(("merge", "limit"), [(False, 127), (True, 63)])
def test_the_card_says_how_it_was_quantised(tmp_path: Path, merge: bool, limit: int) -> None:
    ranges = tensor_ranges(network(), ["x", "r", "p", "f"], tiles(8), ["minmax"])["minmax"]
    facts = calibration_facts("minmax", ("one", "two"), ("c/node",), seed=3)
    assert facts == {
        "method": "minmax", "images": 2, "ids_sha256": hashlib.sha256(b"one\ntwo").hexdigest(),
        "float_nodes": ["c/node"], "seed": 3,
    }  # fmt: skip
    write_int8(network(), CARD, tmp_path / "m.onnx", facts, ranges=ranges, limit=limit, merge_input=merge)
    found = read_model(tmp_path / "m.onnx")
    how = {"weight_limit": limit, "merged_input": merge}
    assert found.card.notes == {"kept": 1, "calibration": {**facts, **how}}
    assert found.card.precision == "int8"
    assert CARD.notes == {"kept": 1}
    codes = [numpy_helper.to_array(t) for t in found.graph().graph.initializer if t.name.endswith("/w")]
    assert {int(np.abs(c).max()) for c in codes} == {limit}
    assert ("Sub" in [n.op_type for n in found.graph().graph.node]) != merge
    with pytest.raises(InputError, match=r"m\.onnx holds int8"):
        require_fp32(found.card, tmp_path / "m.onnx")
    require_fp32(CARD, "m.onnx")


def test_quantising_a_file_uses_this_cpus_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(network(), CARD, tmp_path / "m.onnx")
    images, ids = tiles(4), tuple("abcd")
    for limit in (63, 127):
        monkeypatch.setattr(quantising, "weight_limit", lambda limit=limit: limit)
        quantise(tmp_path / "m.onnx", tmp_path / "q.onnx", images, ids, "entropy", ("logits/node",))
        notes = read_model(tmp_path / "q.onnx").card.notes["calibration"]
        assert notes == {
            **calibration_facts("entropy", ids, ("logits/node",)),
            "weight_limit": limit,
            "merged_input": False,
        }
    write_model(network(), replace(CARD, precision="int8"), tmp_path / "q.onnx")
    with pytest.raises(InputError, match=r"q\.onnx holds int8"):
        quantise(tmp_path / "q.onnx", tmp_path / "r.onnx", images, ids)
