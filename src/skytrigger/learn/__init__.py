"""Training: recipe, loop, heads' losses and metrics, export of a run, comparisons.

>>> from skytrigger.learn import Recipe
>>> Recipe("basic", epochs=2).batch_size
32
"""

from __future__ import annotations

from skytrigger.core.faces import face

_NAMES = {
    "Predictions": "predictions",
    "Recipe": "recipe",
    "RunFolder": "run_folder",
    "Teacher": "teacher",
    "align": "evaluate",
    "compare_predictions": "compare_accuracy:compare_accuracy",
    "evaluate_model": "evaluate:evaluate",
    "export_run": "exporting",
    "output_layer_of": "output_layer:output_layer",
    "read_predictions": "predictions",
    "recipe_of": "runs",
    "train_network": "train:train",
    "train_run": "runs",
}
__all__ = sorted(_NAMES)
__getattr__ = face(__name__, _NAMES)
