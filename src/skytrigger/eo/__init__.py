"""Earth observation: bands, EuroSAT tiles, synthetic tiles, networks.

>>> from skytrigger import eo
>>> tiles = eo.load_tiles(["synthetic:20"])
>>> tiles.x.shape, tiles.x.dtype.name, tiles.units
((20, 13, 64, 64), 'uint16', 'DN')
"""

from __future__ import annotations

from skytrigger.core.faces import face

_NAMES = {
    "BANDS": "bands",
    "EUROSAT_ORDER": "bands",
    "NETWORKS": "networks:NAMES",
    "build_network": "networks:build",
    "channel_statistics": "statistics",
    "load_tiles": "load:load",
    "make_synthetic": "synthetic:make",
    "open_store": "store",
    "pack_tiles": "pack:pack",
    "write_contact_sheet": "contact_sheet",
}
__all__ = sorted(_NAMES)
__getattr__ = face(__name__, _NAMES)
