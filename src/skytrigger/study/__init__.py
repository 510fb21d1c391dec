"""Studies: networks, seeds, variants and engines as cells of one folder, resumable; and comparisons of what they left.

>>> from skytrigger.study import load_spec
>>> spec = load_spec("quick", models=("basic", "regularized"), seeds=(0, 1))
>>> spec.models, spec.seeds, spec.recipe_of("basic", 1).seed
(('basic', 'regularized'), (0, 1), 1)

``run_study(spec, *load_data(spec), "runs/mine")`` does what is not yet done there; `skytrigger.report` makes its page.
"""

from skytrigger.core.faces import face

_NAMES = {
    "Cell": "study_file", "Measure": "spec", "Spec": "spec", "StudyFile": "study_file", "Sweep": "spec",
    "as_text": "comparison", "compare": "comparison", "load_data": "cells", "load_spec": "toml", "plan": "cells",
    "run_study": "runner", "to_toml": "toml",
}  # fmt: skip
__all__ = list(_NAMES)
__getattr__ = face(__name__, _NAMES)
