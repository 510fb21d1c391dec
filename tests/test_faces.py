"""What each folder shows to a notebook: its doctest runs, its names are there, importing it costs next to nothing."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import pytest

FOLDERS = ("bench", "measure", "model", "runtimes")
HEAVY = ("torch", "onnx", "onnxruntime", "scipy", "matplotlib", "pyarrow", "openvino", "numba")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_shows_its_names(name: str) -> None:
    module = importlib.import_module(f"skytrigger.{name}")
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted >= 2
    assert found.failed == 0
    for shown in module.__all__:
        assert getattr(module, shown) is not None
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
