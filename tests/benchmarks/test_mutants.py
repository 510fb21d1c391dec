"""`make mutants`: what is changed, that a change is seen, and that a second call does only what is left."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from figures import mutants as page  # noqa: E402
from mutants import plain, records  # noqa: E402
from mutants.making import make  # noqa: E402
from mutants.records import Plan, keep, known, note, plans  # noqa: E402

SOURCE = '''"""About."""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 0.1
"""How far."""
HUGE = 1e18
Sizes = dict[str, int]


@dataclass(frozen=True)
class Box:
    """A box."""

    side: int = 3

    @property
    def half(self) -> float:
        return self.side / 2


@compiled
def loop(values: list[int], first: int = 7) -> int:
    if first >= 9:
        raise ValueError(f"first = {first}", "no such thing")
    told = {"key": "words for people"}
    return values[first + 1]
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "m.py"
    path.write_text(SOURCE)
    return path


def test_constants_defaults_properties_and_decorated_functions_are_changed(source: Path) -> None:
    made = make(source)
    found = {(m.scope, m.was, m.now) for m in made.mutants}
    assert {
        ("", "0.1", "1.1"), ("Box", "3", "4"), ("Box.half", "self.side / 2", "self.side * 2"),
        ("loop", "7", "8"), ("loop", ">= 9", "> 9"), ("loop", "first + 1", "first - 1"), ("loop", '"key"', '"KEY"'),
    } <= found  # fmt: skip
    text = " ".join(was for _, was, _ in found if "=" not in was)
    assert not re.search("no such|words for|About|dataclass|int|1e18|Sizes|annotations", text)
    for mutant in made.mutants:
        changed = made.text(mutant)
        assert changed != SOURCE
        ast.parse(changed)
    assert len({m.key for m in made.mutants}) == len(made.mutants)
    (one,) = [m for m in made.mutants if m.was == "first + 1"]
    assert (one.line, one.first, one.last, one.inside) == (29, 29, 29, True)
    (default,) = [m for m in made.mutants if (m.was, m.now) == ("7", "8")]
    assert (default.first, default.last, default.inside) == (25, 29, True)  # whoever runs the function sees it
    (constant,) = [m for m in made.mutants if m.was == "0.1"]
    assert not constant.inside


def test_a_changed_function_leaves_the_keys_of_the_others(source: Path) -> None:
    before = {m.key: m.scope for m in make(source).mutants}
    source.write_text(SOURCE.replace("first + 1", "first + 2").replace('"""About."""', '"""About."""\n\n# more'))
    after = {m.key: m.scope for m in make(source).mutants}
    assert {s for k, s in before.items() if k not in after} == {"loop"}


@pytest.fixture
def plan(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(records, "WORK", tmp_path)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "test_m.py").write_text("1\n")
    return Plan("m", source.rename(tmp_path / "src" / "m.py"), ("test_m.py::test_a",), 12, 9)


def test_a_sample_is_drawn_by_its_seed_and_nested(plan: Plan) -> None:
    mutants = make(plan.path).mutants
    drawn = plan.drawn(mutants)
    assert len(drawn) == 9
    assert [m.line for m in drawn] == sorted(m.line for m in drawn)
    larger = Plan(plan.name, plan.path, plan.tests, 12, 15).drawn(mutants)
    assert set(drawn) < set(larger)
    assert set(Plan(plan.name, plan.path, plan.tests, 13, 9).drawn(mutants)) != set(drawn)
    assert Plan(plan.name, plan.path, plan.tests, 12).drawn(mutants) == mutants


def test_what_was_tried_is_not_tried_again(plan: Plan, tmp_path: Path) -> None:
    one, two, three, four, *_ = make(plan.path).mutants
    note(plan, one, "killed", "test_a")
    note(plan, two, "survived", "")
    with plan.journal.open("a") as out:
        out.write('{"key": "torn by a k')
    assert {k: v["status"] for k, v in known(plan).items()} == {one.key: "killed", two.key: "survived"}
    plan.journal.write_text(plan.journal.read_text().rpartition("\n")[0] + "\n")
    keep(plan, 40, [(one, "killed"), (two, "survived"), (three, "timeout"), (four, records.NO_PYTHON)])
    assert not plan.journal.exists()
    record = plan.record()
    assert (record["made"], record["tried"], record["seed"]) == (40, 3, 12)
    assert record["counts"] == {"killed": 1, "survived": 1, "timeout": 1}
    assert [m["status"] for m in record["left"]] == ["survived", "timeout"]
    assert set(known(plan)) == {one.key, two.key, three.key}
    (tmp_path / "test_m.py").write_text("2\n")  # another test: survivors have another chance, the killed stay so
    assert set(known(plan)) == {one.key, three.key}
    note(plan, two, "killed", "test_b")
    assert set(known(plan)) == {one.key, two.key, three.key}


RUN = """
import sys
from pathlib import Path
from mutants import records, running, trying
for module in (records, running, trying):
    module.WORK = Path(sys.argv[1])
records.RESULTS = Path(sys.argv[1]) / "results"
test = "tests/measure/test_origin.py::test_an_entry_of_the_origin_is_whole"
path = trying.ROOT / "src/skytrigger/measure/origin.py"
running.run(records.Plan("origin", path, (test,), 12, int(sys.argv[2])), again=False)
"""


def test_a_run_from_its_mutants_to_its_record(tmp_path: Path) -> None:
    def run(sample: int) -> str:
        child = subprocess.run(
            [sys.executable, "-c", RUN, str(tmp_path), str(sample)], cwd=ROOT, capture_output=True, text=True,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'benchmarks'}:{ROOT / 'src'}"}, check=False,
        )  # fmt: skip
        assert child.returncode == 0, child.stdout + child.stderr
        return child.stdout

    assert "2 wanted, 2 to try" in run(2)
    record = json.loads((tmp_path / "results" / "origin.json").read_text())
    assert (record["module"], record["tried"]) == ("skytrigger/measure/origin.py", 2)
    assert record["counts"].get("killed", 0) >= 1
    assert "3 wanted, 1 to try" in run(3)


def test_every_module_in_question_has_its_tests() -> None:
    package = ROOT / "src/skytrigger"
    rows = {plan.path.relative_to(package).as_posix(): plan for plan in plans()}
    assert all(p.path.is_file() and all((ROOT / t.split("::")[0]).exists() for t in p.tests) for p in rows.values())
    files = [*(package / "measure").rglob("*.py"), *(package / "model").rglob("*.py")]
    wanted = {path.relative_to(package).as_posix() for path in files}
    wanted |= {"learn/metrics.py", "hep/clue/rules.py", "hep/clue/cpu_search.py"}
    assert wanted - {*rows} == {"measure/meters/__init__.py"}  # which is empty
    assert all(plan.plain for plan in plans() if "clue" in plan.name)


def test_plain_lanes_are_all_there() -> None:
    tree = ast.parse((ROOT / "src/skytrigger/hep/clue/lanes.py").read_text())
    names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}
    names |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
    assert {n for n in names if not n.startswith("_")} <= set(vars(plain))


def test_the_page_counts_as_the_records_do() -> None:
    table = page.by_module()
    for plan in plans():
        if plan.record():
            assert f"`{plan.record()['module'].removeprefix('skytrigger/')}`" in table
