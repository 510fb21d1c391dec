"""Studies: networks, seeds, variants and engines as cells of one folder, resumable; and comparisons of what they left.

>>> from skytrigger import study
>>> spec = study.load_spec("quick", models=("basic", "regularized"), seeds=(0, 1))
>>> spec.models, spec.seeds
(('basic', 'regularized'), (0, 1))
>>> study.load_spec("quick", models=("nonsense",))
Traceback (most recent call last):
    ...
skytrigger.core.errors.InputError: no network called 'nonsense'...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skytrigger.study.cells import load_data, plan
    from skytrigger.study.comparison import as_text, compare
    from skytrigger.study.runner import run_study
    from skytrigger.study.spec import Measure, Spec, Sweep
    from skytrigger.study.study_file import Cell, StudyFile
    from skytrigger.study.toml import load_spec

_HOME = {
    "load_data": "cells", "plan": "cells", "compare": "comparison", "as_text": "comparison", "run_study": "runner",
    "Measure": "spec", "Spec": "spec", "Sweep": "spec", "Cell": "study_file", "StudyFile": "study_file",
    "load_spec": "toml",
}  # fmt: skip
__all__ = ["Cell", "Measure", "Spec", "StudyFile", "Sweep", "as_text", "compare", "load_data", "load_spec", "plan",
           "run_study"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
