"""Earth observation: bands, EuroSAT tiles, synthetic tiles, networks.

>>> from skytrigger import eo
>>> tiles = eo.load_tiles(["synthetic:100"])
>>> network = eo.build_network("basic", len(tiles.channels), tiles.x.shape[2:], len(tiles.classes))
"""

from __future__ import annotations

import importlib
from typing import Any

# name -> (module, name there); imported at first use, so that `import skytrigger.eo` stays light. No name here
# is a module's too: importing the module would put it in the function's place.
_HOME = {
    "BANDS": ("bands", "BANDS"),
    "EUROSAT_ORDER": ("bands", "EUROSAT_ORDER"),
    "NETWORKS": ("networks", "NAMES"),
    "build_network": ("networks", "build"),
    "channel_statistics": ("statistics", "channel_statistics"),
    "load_tiles": ("load", "load"),
    "make_synthetic": ("synthetic", "make"),
    "open_store": ("store", "open_store"),
    "pack_tiles": ("pack", "pack"),
    "write_contact_sheet": ("contact_sheet", "write_contact_sheet"),
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _HOME[name]
    value = getattr(importlib.import_module(f"{__name__}.{module}"), there)
    globals()[name] = value
    return value
