"""The one registry of applications: what can be trained, measured and shown, found by a card or a network's name.

>>> from skytrigger.applications import application_of
>>> application_of("basic").title
'land-cover tiles'
"""

from __future__ import annotations

from skytrigger.core.lazy import lazy

_HOMES = {
    "application": "registry:application",
    "application_of": "registry:application_of",
    "applications": "registry:applications",
    "build_network": "registry:build",
    "model_path": "registry:model_path",
    "network_names": "registry:names",
    "register": "registry:register",
}
__all__ = sorted(_HOMES)
__getattr__ = lazy(__name__, _HOMES)
