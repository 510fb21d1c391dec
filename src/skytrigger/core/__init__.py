"""What everything else stands on: datasets, heads, model cards, application records, errors.

>>> from skytrigger.core import Head
>>> Head("energy", "values", ("energy",), unit="GeV", loss="gaussian").outputs
2
"""

from __future__ import annotations

from skytrigger.core.faces import face

_NAMES = {
    "Application": "application",
    "Dataset": "dataset",
    "Head": "heads",
    "InputError": "errors",
    "ModelCard": "card",
    "SkytriggerError": "errors",
    "Split": "dataset",
    "content_hash": "dataset",
    "labelled": "dataset",
    "make_split": "split",
}
__all__ = sorted(_NAMES)
__getattr__ = face(__name__, _NAMES)
