"""Quantisation-aware tuning goes through the one training loop, resumes, and is written as it was tuned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_search import TINY

from skytrigger.core.dataset import Dataset, Split
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.optimize import settings as settings_module
from skytrigger.optimize.files import EightBits, float_files
from skytrigger.optimize.judging import Judge, answers_of_run
from skytrigger.optimize.metric import ACCURACY
from skytrigger.optimize.problem import Problem, Search
from skytrigger.optimize.settings import Settings
from skytrigger.optimize.store import Store
from skytrigger.optimize.students import build
from skytrigger.optimize.training import Trainer


def test_tuned_under_rounding(data: Dataset, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings_module.EFFORTS, "quick", replace(TINY, tune_epochs=2))
    options = {"widths": [8, 16], "depths": [0, 1]}
    recipe = Recipe("student", epochs=3, batch_size=16, precision="fp32", optimiser="adamw", options=options)
    run = tmp_path / "run"
    train(build, data, split, recipe, run, threads=1)
    problem = Problem(run, build, data, split, {"logits": ACCURACY})
    search = Search(problem, Settings(max_drop=50.0, effort="quick"), Store(tmp_path / "search", {}), threads=1)
    trainer, judge = Trainer(search), Judge(search, answers_of_run(search, run, "val"))
    whole = float_files(search, run, "given")[0].file.parent / "whole.onnx"
    eight = EightBits(trainer, judge, whole, tmp_path, split.train[:32])
    plain, aware = eight.tried("minmax"), eight.aware("minmax", {})
    assert aware["method"] == "minmax, quantisation-aware"
    assert aware["value"] >= plain["value"] - 0.1
    assert (tmp_path / plain["file"]).read_bytes() != (tmp_path / "aware.onnx").read_bytes()
    tuned = (tmp_path / "aware.onnx").read_bytes()
    again = EightBits(trainer, judge, whole, tmp_path, split.train[:32]).aware("minmax", {})
    assert again == aware
    assert (tmp_path / "aware.onnx").read_bytes() == tuned
    (history,) = (tmp_path / "search" / "work").glob("aware-*/history.jsonl")
    assert len(history.read_text().splitlines()) == trainer.recipe({}, 2, tuning=True).epochs
    assert np.isfinite(aware["value"])
