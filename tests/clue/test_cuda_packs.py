"""Many events in packs: columns looked at while they are copied, threads with a stream each, numbers that go on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import cuda

from skytrigger.core.errors import InputError
from skytrigger.hep.clue import Workspace, cluster, cuda_copy
from skytrigger.hep.clue import cuda as backend
from skytrigger.hep.clue.cuda_columns import Columns, UnusualError, columns_as_they_are, copy_piece, range_of
from skytrigger.hep.clue.rules import Cuts
from skytrigger.hep.clue.workspace import kept_workspace

from .simulated_packs import CUTS, FIELDS, cases, events

SCRIPT = Path(__file__).with_name("simulated_packs.py")


def test_events_in_the_simulator() -> None:
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, str(SCRIPT), "3", "3", "short"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "agree" in done.stdout


@pytest.mark.gpu
def test_events_on_a_gpu() -> None:
    if not cuda.is_available():
        pytest.skip("no CUDA device")
    done = subprocess.run([sys.executable, str(SCRIPT), "700", "500"], capture_output=True, text=True)
    assert "15 agree" in done.stdout, done.stderr[-3000:]


class Stage:
    """The backend `cpu` in a stage's place: some packs take longer than those after them."""

    def __init__(self, packs: list[int]) -> None:
        self.packs = packs

    def run(self, columns: Columns, cuts: Cuts, results: dict[str, Any], share: Any = None) -> int:
        names = [*columns.floats, *(("group",) if columns.parted else ())]
        copied = {name: np.empty(len(columns), np.int32) for name in names}
        pieces = list(columns.pieces(7))

        def copy(name: str, first: int, last: int) -> tuple[int, int]:
            return copy_piece(columns, name, copied[name][first:last], first, last)

        found = share(copy, pieces) if share else [copy(*piece) for piece in pieces]
        ends = range_of(pieces, found)
        x, y = (copied[name].view(np.float32) for name in "xy")
        assert (ends.low["x"], ends.high["y"]) == (x.min(), y.max())
        columns.seen.append(float(np.abs(x).max()))
        if x.min() > 1e5:
            x = x - x.min()  # else there were a warning from here, too
        group = copied.get("group", np.zeros(len(columns), np.int32)) - ends.first_group
        assert 0 <= group.min() <= group.max() < ends.n_groups
        weight = copied["weight"].view(np.float32) if "weight" in copied else None
        time.sleep(0.002 * (columns.first % 3))
        part = cluster(x, y, group, weight, **CUTS, workspace=kept_workspace())
        for name, target in results.items():
            target[:] = getattr(part, name)
        results["nearest_higher"][part.nearest_higher >= 0] += columns.first
        self.packs.append(len(columns))
        return part.n_clusters


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "pinned_array", lambda size, kind: np.full(size, 0x77, kind))
    monkeypatch.setattr(backend, "_kept", lambda space, slot: Stage(made))
    monkeypatch.setattr(backend, "_threads", lambda: 4)
    monkeypatch.setattr(backend, "PACK_HITS", (16, 16))
    return made


@pytest.mark.parametrize("name", list(cases(np.random.default_rng(0), 4)))
def test_threads_and_packs_do_not_show(packs: list[int], name: str) -> None:
    columns = cases(np.random.default_rng(1), 40)[name]
    expected, space = cluster(**columns, **CUTS, backend="kdtree"), Workspace()
    for strategy in (4, 3):
        packs.clear()
        found = cluster(**columns, **CUTS, backend="cuda", strategy=strategy, workspace=space)
        for field in FIELDS:
            assert np.array_equal(getattr(expected, field), getattr(found, field)), (strategy, field)
        assert sum(packs) >= len(columns["x"])  # more where a disorder sends the whole call the long way
        assert packs == [len(columns["x"])] or strategy == 4
    if name in ("plain", "one hit, empty, unequal", "events of one hit", "layers in order"):
        packs.clear()
        cluster(**columns, **CUTS, backend="cuda", strategy=4, workspace=space)
        assert len(packs) >= 2


