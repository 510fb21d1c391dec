"""One module, from its mutants to its record."""

from __future__ import annotations

import time

from mutants.making import Mutant, make
from mutants.records import NO_PYTHON, SEEN, Plan, keep, known, note, sha256_of
from mutants.trying import WORK, Reach, attempt, reach, warm


def run(plan: Plan, *, again: bool) -> None:
    """Try what is left of a module and write its record."""
    WORK.mkdir(parents=True, exist_ok=True)
    if again:
        plan.journal.unlink(missing_ok=True)
        plan.file.unlink(missing_ok=True)
    made = make(plan.path)
    mutants = plan.drawn(made.mutants)
    before = known(plan)
    todo = [m for m in mutants if m.key not in before]
    print(f"{plan.name}: {len(made.mutants)} mutants, {len(mutants)} wanted, {len(todo)} to try", flush=True)
    found = {m.key: before[m.key]["status"] for m in mutants if m.key in before}
    if todo:
        begin = time.monotonic()
        key = f"{plan.tests_hash()} {sha256_of(plan.path)} {_selected(plan)} {plan.plain}"
        reached, known_before = reach(plan.name, plan.path, _selected(plan), plain=plan.plain, key=key)
        warm(reached.modules)
        if not known_before:
            _check_that_changes_are_seen(plan, reached)
        print(f"  {len(reached.seconds)} tests in {time.monotonic() - begin:.0f} s", flush=True)
    for number, mutant in enumerate(todo, 1):
        status, by = _one(plan, made.text(mutant), reached, mutant)
        found[mutant.key] = status
        note(plan, mutant, status, by)
        if status != "killed":
            print(f"  {plan.path.name}:{mutant.line}: {status}: {mutant.was}  ->  {mutant.now}", flush=True)
        if number % 50 == 0:
            left = (time.monotonic() - begin) / number * (len(todo) - number)
            print(f"  {number} of {len(todo)}, {left / 60:.0f} min to go", flush=True)
    keep(plan, len(made.mutants), [(m, found[m.key]) for m in mutants])
    mutants = [m for m in mutants if found[m.key] != NO_PYTHON]
    seen = sum(found[m.key] in SEEN for m in mutants)
    print(f"  killed {seen} of {len(mutants)} ({100 * seen / max(1, len(mutants)):.1f} %)", flush=True)


def _selected(plan: Plan) -> list[str]:
    """What pytest is asked for."""
    return [*plan.tests, *(["-k", f"not ({' or '.join(plan.without)})"] if plan.without else [])]


def _check_that_changes_are_seen(plan: Plan, reached: Reach) -> None:
    """A module that cannot even be imported must fail: else it is another copy of it that is tested."""
    broken = 'raise RuntimeError("changed")\n'
    status, _ = attempt(
        plan.name, plan.path, broken, [*reached.seconds], sum(reached.seconds.values()), plain=plan.plain
    )
    if status != "killed":
        raise SystemExit(f"{plan.name}: a module that raises is {status}: its tests do not import it")


def _one(plan: Plan, text: str, reached: Reach, mutant: Mutant) -> tuple[str, str]:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return NO_PYTHON, ""
    tests = reached.tests(mutant.first, mutant.last, inside=mutant.inside)
    if not tests:
        return "no test", ""
    seconds = sum(reached.seconds[t] for t in tests)
    return attempt(plan.name, plan.path, text, tests, seconds, plain=plan.plain)
