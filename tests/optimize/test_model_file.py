"""A model file as the network that is to be replaced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_up import MadeUp
from test_search import TINY

from skytrigger.model.export import export_onnx
from skytrigger.model.file import read_model
from skytrigger.optimize import settings as settings_module
from skytrigger.optimize.optimise import optimise
from skytrigger.optimize.problem import Problem
from skytrigger.optimize.settings import Settings


def test_a_search_from_a_file(problem: Problem, tmp_path: Path) -> None:
    from skytrigger.learn.run_folder import RunFolder

    file = tmp_path / "given.onnx"
    export_onnx(*RunFolder(problem.given).load(problem.build), file)
    asked = Settings(max_drop=60.0, effort="quick", batch_sizes=(8,), bands=(), precisions=("fp32",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings_module.EFFORTS, "quick", replace(TINY, pool=1, candidates=1, rungs=(), prunings=()))
        found = optimise(replace(problem, given=file), asked, tmp_path / "out", threads=1, bench=MadeUp())
    assert read_model(tmp_path / "out" / "candidates" / "given_fp32.onnx").sha256 == read_model(file).sha256
    given = next(r for r in found["engines"] if r["name"] == "given")
    assert given["change"]["estimate"] == 0
    assert found["winner"]["accepted"]
    assert any("the given network: torch" in row["against"] for row in found["ratios"])
