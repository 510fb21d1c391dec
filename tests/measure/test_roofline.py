"""Counted operations, ceilings, the Pareto front and seeds."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from skytrigger.core.errors import InputError
from skytrigger.core.work import Work
from skytrigger.measure import roofline
from skytrigger.measure.pareto import on_front
from skytrigger.measure.records import Samples
from skytrigger.measure.roofline import Ceilings, measure_ceilings, roofline_point
from skytrigger.measure.seed_variance import seed_difference, seed_variance
from skytrigger.measure.stats import wilson
from skytrigger.model.operations import count_work


def network(group: int = 1, stride: int = 1) -> onnx.ModelProto:
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["tiles", "w", "b"], ["c"], pads=[1, 1, 1, 1], group=group, strides=[stride, stride]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g", "h"], ["logits"], transB=1),
    ]
    side = 8 // stride // 2
    inits = [weight("w", 6, 4 // group, 3, 3), weight("b", 6), weight("g", 5, 6 * side * side), weight("h", 5)]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", 4, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 5])],
        inits,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(("group", "stride", "batch"), [(1, 1, 1), (2, 1, 3), (1, 2, 2)])
def test_operations_against_the_arrays_themselves(group: int, stride: int, batch: int) -> None:
    model = network(group, stride)
    work = count_work(model, batch)
    shapes = {}
    for name in ("c", "p", "logits"):
        one = onnx.ModelProto()
        one.CopyFrom(model)
        del one.graph.output[:]
        one.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        shapes[name] = ReferenceEvaluator(one).run(None, {"tiles": np.zeros((batch, 4, 8, 8), np.float32)})[0]
    c, p, logits = shapes["c"], shapes["p"], shapes["logits"]
    per_output = 4 // group * 9
    products = c.size * (2 * per_output + 1) + logits.size * (2 * (p.size // batch) + 1)
    assert work.product_operations == products
    assert work.operations == products + c.size + p.size * 4
    assert work.weight_bytes == 4 * (6 * per_output + 6 + 5 * (p.size // batch) + 5)
    assert work.io_bytes == 4 * (batch * 4 * 64 + logits.size)
    assert work.activation_bytes == 2 * 4 * (c.size + p.size + logits.size)
    assert work.least_bytes == work.weight_bytes + work.io_bytes


def test_operations_grow_with_the_batch_and_weights_do_not() -> None:
    one, ten = count_work(network(), 1), count_work(network(), 10)
    assert ten.operations == 10 * one.operations
    assert ten.weight_bytes == one.weight_bytes
    assert ten.intensity > one.intensity


def test_shapes_that_cannot_be_known() -> None:
    model = network()
    model.graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    with pytest.raises(InputError, match="unknown"):
        count_work(model)


def test_roofline_takes_the_nearer_ceiling() -> None:
    samples = {"product": Samples("s", (2.0, 1.0)), "copy": Samples("s", (0.5, 1.0))}
    ceilings = Ceilings(samples, {"matrix": 100, "copy_bytes": 500})
    assert ceilings.operations_per_s == 2e6
    assert ceilings.bytes_per_s == 2000.0
    heavy = roofline_point(Work(1, 4_000_000, 0, 100, 100, 0), 4.0, ceilings)
    assert (heavy.bound, heavy.fraction, heavy.least_s) == ("compute", 0.5, 2.0)
    light = roofline_point(Work(1, 1000, 0, 3000, 1000, 0), 8.0, ceilings)
    assert (light.bound, light.fraction) == ("memory", 0.25)


def test_ceilings_are_measured() -> None:
    found = measure_ceilings(1, matrix=64, copy_bytes=1 << 16, rounds=3)
    assert len(found.samples["product"].values) == 3
    assert found.operations_per_s > 0 < found.bytes_per_s


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_as_many_bytes_are_copied_as_are_counted(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    module = pytest.importorskip(library)
    ones = module.ones

    def noted(*args: Any, **options: Any) -> Any:
        made.append(ones(*args, **options).nbytes)
        return ones(*args, **options)

    monkeypatch.setattr(module, "ones", noted)
    if library == "numpy":
        monkeypatch.setattr(roofline, "find", lambda name: None)
    found = measure_ceilings(1, matrix=8, copy_bytes=1 << 16, rounds=1)
    assert (made, found.how["copy_bytes"]) == ([1 << 16], 1 << 16)
    assert found.how["library"].startswith(library)


def test_front_against_brute_force() -> None:
    values = np.random.default_rng(0).integers(0, 4, (50, 8, 3)).astype(float)
    front = on_front(values)
    for points, flags in zip(values, front, strict=True):
        for i, point in enumerate(points):
            beaten = any(
                all(o <= p for o, p in zip(other, point, strict=True)) and any(other < point) for other in points
            )
            assert flags[i] == (not beaten)


def _seeds(rng: np.random.Generator, seeds: int, images: int, level: float, seed_sd: float) -> np.ndarray:
    hard = rng.standard_normal(images)
    shift = seed_sd * rng.standard_normal((seeds, 1))
    return hard + shift + 0.5 * rng.standard_normal((seeds, images)) < level


def test_seed_variance_components() -> None:
    rng = np.random.default_rng(0)
    many = seed_variance(_seeds(rng, 40, 4000, 1.5, 0.2))
    accuracies = [_seeds(rng, 1, 20_000, 1.5, 0.2).mean() for _ in range(400)]
    assert many.seed_sd == pytest.approx(np.std(accuracies), rel=0.3)
    none = seed_variance(_seeds(rng, 40, 4000, 1.5, 0.0))
    assert none.seed_sd < 0.004
    one = seed_variance(_seeds(rng, 1, 4000, 1.5, 0.2))
    assert math.isnan(one.seed_sd)
    assert one.accuracy.known


def test_accuracy_over_seeds_stays_within_its_range() -> None:
    right = np.ones((3, 40), dtype=bool)
    right[0, :8] = False  # two perfect seeds, one worse: the t interval of three seeds goes far beyond 1
    found = seed_variance(right).accuracy
    assert found.high == 1.0
    assert 0.0 <= found.low < found.estimate
    assert seed_variance(~right).accuracy.low == 0.0
    whole = seed_variance(np.ones((1, 40), dtype=bool)).accuracy
    assert (whole.low, whole.high) == (wilson(40, 40).low, 1.0)  # no seeds to vary: Wilson's
    assert seed_difference(right, ~right).low == -1.0


def test_difference_over_three_seeds_covers_although_one_seed_would_not() -> None:
    rng = np.random.default_rng(1)
    covered = mcnemar_false = 0
    for _ in range(400):
        hard = rng.standard_normal(1000)

        def side(seeds: int, hard: np.ndarray = hard) -> np.ndarray:
            noise = 0.5 * rng.standard_normal((seeds, 1000))
            return hard + 0.3 * rng.standard_normal((seeds, 1)) + noise < 1.5

        a, b = side(3), side(3)
        difference = seed_difference(a, b)
        covered += difference.low <= 0 <= difference.high
        b_only, a_only = (b[0] & ~a[0]).sum(), (a[0] & ~b[0]).sum()
        mcnemar_false += abs(int(b_only) - int(a_only)) > 1.96 * math.sqrt(b_only + a_only)
    assert covered >= 0.93 * 400
    assert mcnemar_false > 0.3 * 400  # true of the two networks, not of the recipes
    with pytest.raises(ValueError, match="two seeds"):
        seed_difference(a[:1], b)


def test_front_of_every_subset_contains_its_best() -> None:
    values = np.random.default_rng(2).random((5, 2))
    for size in range(1, 6):
        for subset in itertools.combinations(range(5), size):
            front = on_front(values[list(subset)])
            assert front[values[list(subset)][:, 0].argmin()]
