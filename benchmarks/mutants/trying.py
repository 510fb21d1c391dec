"""Tests run in forked processes: once as they are, for what each reaches and takes; then on one mutant after the other.

The parent has imported the libraries but nothing of the package, so that a child costs its tests and little more, and
imports the changed module as everybody else would.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "mutants"
OURS = tuple(str(ROOT / folder) for folder in ("src", "tests", "benchmarks"))
OPTIONS = ("-q", "-x", "-m", "not slow and not real and not gpu", "-p", "no:cacheprovider", "-p", "pytest_timeout")
MEMORY = 6 << 30


@dataclass(frozen=True)
class Reach:
    """What the tests of a module do as it is: seconds of each, and which reach a line."""

    seconds: dict[str, float]
    lines: dict[int, list[str]]
    modules: list[str]

    def tests(self, first: int, last: int, *, inside: bool) -> list[str]:
        """Those that reach one of the lines, the fastest first; all of them for lines that run on import."""
        names = {t for line in range(first, last + 1) for t in self.lines.get(line, ())} if inside else {*self.seconds}
        return sorted(names, key=self.seconds.__getitem__)


class Watch:
    """pytest plugin: times the tests, has coverage note which test reaches what, keeps the wanted ones."""

    def __init__(self, coverage: Any = None, wanted: Sequence[str] = ()) -> None:
        self.coverage = coverage
        self.wanted = {name: place for place, name in enumerate(wanted)}
        self.seconds: dict[str, float] = {}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted:
            items[:] = [item for item in items if item.nodeid in self.wanted]
            items.sort(key=lambda item: self.wanted[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self.coverage is not None:
            self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid


def run_pytest(arguments: Sequence[str], watch: Watch) -> int:
    """In this process, from the root of the repository."""
    from hypothesis import Phase, settings

    settings.register_profile(
        "mutants", database=None, derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate)
    )
    settings.load_profile("mutants")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # looking for plugins is most of what a short run takes
    folder = WORK / f"tmp-{os.getpid()}"
    return int(pytest.main([*OPTIONS, f"--basetemp={folder}", *arguments], [watch]))


def reach(name: str, path: Path, tests: Sequence[str], *, plain: bool, key: str) -> tuple[Reach, bool]:
    """Run the tests once, exiting where one fails; or what was found before under the same `key`, and True."""
    out = WORK / f"{name}.reach.json"
    if out.exists() and (raw := json.loads(out.read_text())).get("key") == key:
        return Reach(raw["seconds"], {int(k): v for k, v in raw["lines"].items()}, raw["modules"]), True

    def child() -> int:
        from coverage import Coverage

        coverage = Coverage(data_file=None, include=[str(path)])
        watch = Watch(coverage)
        coverage.start()
        as_plain(plain)
        code = run_pytest(tests, watch)
        coverage.stop()
        data = coverage.get_data()
        lines = {line: [c for c in found if c] for line, found in data.contexts_by_lineno(str(path)).items()}
        modules = [n for n, m in list(sys.modules.items()) if not str(getattr(m, "__file__", None)).startswith(OURS)]
        modules = [n for n in modules if n.split(".")[0] not in ("skytrigger", "__main__")]
        out.write_text(
            json.dumps({"key": "" if code else key, "seconds": watch.seconds, "lines": lines, "modules": modules})
        )
        return code

    code, _ = in_a_child(child, WORK / f"{name}.reach.txt", cpu_s=1200, wall_s=3600)
    if code:
        sys.exit(f"{name}: its tests fail without a change (exit {code}): {WORK / f'{name}.reach.txt'}")
    raw = json.loads(out.read_text())
    return Reach(raw["seconds"], {int(k): v for k, v in raw["lines"].items()}, raw["modules"]), False


def warm(modules: Sequence[str]) -> None:
    """Import here what the tests will import, but nothing of the package."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def attempt(name: str, path: Path, text: str, tests: Sequence[str], seconds: float, *, plain: bool) -> tuple[str, str]:
    """Status and the test that saw it: ``killed``, ``timeout`` or ``survived``."""
    verdict = WORK / f"{name}.verdict.txt"
    verdict.unlink(missing_ok=True)

    def child() -> int:
        sys.meta_path.insert(0, Changed(module_name(path), path, text))
        as_plain(plain)
        watch = Watch(wanted=tests)
        code = run_pytest(sorted({t.split("::")[0] for t in tests}), watch)
        verdict.write_text(watch.failed)
        return code

    code, timed_out = in_a_child(child, WORK / f"{name}.txt", cpu_s=10 + 10 * seconds, wall_s=60 + 20 * seconds)
    if timed_out:
        return "timeout", ""
    by = verdict.read_text() if verdict.exists() else ""
    return ("killed" if code else "survived"), by


def in_a_child(work: Callable[[], int], log: Path, *, cpu_s: float, wall_s: float) -> tuple[int, bool]:
    """Exit code of `work` in a fork of this process, and whether it ran out of time."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.setsid()
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 3))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            code = work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        finally:
            os._exit(code)
    timed_out, end = False, time.monotonic() + wall_s
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            timed_out = True
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # whatever the tests left
    shutil.rmtree(WORK / f"tmp-{pid}", ignore_errors=True)
    code = os.waitstatus_to_exitcode(status)
    return code, timed_out or code in (-signal.SIGXCPU, -signal.SIGKILL)


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves one module's changed text."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name, self.path, self.text = name, path, text

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        where = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=where
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.text, str(self.path), "exec"), module.__dict__)


def module_name(path: Path) -> str:
    """``skytrigger.measure.stats``."""
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


def as_plain(plain: bool) -> None:
    """Where `plain`: what Numba compiles runs as Python, on vectors of NumPy."""
    if plain:
        from mutants.plain import use

        use()
