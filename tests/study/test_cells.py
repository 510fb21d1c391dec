"""The address of a cell: all that decides its result, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from skytrigger.study.study_file import Cell

TRAINING = Cell("train", "basic", {"epochs": 3})
CELL = Cell("time", "basic", {"batch": 64}, (TRAINING,))


@pytest.mark.parametrize(
    "change",
    [{"kind": "energy"}, {"params": {"batch": 65}}, {"needs": ()},
     {"needs": (replace(TRAINING, params={"epochs": 4}),)}, {"needs": (replace(TRAINING, kind="tune"),)}],
)  # fmt: skip
def test_what_decides_the_result_is_in_the_key(change: dict[str, Any]) -> None:
    assert replace(CELL, **change).key != CELL.key


@pytest.mark.parametrize(
    "change", [{"label": "other"}, {"cost": 9.0}, {"status": "done"}, {"error": "x"}, {"result": {"a": 1}}]
)
def test_what_does_not_is_not(change: dict[str, Any]) -> None:
    assert replace(CELL, **change).key == CELL.key


def test_a_cell_that_was_read_keeps_its_address() -> None:
    read = replace(CELL, read_key="as it was", read_folder="cells/old")
    assert (read.key, read.folder) == ("as it was", "cells/old")
    assert CELL.folder == f"cells/time-basic-{CELL.key[:10]}"
    assert CELL.training is TRAINING
