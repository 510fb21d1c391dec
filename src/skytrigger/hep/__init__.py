"""High-energy physics: clustering of hits, the pixel-doublet filter.

>>> from skytrigger import hep
>>> doublets = hep.load_doublets(["synthetic:100"])
>>> doublets.x.shape, doublets.classes
((100, 2, 16, 16), ('fake', 'true'))
"""

from __future__ import annotations

from skytrigger.core.faces import face

_NAMES = {
    "Clusters": "clue.results",
    "cluster": "clue.api",
    "filter_metrics": "doublets.metrics",
    "load_doublets": "doublets.application",
    "read_doublets": "doublets.reader",
    "simulate_doublets": "doublets.simulator:simulate",
    "split_doublets": "doublets.split",
}
__all__ = sorted(_NAMES)
__getattr__ = face(__name__, _NAMES)
