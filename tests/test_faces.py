"""What each folder shows to a notebook: its doctest runs, its names are there, importing it costs next to nothing."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import skytrigger

FOLDERS = ("applications", "bench", "core", "eo", "hep", "learn", "measure", "model", "report", "runtimes", "study")
HEAVY = ("torch", "onnx", "onnxruntime", "scipy", "matplotlib", "pyarrow", "openvino", "numba")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_shows_its_names(name: str) -> None:
    module = importlib.import_module(f"skytrigger.{name}")
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted >= 2
    assert found.failed == 0
    for shown in module.__all__:
        assert not isinstance(getattr(module, shown), ModuleType), f"{shown} is a module's name, too"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("name", FOLDERS)
def test_importing_a_folder_imports_nothing_heavy(name: str) -> None:
    code = f"import sys, skytrigger.{name}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import contextlib, io, sys\nfrom skytrigger.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n    main(['--help'])\n"
        f"print(*sorted(set({(*HEAVY, 'numpy')!r}) & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


ROOT = Path(skytrigger.__file__).parent
WITH_EXAMPLES = [p for p in sorted(ROOT.rglob("*.py")) if ">>> " in p.read_text() and p.name != "__init__.py"]


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_of_modules(file: Path) -> None:
    name = ".".join(("skytrigger", *file.relative_to(ROOT).with_suffix("").parts))
    assert doctest.testmod(importlib.import_module(name)).failed == 0
