"""What everything else stands on: datasets, heads, model cards, application records, errors.

>>> from skytrigger.core import Head
>>> Head("energy", "values", ("energy",), unit="GeV", loss="gaussian").outputs
2
"""

from __future__ import annotations

from skytrigger.core.lazy import lazy

_HOMES = {
    "Application": "application:Application",
    "Dataset": "dataset:Dataset",
    "Head": "heads:Head",
    "InputError": "errors:InputError",
    "ModelCard": "card:ModelCard",
    "SkytriggerError": "errors:SkytriggerError",
    "Split": "dataset:Split",
    "content_hash": "dataset:content_hash",
    "labelled": "dataset:labelled",
    "make_split": "split:make_split",
}
__all__ = sorted(_HOMES)
__getattr__ = lazy(__name__, _HOMES)
