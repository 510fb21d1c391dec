"""CLUE: density clustering of calorimeter hits, on tiles, the same clusters on every backend."""

from __future__ import annotations

from skytrigger.hep.clue.api import BACKENDS, cluster
from skytrigger.hep.clue.results import Clusters
from skytrigger.hep.clue.rules import RULES, Kernel, Rules
from skytrigger.hep.clue.workspace import Workspace

__all__ = ["BACKENDS", "RULES", "Clusters", "Kernel", "Rules", "Workspace", "cluster"]
