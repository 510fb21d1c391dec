"""Public names of a package that are imported at first use, so that importing the package stays light."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The package's `__getattr__`.

    Parameters
    ----------
    homes
        Public name -> ``module:name there``. No public name is a module's too: importing the module would put it in
        the name's place.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, there = homes[name].partition(":")
        value = getattr(importlib.import_module(f"{package}.{module}"), there)
        setattr(sys.modules[package], name, value)
        return value

    return find
