"""What was written before networks had several heads reads as it did: every card, model file and prediction here."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from skytrigger.applications.registry import application, application_of
from skytrigger.core.card import ModelCard
from skytrigger.core.heads import ONLY
from skytrigger.learn.predictions import read_predictions, write_predictions
from skytrigger.learn.recipe import Recipe
from skytrigger.model.file import CARD_KEY, read_model

RESULTS = Path(__file__).parents[2] / "results"
PACKAGED = [file for name in ("eurosat", "doublets") for file in application(name).packaged.values()]
MODELS = [*sorted(RESULTS.rglob("*.onnx")), *PACKAGED]
CARDS = sorted(RESULTS.rglob("model.json"))
PREDICTIONS = sorted(RESULTS.rglob("predictions.parquet"))


def test_there_are_some() -> None:
    assert len(MODELS) >= 6
    assert len(PREDICTIONS) >= 10


@pytest.mark.parametrize("file", MODELS, ids=lambda p: str(p.name))
def test_model_files(file: Path) -> None:
    model = read_model(file)
    (text,) = [entry.value for entry in model.graph().metadata_props if entry.key == CARD_KEY]
    assert model.card.to_json() == text
    assert [(head.name, head.names) for head in model.card.heads] == [(ONLY, tuple(json.loads(text)["classes"]))]
    assert application_of(model.card).name in ("eurosat", "doublets")


@pytest.mark.parametrize("file", CARDS, ids=lambda p: p.parent.name)
def test_cards(file: Path) -> None:
    card = ModelCard.from_json(file.read_text(), str(file))
    assert json.loads(card.to_json()) == json.loads(file.read_text())


def test_recipes() -> None:
    for file in RESULTS.rglob("recipe.toml"):
        before, again = (tomllib.loads(text) for text in (file.read_text(), Recipe.read(file).to_toml()))
        assert again | before == again  # with the entries that came later


@pytest.mark.parametrize("file", PREDICTIONS, ids=lambda p: p.parent.name)
def test_predictions(file: Path, tmp_path: Path) -> None:
    found, table = read_predictions(file), pq.read_table(file)
    assert list(found.ids) == table["id"].to_pylist()
    np.testing.assert_array_equal(found.true, table["true"].to_numpy())
    np.testing.assert_array_equal(found.logits, np.array(table["logits"].to_pylist(), np.float32))
    write_predictions(tmp_path / "again.parquet", found)
    assert pq.read_table(tmp_path / "again.parquet").equals(table, check_metadata=True)
