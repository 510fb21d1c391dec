"""A network with two heads: a floor for each, and a search that holds both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up import MadeUp
from test_search import TINY

import tiny
from skytrigger.cli.optimize import _drops
from skytrigger.core.dataset import Dataset, labelled
from skytrigger.core.errors import InputError
from skytrigger.core.heads import Head
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.model.file import read_model
from skytrigger.optimize import settings as settings_module
from skytrigger.optimize.metric import ACCURACY, RESOLUTION, metric_of, resolution, sigma68
from skytrigger.optimize.optimise import optimise
from skytrigger.optimize.problem import Problem
from skytrigger.optimize.settings import Settings
from skytrigger.optimize.students import build

KIND = Head("kind", "classes", ("a", "b"), weight=0.5)
LEVEL = Head("level", "values", ("level",), unit="GeV", loss="gaussian")


def bright_or_dark(n: int = 160) -> Dataset:
    """Two textures whose brightness is the value; the value of every fourth image is unknown."""
    rng = np.random.default_rng(5)
    kind, level = rng.integers(0, 2, n), rng.uniform(50, 150, n).astype(np.float32)
    x = level[:, None, None, None] + rng.normal(0, 5, (n, 3, 16, 16))
    x[:, :, ::2] += 20 * kind[:, None, None, None]
    targets = {"kind": kind.astype(np.int64), "level": np.where(np.arange(n) % 4, level, np.nan)[:, None]}
    ids = [f"i{k}" for k in range(n)]
    return labelled(x.astype(np.float32), targets, ids, ("r", "g", "b"), (KIND, LEVEL), source={"kind": "synthetic"})


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    data, split, out = bright_or_dark(), tiny.split(160), tmp_path_factory.mktemp("given") / "run"
    options = {"widths": [8, 16], "depths": [0, 1]}
    recipe = Recipe("student", epochs=3, batch_size=16, precision="fp32", optimiser="adamw", options=options)
    train(build, data, split, recipe, out, threads=1)
    return Problem(out, build, data, split, {"kind": ACCURACY, "level": RESOLUTION})


def test_a_search_holds_the_floor_of_every_head(problem: Problem, tmp_path: Path) -> None:
    asked = Settings(
        max_drop=60.0, max_drops={"level": 99.0}, effort="quick", batch_sizes=(8,), bands=(), augment=False
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings_module.EFFORTS, "quick", replace(TINY, pool=1, candidates=1, rungs=(), prunings=()))
        found = optimise(problem, asked, tmp_path / "out", threads=1, bench=MadeUp())
    for row in found["engines"]:
        heads = row["heads"]
        assert set(heads) == {"kind", "level"}
        assert row["accepted"] == all(h["verdict"] != "below" for h in heads.values())
        assert heads["level"]["margin"] == 0.99
        assert heads["kind"]["margin"] == 0.6
        assert heads["level"]["resolution"]["n"] == int(np.isfinite(problem.truth("level", problem.split.val)).sum())
    assert set(found["test"]["heads"]) == {"kind", "level"}
    best = read_model(tmp_path / "out" / "best.onnx")
    assert best.card.heads == problem.card.heads
    assert [o.name for o in best.graph().graph.output] == ["kind", "level"]


def test_resolution_is_the_central_width_of_the_relative_deviations() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(10, 100, 40_000)
    answer = np.stack([true * (1 + rng.normal(0.02, 0.1, len(true))), np.zeros(len(true))], 1).astype(np.float32)
    assert sigma68(resolution(answer, true)) == pytest.approx(0.1, rel=0.02)
    found = RESOLUTION.value(answer[:2000], true[:2000], np.arange(2000))
    assert found.low < 0.1 < found.high
    wider = answer.copy()
    wider[:, 0] = true * (1 + 2 * (answer[:, 0] / true - 1.02))
    gain = RESOLUTION.difference(wider[:2000], answer[:2000], true[:2000], np.arange(2000))
    assert gain.change.low > 0.05
    assert RESOLUTION.score(answer, true, np.arange(len(true))) > RESOLUTION.score(wider, true, np.arange(len(true)))
    with pytest.raises(InputError, match="known value"):
        RESOLUTION.value(answer[:3], np.full(3, np.nan), np.arange(3))


def test_words_of_heads() -> None:
    assert _drops("0.2", ("logits",)) == (0.2, {})
    assert _drops("kind=0.2,level=1", ("kind", "level")) == (1.0, {"kind": 0.2, "level": 1.0})
    for text in ("kind=0.2", "much", "kind=a,level=1"):
        with pytest.raises(InputError, match="max-drop"):
            _drops(text, ("kind", "level"))
    with pytest.raises(InputError, match="accuracy"):
        metric_of(LEVEL, "accuracy", bright_or_dark(8), {})
