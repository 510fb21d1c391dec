"""Neither trivial nor noise: a linear model, the quick study's own training, and shuffled pixels."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from skytrigger.core.dataset import Dataset, Split
from skytrigger.eo.networks import build
from skytrigger.eo.synthetic import make
from skytrigger.learn.evaluate import predictions_of_run
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train

TEST_TILES = 300


@pytest.fixture(scope="module")
def preset() -> dict:
    return tomllib.loads((files("skytrigger.study") / "presets" / "quick.toml").read_text())


@pytest.fixture(scope="module")
def parts(preset: dict) -> tuple[Dataset, Split]:
    """As many training tiles as the quick study has, but more tiles to test on, from another seed."""
    count = int(preset["data"][0].split(":")[1])
    known, unknown = make(count, seed=0), make(TEST_TILES, seed=1)
    val = np.arange(count // 10)
    together = Dataset(
        x=np.concatenate([known.x, unknown.x]),
        y=np.concatenate([known.y, unknown.y]),
        ids=known.ids + tuple(f"other_{name}" for name in unknown.ids),
        channels=known.channels,
        classes=known.classes,
        content_hash="test",
        source={"kind": "synthetic"},
    )
    train_index = np.arange(len(val), len(val) + count * 8 // 10)
    return together, Split(train_index, val, np.arange(count, len(together)))


def test_band_means_tell_some_of_it(parts: tuple[Dataset, Split]) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, split = parts
    means = data.x.mean(axis=(2, 3))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(
        means[split.train], data.y[split.train]
    )
    accuracy = model.score(means[split.test], data.y[split.test])
    assert 0.55 <= accuracy <= 0.85


def shuffled(data: Dataset, seed: int) -> Dataset:
    """Each tile's pixels in an order of its own, all bands together: every histogram stays, texture goes."""
    rng = np.random.default_rng(seed)
    x = data.x.reshape(*data.x.shape[:2], -1)
    mixed = np.stack([image[:, rng.permutation(image.shape[1])] for image in x])
    return replace(data, x=mixed.reshape(data.x.shape), content_hash="shuffled")


def quick_accuracy(folder: Path, preset: dict, trained_on: Dataset, tested_on: Dataset, split: Split) -> float:
    train(build, trained_on, split, Recipe(model="basic", **preset["recipe"]), folder)
    made = predictions_of_run(folder, build, tested_on, split.test, precision="auto")
    return float((made.logits.argmax(1) == made.true).mean())


@pytest.mark.slow
def test_texture_tells_the_rest(parts: tuple[Dataset, Split], preset: dict, tmp_path: Path) -> None:
    data, split = parts
    intact = quick_accuracy(tmp_path / "intact", preset, data, data, split)
    assert intact > 0.80  # five epochs on few tiles; 0.85 when 480 were measured
    mixed = shuffled(data, 2)
    assert quick_accuracy(tmp_path / "intact", preset, data, mixed, split) < intact - 0.10
    # a network that never saw texture makes more of the histograms: it lost 7.5 and 8.7 points when measured
    assert quick_accuracy(tmp_path / "mixed", preset, mixed, mixed, split) < intact - 0.02
