"""What a folder shows to those who import it: names that are loaded when first asked for, so that imports are cheap."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def face(package: str, names: dict[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package (PEP 562) that finds each of `names` in its module below the package.

    ``module:other`` where the name there is another. No name is a module's, too: importing that would hide it.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, other = names[name].partition(":")
        return getattr(importlib.import_module(f"{package}.{module}"), other or name)

    return find
