"""A runtime is one row: its name stands there and in its own modules, nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import skytrigger
from skytrigger.core.errors import InputError
from skytrigger.runtimes.registry import RUNTIMES, faithful, runtime_names, runtime_of

SOURCE = Path(skytrigger.__file__).parent
PACKAGES = {"core/extras.py", "core/host.py"}  # names of packages there, for installing and for host facts
IMPORTS = {"require", "find"}  # what they are asked for is a package


def _own(path: Path) -> bool:
    """The registry, the runtimes' own modules, and lists of packages."""
    place = path.relative_to(SOURCE).as_posix()
    own = {f"runtimes/{row.module.split('.')[0].replace('_session', '')}" for row in RUNTIMES.values()}
    return place == "runtimes/registry.py" or place in PACKAGES or any(place.startswith(name) for name in own)


def _named(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    packages = {
        id(node.args[0]) for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") in IMPORTS
    }  # fmt: skip
    packages |= {  # sys.modules.get("torch") and versions={"torch": torch.__version__}
        id(part) for node in ast.walk(tree) for part in _packages(node)
    }  # fmt: skip
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in packages:
            word = node.value.partition(":")[0]
            if word in RUNTIMES:
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {node.value!r}")
    return found


def _packages(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [k for k, v in pairs if k is not None and isinstance(v, ast.Attribute) and v.attr == "__version__"]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        owner = node.func.value
        if isinstance(owner, ast.Attribute) and owner.attr == "modules":
            return [node.args[0]]
    return []


def test_names_of_runtimes_stand_in_one_place() -> None:
    found = [line for path in sorted(SOURCE.rglob("*.py")) if not _own(path) for line in _named(path)]
    assert not found, "ask runtimes.registry instead:\n" + "\n".join(found)


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_row_is_whole(name: str) -> None:
    row = RUNTIMES[name]
    module = row.load()
    assert callable(getattr(module, row.opener))
    assert callable(module.offer)
    assert row.install.startswith("pip install")
    assert "fp32" in row.precisions or not row.on_cpu


def test_rows_differ_where_they_are_seen() -> None:
    assert (
        len({row.colour for row in RUNTIMES.values()}) == len({row.tone for row in RUNTIMES.values()}) == len(RUNTIMES)
    )
    assert len({row.title for row in RUNTIMES.values()}) == len(RUNTIMES)


def test_names_from_a_command_line() -> None:
    assert runtime_names("torch, openvino") == ("torch", "openvino")
    with pytest.raises(InputError, match="no runtime called 'tensorflow'"):
        runtime_names("torch,tensorflow")
    assert runtime_of(faithful("fp16")).on_cpu
