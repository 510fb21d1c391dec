"""A trained network on small tiles, and the folder's own module on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny
from skytrigger.applications.registry import build
from skytrigger.core.dataset import Dataset, Split
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.optimize.metric import ACCURACY
from skytrigger.optimize.problem import Problem


@pytest.fixture(scope="session")
def data() -> Dataset:
    return tiny.dataset(n=160, channels=5)


@pytest.fixture(scope="session")
def split() -> Split:
    return tiny.split(160)


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory, data: Dataset, split: Split) -> Path:
    """A `1lessconv` that has learned the tiny data."""
    out = tmp_path_factory.mktemp("given") / "run"
    recipe = Recipe("1lessconv", epochs=4, batch_size=16, precision="fp32")
    train(build, data, split, recipe, out, threads=1)
    return out


@pytest.fixture(scope="session")
def problem(given: Path, data: Dataset, split: Split) -> Problem:
    return Problem(given, build, data, split, {"logits": ACCURACY})
