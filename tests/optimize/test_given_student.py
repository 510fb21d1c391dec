"""A given network of the family, from an INT8 file too, is pruned and tuned as candidates are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up import MadeUp
from test_search import TINY

from skytrigger.applications.registry import build
from skytrigger.core.dataset import Dataset, Split
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.train import train
from skytrigger.model.export import export_onnx, write_model
from skytrigger.model.file import read_model
from skytrigger.model.quantise import quantise
from skytrigger.optimize import settings as settings_module
from skytrigger.optimize.metric import ACCURACY
from skytrigger.optimize.optimise import optimise
from skytrigger.optimize.problem import Problem, Search
from skytrigger.optimize.prune import given_student
from skytrigger.optimize.settings import Settings
from skytrigger.optimize.store import Store

OPTIONS = {"widths": [16, 32], "depths": [0, 1]}  # stem and block as the builder has them: not in the card
ASKED = Settings(max_drop=60.0, effort="quick", batch_sizes=(8,), bands=(), precisions=("fp32", "int8"))
EFFORT = replace(TINY, pool=1, candidates=1, rungs=())


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory, data: Dataset, split: Split) -> Path:
    folder = tmp_path_factory.mktemp("student")
    recipe = Recipe("student", epochs=4, batch_size=16, learning_rate=4e-3, options=OPTIONS, precision="fp32")
    run = train(build, data, split, recipe, folder / "run", threads=1)
    export_onnx(*run.load(build), folder / "fp32.onnx")
    ids = tuple(data.ids[i] for i in split.train)
    quantise(folder / "fp32.onnx", folder / "int8.onnx", data.x[split.train].astype(np.float32), ids)
    return folder / "int8.onnx"


@pytest.fixture(scope="module")
def done(int8: Path, data: Dataset, split: Split, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("search") / "out"
    return out, search(int8, data, split, out)


def search(given: Path, data: Dataset, split: Split, out: Path) -> dict:
    problem = Problem(given, build, data, split, {"logits": ACCURACY})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings_module.EFFORTS, "quick", EFFORT)
        return optimise(problem, ASKED, out, threads=1, bench=MadeUp())


def test_it_is_among_the_candidates_pruned_and_from_its_own_weights(done: tuple[Path, dict], int8: Path) -> None:
    out, found = done
    mine = [row for row in found["engines"] if row.get("origin") == "pruned to 50% from the given network"]
    assert {row["precision"] for row in mine} == {"fp32", "int8"}
    (unpacked,) = (out / "work").glob("unpacked-*")
    network, card = RunFolder(unpacked).load(build)
    assert (card.precision, card.options) == ("fp32", OPTIONS)
    assert card.notes["seen"] == read_model(int8).card.notes["seen"]  # what it has seen goes with it
    assert sum(p.numel() for p in network.parameters()) > 1000


def test_the_floor_is_relative_to_the_file_as_it_was_given(done: tuple[Path, dict], int8: Path) -> None:
    out, found = done
    given = next(row for row in found["engines"] if row["name"] == "given")
    assert (given["precision"], given["change"]["estimate"]) == ("int8", 0)
    assert read_model(out / found["given"]["file"]).sha256 == read_model(int8).sha256
    assert found["problem"]["given"] == "int8"


def test_the_same_call_again_does_nothing_twice(
    done: tuple[Path, dict], int8: Path, data: Dataset, split: Split
) -> None:
    out, found = done
    times = {p: p.stat().st_mtime_ns for p in (out / "work").rglob("*")}
    again = search(int8, data, split, out)
    assert {p: p.stat().st_mtime_ns for p in (out / "work").rglob("*")} == times
    assert again["winner"] == found["winner"]


def test_a_file_whose_layers_are_others_is_none_of_the_family(
    int8: Path, data: Dataset, split: Split, tmp_path: Path
) -> None:
    model = read_model(int8)
    other = tmp_path / "other.onnx"
    write_model(model.graph(), replace(model.card, options={**OPTIONS, "widths": [16, 40]}), other)
    problem = Problem(other, build, data, split, {"logits": ACCURACY})
    assert given_student(Search(problem, ASKED, Store(tmp_path / "out", {}))) is None


def test_what_few_validation_images_can_show_is_known_before_the_search(problem: Problem) -> None:
    few = replace(problem, split=replace(problem.split, val=problem.split.val[:10]))
    assert few.least_drop() == pytest.approx(27.75, abs=0.01)  # z^2 / (n + z^2): no answer differs
    assert problem.least_drop() < few.least_drop()
