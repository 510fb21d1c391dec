"""Networks that learned from images that judge here; and a search's steps, which are done once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_up import MadeUp

from skytrigger.core.errors import InputError
from skytrigger.optimize.optimise import optimise
from skytrigger.optimize.problem import Problem
from skytrigger.optimize.settings import Settings
from skytrigger.optimize.store import Store
from skytrigger.report.optimize_page import choice_section


def test_a_given_network_that_learned_from_the_test_part_is_refused(problem: Problem, tmp_path: Path) -> None:
    split = problem.split
    turned = replace(problem, split=replace(split, train=split.test, test=split.train))
    with pytest.raises(InputError, match="96 of 96 test images here are among its training images"):
        optimise(turned, Settings(0.2), tmp_path / "out", threads=1, bench=MadeUp())
    assert not (tmp_path / "out" / "optimize.json").exists()
    (warning,) = replace(turned, allow_seen=True).leakage()
    assert "96 of 96 test images" in warning


def test_an_allowed_leak_is_on_the_page(problem: Problem) -> None:
    found = {
        "settings": {"strict": False, "max_drop": 0.2},
        "problem": {"metric": "accuracy"},
        "winner": {"name": "w", "sentence": "s", "verdict": "holds", "runtime": "r", "precision": "p"},
        "test": {"sentence": "t", "verdict": "holds"},
    }
    assert "Leakage" not in str(choice_section(found))
    (leak,) = replace(problem, split=replace(problem.split, test=problem.split.train), allow_seen=True).leakage()
    assert leak in str(choice_section({**found, "leakage": [leak]}))


def test_a_step_is_done_once(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "s", {"a": 1}), []
    for _ in range(2):
        assert store.once("kind", {"x": 1}, lambda folder: made.append(1) or {"y": 2}) == {"y": 2}
    store.once("kind", {"x": 2}, lambda folder: made.append(2) or {})
    assert made == [1, 2]
    with pytest.raises(InputError, match="another search"):
        Store(tmp_path / "s", {"a": 2})
