"""Earth observation: bands, EuroSAT tiles, synthetic tiles, networks.

>>> from skytrigger import eo
>>> tiles = eo.load_tiles(["synthetic:20"])
>>> tiles.x.shape, tiles.x.dtype.name, tiles.units
((20, 13, 64, 64), 'uint16', 'DN')
"""

from __future__ import annotations

from skytrigger.core.lazy import lazy

_HOMES = {
    "BANDS": "bands:BANDS",
    "EUROSAT_ORDER": "bands:EUROSAT_ORDER",
    "NETWORKS": "networks:NAMES",
    "build_network": "networks:build",
    "channel_statistics": "statistics:channel_statistics",
    "load_tiles": "load:load",
    "make_synthetic": "synthetic:make",
    "open_store": "store:open_store",
    "pack_tiles": "pack:pack",
    "write_contact_sheet": "contact_sheet:write_contact_sheet",
}
__all__ = sorted(_HOMES)
__getattr__ = lazy(__name__, _HOMES)
