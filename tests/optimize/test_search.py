"""The whole search on small tiles with made-up times, and how it goes on after a kill."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import MadeUp

from skytrigger.core.dataset import Split
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.model.file import read_model
from skytrigger.optimize import settings as settings_module
from skytrigger.optimize.candidates import Candidate
from skytrigger.optimize.optimise import identity, optimise
from skytrigger.optimize.problem import Problem, Search
from skytrigger.optimize.settings import Effort, Settings
from skytrigger.optimize.stages import Timed, decide_teaching, shortlist, survivors
from skytrigger.optimize.store import Store
from skytrigger.optimize.timing import as_json, from_json
from skytrigger.optimize.training import DISTIL, Trainer
from skytrigger.runtimes.spec import EngineSpec

TINY = Effort(3, 2, ((1, 1),), 2, 1, 1, (0.5,), 30, 10_000, 0.1, 16, 1)


@pytest.fixture(autouse=True)
def _tiny_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings_module.EFFORTS, "quick", TINY)


def asked(**changes: object) -> Settings:
    return replace(Settings(max_drop=60.0, effort="quick", batch_sizes=(8,)), **changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, problem: Problem) -> tuple[Path, dict, MadeUp]:
    out, measure = tmp_path_factory.mktemp("search") / "out", MadeUp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings_module.EFFORTS, "quick", TINY)
        return out, optimise(problem, asked(), out, threads=1, bench=measure), measure


def without_times(found: dict) -> str:
    return json.dumps({k: v for k, v in found.items() if k != "host"}, sort_keys=True)


def test_what_a_search_leaves(done: tuple[Path, dict, MadeUp], problem: Problem) -> None:
    out, found, _ = done
    best = read_model(out / "best.onnx")
    assert best.sha256 == found["winner"]["sha256"]
    assert best.card.name == "student"
    assert set(best.card.channels) <= set(problem.dataset.channels)
    names = {p.name for p in (out / "candidates").iterdir()}
    assert "given_fp32.onnx" in names
    assert {row["file"].split("/")[1] for row in found["engines"]} == names
    assert json.loads((out / "optimize.json").read_text())["winner"] == found["winner"]
    assert (out / "records" / "records.jsonl").read_text().count("\n") > 0
    precisions = {row["precision"] for row in found["engines"]}
    assert precisions == {"fp32", "int8"}
    assert any("pruned" in row.get("origin", "") for row in found["engines"])


def test_the_winner_is_the_fastest_that_was_accepted(done: tuple[Path, dict, MadeUp]) -> None:
    _, found, _ = done
    final = [r for r in found["engines"] if r["timed"] == "final" and r["runtime"] != "torch"]
    assert found["winner"]["ms_per_image"]["estimate"] == min(r["ms_per_image"]["estimate"] for r in final)
    assert found["winner"]["accepted"]
    assert all(r["accepted"] for r in found["engines"] if r["timed"])


def test_the_verdicts_are_of_validation_and_the_test_part_was_read_once(
    done: tuple[Path, dict, MadeUp], problem: Problem
) -> None:
    out, found, _ = done
    assert {r["images"] for r in found["engines"]} == {len(problem.split.val)}
    assert found["test"]["images"] == len(problem.split.test)
    assert json.loads((out / "test_marker.json").read_text())["sha256"] == found["winner"]["sha256"]


def test_the_test_part_chooses_nothing(done: tuple[Path, dict, MadeUp], problem: Problem, tmp_path: Path) -> None:
    """With nonsense for test images the same network wins."""
    _, found, _ = done
    x = problem.dataset.x.copy()
    x[problem.split.test] = 0
    blind = replace(problem, dataset=replace(problem.dataset, x=x))
    again = optimise(blind, asked(), tmp_path / "out", threads=1, bench=MadeUp())
    assert again["winner"]["name"] == found["winner"]["name"]
    assert [r["change"] for r in again["engines"]] == [r["change"] for r in found["engines"]]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 2])
def test_a_killed_search_goes_on_to_the_same_result(
    done: tuple[Path, dict, MadeUp], problem: Problem, tmp_path: Path, at: int
) -> None:
    _, whole, measure = done
    out = tmp_path / "out"

    class Dying(MadeUp):
        def __call__(self, *how):
            if len(self.calls) == at:
                raise Killed
            return super().__call__(*how)

    with pytest.raises(Killed):
        optimise(problem, asked(), out, threads=1, bench=Dying())
    rest = MadeUp()
    found = optimise(problem, asked(), out, threads=1, bench=rest)
    assert len(rest.calls) == len(measure.calls) - at
    assert without_times(found) == without_times(whole)
    assert (out / "best.onnx").read_bytes() == (done[0] / "best.onnx").read_bytes()


def test_a_finished_search_measures_and_looks_no_more(
    done: tuple[Path, dict, MadeUp], problem: Problem, tmp_path: Path
) -> None:
    out, found, _ = done
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    idle = MadeUp()
    again = optimise(problem, asked(), copy, threads=1, bench=idle)
    assert idle.calls == []
    assert without_times(again) == without_times(found)


def test_another_choice_gets_no_second_look(done: tuple[Path, dict, MadeUp], problem: Problem, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done[0], copy)
    marker = copy / "test_marker.json"
    marker.write_text(marker.read_text().replace(done[1]["winner"]["sha256"], "0" * 64))
    with pytest.raises(SkytriggerError, match="already read"):
        optimise(problem, asked(), copy, threads=1, bench=MadeUp())


def test_a_folder_holds_one_search(done: tuple[Path, dict, MadeUp], problem: Problem, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_drop"):
        optimise(problem, asked(max_drop=50.0), done[0], threads=1, bench=MadeUp())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="not empty"):
        optimise(problem, asked(), tmp_path / "full", threads=1, bench=MadeUp())


def test_where_nothing_holds_the_floor_the_given_network_stays(problem: Problem, tmp_path: Path) -> None:
    """Only the given network's own answers hold this floor."""
    from skytrigger.measure.stats import Interval
    from skytrigger.optimize.metric import ACCURACY, Difference, Metric

    def difference(given, candidate, true, rows):
        same = bool(abs(given - candidate).max() < 0.02)
        return Difference(Interval(0.0 if same else -0.5, -0.01 if same else -0.6, 0.01, 0.95, len(true)), 0.01)

    strict = replace(problem, floors={"logits": Metric("accuracy", ACCURACY.value, difference)})
    found = optimise(strict, asked(max_drop=5.0), tmp_path / "out", threads=1, bench=MadeUp())
    assert found["winner"]["name"] == "given"
    below = [r for r in found["engines"] if r["name"] != "given"]
    assert below
    assert not any(r["accepted"] or r["timed"] for r in below)


