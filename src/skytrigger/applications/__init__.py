"""The one registry of applications: what can be trained, measured and shown, found by a card or a network's name.

>>> from skytrigger.applications import application_of
>>> application_of("basic").title
'land-cover tiles'
"""

from __future__ import annotations

from skytrigger.core.faces import face

_NAMES = {
    "application": "registry",
    "application_of": "registry",
    "applications": "registry",
    "build_network": "registry:build",
    "model_path": "registry",
    "network_names": "registry:names",
    "register": "registry",
}
__all__ = sorted(_NAMES)
__getattr__ = face(__name__, _NAMES)
