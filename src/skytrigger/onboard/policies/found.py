"""Policies by name: the built-in ones, and a user's own from a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from skytrigger.core.errors import InputError
from skytrigger.onboard.policies.base import Policy
from skytrigger.onboard.policies.by_value import AgeWeighted, EarliestDeadline, Tiered, ValuePerBit
from skytrigger.onboard.policies.simple import Change, ClassPriority, CloudDrop, Elide, TileFilter

BUILT_IN: dict[str, type[Policy]] = {
    p.name: p
    for p in (
        Policy, CloudDrop, TileFilter, Elide, Change, ClassPriority, ValuePerBit, AgeWeighted, EarliestDeadline, Tiered,
    )
}  # fmt: skip


def policy_named(name: str, folder: str | Path = ".") -> Policy:
    """A policy by name, or ``file.py:Class`` from `folder`. The file is the user's own code and is run.

    Raises
    ------
    InputError
        No such policy, file or class.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    file, _, cls = name.partition(":")
    if not cls or not file.endswith(".py"):
        raise InputError(f"no policy called {name!r}", expected=f"{', '.join(BUILT_IN)}, or file.py:Class")
    path = Path(folder) / file
    if not path.is_file():
        raise InputError(f"no file {path} for the policy {name!r}")
    module_spec = importlib.util.spec_from_file_location(f"policy_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise InputError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} does not run: {type(error).__name__}: {error}") from error
    found = getattr(module, cls, None)
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise InputError(
            f"{path} has no policy {cls!r}", expected="a class that derives from skytrigger.onboard.Policy"
        )
    return found()
