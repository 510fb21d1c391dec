"""On board: keep what matters, send it first. The replay of a mission from sensing to the ground.

>>> from skytrigger.onboard import load_spec, replay_mission
>>> replay_mission(load_spec("sentinel2"), "out")
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Policy": ("policies.base", "Policy"),
    "load_spec": ("spec_file", "load_spec"),
    "replay_mission": ("mission", "replay_mission"),
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _HOME[name]
    value = getattr(importlib.import_module(f"{__name__}.{module}"), there)
    globals()[name] = value
    return value
