"""Folders that a notebook imports: names that are there, light to import, with an example that runs."""

from __future__ import annotations

import doctest
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import skytrigger

HEAVY = ("torch", "onnxruntime", "openvino", "pyarrow", "matplotlib", "numba", "sklearn")
FACES = ("applications", "core", "eo", "hep", "learn")


@pytest.mark.parametrize("name", FACES)
def test_names_and_example(name: str) -> None:
    package = importlib.import_module(f"skytrigger.{name}")
    for public in package.__all__:
        assert not isinstance(getattr(package, public), type(sys)), f"{public} is a module's name, too"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.nonsense  # noqa: B018
    found = doctest.testmod(package)
    assert found.attempted >= 2
    assert found.failed == 0


ROOT = Path(skytrigger.__file__).parent
WITH_EXAMPLES = [p for p in sorted(ROOT.rglob("*.py")) if ">>> " in p.read_text() and p.name != "__init__.py"]


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_of_modules(file: Path) -> None:
    name = ".".join(("skytrigger", *file.relative_to(ROOT).with_suffix("").parts))
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_importing_them_imports_nothing_heavy() -> None:
    code = (
        f"import sys, json, {', '.join(f'skytrigger.{name}' for name in FACES)}; print(json.dumps(list(sys.modules)))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)
    assert {f"skytrigger.{name}" for name in FACES} <= set(loaded)
