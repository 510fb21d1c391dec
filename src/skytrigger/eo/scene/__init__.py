"""Whole Sentinel-2 scenes: read, classify in a stream, write maps.

>>> from skytrigger.eo.scene import classify_scene, open_scene
>>> scene = open_scene("S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE")
>>> classify_scene(scene, "eurosat_ms", "out")
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Grid": ("grid", "Grid"),
    "Scene": ("model", "Scene"),
    "classify_scene": ("classify", "classify_scene"),
    "open_scene": ("opening", "open_scene"),
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _HOME[name]
    value = getattr(importlib.import_module(f"{__name__}.{module}"), there)
    globals()[name] = value
    return value