def test_strictly_only_what_is_established(problem: Problem, tmp_path: Path) -> None:
    """32 validation images exclude no drop under 10 points: the given network alone may stay."""
    found = optimise(problem, asked(max_drop=1.0, strict=True, precisions=("fp32",)), tmp_path / "out", threads=1,
                     bench=MadeUp())  # fmt: skip
    assert found["winner"]["name"] == "given"
    assert {r["name"] for r in found["engines"] if r["accepted"]} == {"given"}
    assert found["winner"]["verdict"] == "not established"
    assert found["winner"]["smallest_margin"] > 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_drop": -0.1}, "max-drop"),
        ({"max_drop": 100.0}, "max-drop"),
        ({"max_drop": float("nan")}, "max-drop"),
        ({"effort": "heroic"}, "heroic"),
        ({"precisions": ("fp32", "int4")}, "int4"),
        ({"batch_sizes": (0,)}, "batch size"),
        ({"threads": ()}, "threads"),
    ],
)
def test_impossible_requests(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        asked(**changes)


def test_no_validation_images(problem: Problem) -> None:
    empty = Split(problem.split.train, problem.split.val[:0], problem.split.test)
    with pytest.raises(InputError, match="no val images"):
        replace(problem, split=empty)


def test_without_a_test_part_the_choice_is_said_to_be_unconfirmed(problem: Problem, tmp_path: Path) -> None:
    two = replace(problem, split=Split(problem.split.train, problem.split.val, problem.split.test[:0]))
    found = optimise(two, asked(precisions=("fp32",)), tmp_path / "out", threads=1, bench=MadeUp())
    assert found["test"]["verdict"] == "no test images"
    assert "not confirmed" in found["test"]["sentence"]
    assert not (tmp_path / "out" / "test_marker.json").exists()


def timed(name: int, ms: float, value: float = 0.0, accepted: bool = False, operations: int = 1) -> Timed:
    options = {"widths": [name], "depths": [0], "stem": "k4", "block": "plain"}
    return Timed(Candidate(options, ("a",), operations), ms, None, value, accepted)


def test_survivors_are_the_fastest_above_the_floor_and_the_best() -> None:
    tried = [timed(1, 0.1, 0.80), timed(2, 0.2, 0.90, True), timed(3, 0.3, 0.91, True), timed(4, 0.4, 0.95, True)]
    kept = [t.candidate.options["widths"][0] for t in survivors(tried, 3)]
    assert kept == [2, 4, 3]
    assert [t.candidate.options["widths"][0] for t in survivors(tried[:1] + tried[3:], 1)] == [4]


def test_the_shortlist_prefers_operations_for_the_time() -> None:
    pool = [
        timed(1, 1.0, operations=10),
        timed(2, 1.1, operations=5),
        timed(3, 2.0, operations=30),
        timed(4, 3.0, operations=29),
    ]
    assert {t.candidate.options["widths"][0] for t in shortlist(pool, 2)} == {1, 3}


def test_layouts_share_the_cores_and_the_batch() -> None:
    assert asked(threads=(1, 2), streams=(1, 2), batch_sizes=(64,)).layouts() == [(64, 1, 1), (32, 1, 2), (64, 2, 1)]
    assert asked(threads=(2,), streams=(3,), batch_sizes=(64,)).layouts() == [(64, 2, 1)]
    assert asked(threads=(1,), streams=(2,), batch_sizes=(8, 3)).layouts() == [(8, 1, 1), (3, 1, 1)]


def test_stored_tiles_are_one_more_input_type(problem: Problem) -> None:
    assert asked().input_types(problem.dataset) == ["float32"]
    assert asked().stored_as(problem.dataset) is None
    assert "stored" not in identity(problem, asked())  # folders of before the choice go on
    engine = EngineSpec(str(problem.given / "m.onnx"), "torch", "fp32")
    assert "input_type" not in as_json(engine, problem.given)
    assert from_json(as_json(engine, problem.given), problem.given) == engine
    assert asked(stored=True).input_types(problem.dataset) == ["float32", problem.dataset.x.dtype.name]
    assert asked(stored=True).stored_as(problem.dataset) == problem.dataset.x.dtype.name


def test_a_step_is_done_once(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "s", {"a": 1}), []
    for _ in range(2):
        assert store.once("kind", {"x": 1}, lambda folder: made.append(1) or {"y": 2}) == {"y": 2}
    store.once("kind", {"x": 2}, lambda folder: made.append(2) or {})
    assert made == [1, 2]
    with pytest.raises(InputError, match="another search"):
        Store(tmp_path / "s", {"a": 2})


def test_epochs_follow_the_images(problem: Problem, tmp_path: Path) -> None:
    """Few images get at least the effort's steps, many at most its images; shorter trainings in proportion."""
    effort = Effort(3, 2, (), 50, 1, 10, (), 400, 10**6, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings_module.EFFORTS, "quick", effort)
        trainer = Trainer(Search(problem, asked(), Store(tmp_path / "s", {})))
        images = len(problem.split.train)
        batches = -(-images // 16)
        assert trainer.recipe({}, 50).epochs == -(-400 // batches) > 50
        assert trainer.recipe({}, 10).epochs == -(-80 // batches)
        patch.setitem(settings_module.EFFORTS, "quick", replace(effort, most_images=3000))
        assert trainer.recipe({}, 50).epochs == 3000 // images
        patch.setitem(settings_module.EFFORTS, "quick", replace(effort, least_steps=1))
        assert trainer.recipe({}, 50).epochs == 50


def test_the_given_network_teaches_only_where_that_helps(problem: Problem, tmp_path: Path) -> None:
    def tried(values: dict[float, float]) -> float:
        trainer = Trainer(Search(problem, asked(), Store(tmp_path / str(values), {})))

        def made_up(trainer: Trainer, judge: object, one: Timed, epochs: int, *, warm: bool) -> Timed:
            assert (epochs, warm) == (1, False)
            return replace(one, value=values[trainer.distil])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("skytrigger.optimize.stages.trained", made_up)
            log = decide_teaching(trainer, None, [timed(1, 0.1), timed(2, 0.2)])
        assert log["distil"] == trainer.distil
        assert [n["value"] for n in log["networks"]] == [values[DISTIL], values[0.0]]
        return trainer.distil

    assert tried({DISTIL: 0.9, 0.0: 0.8}) == DISTIL
    assert tried({DISTIL: 0.7, 0.0: 0.8}) == 0.0
