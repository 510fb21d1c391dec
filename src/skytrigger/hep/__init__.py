"""High-energy physics: clustering of hits, the pixel-doublet filter.

>>> from skytrigger import hep
>>> doublets = hep.load_doublets(["synthetic:100"])
>>> doublets.x.shape, doublets.classes
((100, 2, 16, 16), ('fake', 'true'))
"""

from __future__ import annotations

from skytrigger.core.lazy import lazy

_HOMES = {
    "Clusters": "clue.results:Clusters",
    "cluster": "clue.api:cluster",
    "filter_metrics": "doublets.metrics:filter_metrics",
    "load_doublets": "doublets.application:load_doublets",
    "read_doublets": "doublets.reader:read_doublets",
    "simulate_doublets": "doublets.simulator:simulate",
    "split_doublets": "doublets.split:split_doublets",
}
__all__ = sorted(_HOMES)
__getattr__ = lazy(__name__, _HOMES)