@pytest.mark.parametrize(("column", "place", "bad"), [
    ("x", 0, np.nan), ("y", -1, -np.inf), ("y", 50, 2e18), ("weight", 50, -1.0), ("weight", -1, np.nan),
    ("weight", 3, 1e38), ("x", 5, -np.float32(np.nan)),
])  # fmt: skip
def test_what_is_wrong_is_said_as_ever(packs: list[int], column: str, place: int, bad: float) -> None:
    columns = events(np.random.default_rng(2), [40, 60, 20])
    columns[column][place] = bad
    with pytest.raises(InputError) as expected:
        cluster(**columns, **CUTS)
    for strategy in (3, 4):
        with pytest.raises(InputError) as said:
            cluster(**columns, **CUTS, backend="cuda", strategy=strategy)
        assert str(said.value) == str(expected.value)


def test_an_error_in_a_pack_comes_out(packs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Stage):
        def run(self, columns: Columns, *args: Any, **more: Any) -> int:
            if columns.first > 60:
                raise MemoryError("no room")
            return super().run(columns, *args, **more)

    monkeypatch.setattr(backend, "_kept", lambda space, slot: Broken(packs))
    columns = events(np.random.default_rng(3), [20] * 12)
    with pytest.raises(MemoryError, match="no room"):
        cluster(**columns, **CUTS, backend="cuda", strategy=4)


def test_far_coordinates_are_warned_of(packs: list[int]) -> None:
    columns = events(np.random.default_rng(4), [20, 20])
    columns["x"] = np.round(columns["x"]) + np.float32(1e6)
    for strategy in (3, 4):
        with pytest.warns(RuntimeWarning, match="x reaches") as warned:
            cluster(**columns, **CUTS, backend="cuda", strategy=strategy)
        assert [Path(w.filename) for w in warned] == [Path(__file__)]


def test_keys_order_like_floats() -> None:
    values = np.array([-np.inf, -1e18, -1.5, -1e-45, -0.0, 0.0, 1e-45, 2.5, 3e38, np.inf], np.float32)
    keys = [cuda_copy.key(float(v)) for v in values]
    assert keys == sorted(keys)
    assert [cuda_copy.of_key(k) for k in keys] == values.tolist()
    target = np.empty(len(values), np.int32)
    assert cuda_copy.copy_floats(values.view(np.int32), target) == (keys[0], keys[-1])
    assert (target == values.view(np.int32)).all()
    for sign in (1, -1):
        bad = np.array([0, sign * np.nan], np.float32).view(np.int32)
        low, high = cuda_copy.copy_floats(bad, np.empty(2, np.int32))
        assert low < keys[0] or high > keys[-1]


def test_seams_are_where_values_begin() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        outer = np.sort(rng.integers(-5, rng.integers(-4, 40), rng.integers(1, 60)))
        seams = np.empty(64, np.int64)
        found = cuda_copy.find_seams(outer, seams)
        expected = [0, *(np.flatnonzero(np.diff(outer)) + 1), len(outer)]
        assert seams[:found].tolist() == expected
        assert cuda_copy.find_seams(outer, np.empty(len(expected) - 1, np.int64)) == 0  # no room


def test_disorder_that_seams_do_not_show_is_found() -> None:
    columns = events(np.random.default_rng(6), [30, 30])
    columns["event"][10] = 99  # halving does not look there
    taken = columns_as_they_are(*(columns[k] for k in ("x", "y", "layer", "weight", "event")), 1.0)
    assert taken is not None
    with pytest.raises(UnusualError):
        copy_piece(taken, "group", np.empty(60, np.int32), 0, 60)


def test_numbers_go_on_in_the_order_of_packs() -> None:
    packs = [np.array([0, -1, 1], np.int32), np.array([0, 0], np.int32), np.array([-1, 0], np.int32)]
    numbers = backend.Numbers(packs)
    numbers.add(2, 1)
    numbers.add(0, 2)
    assert [p.tolist() for p in packs] == [[0, -1, 1], [0, 0], [-1, 0]]
    numbers.add(1, 1)
    assert [p.tolist() for p in packs] == [[0, -1, 1], [2, 2], [-1, 3]]
