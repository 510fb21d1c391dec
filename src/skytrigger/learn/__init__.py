"""Training: recipe, loop, heads' losses and metrics, export of a run, comparisons.

>>> from skytrigger.learn import Recipe
>>> Recipe("basic", epochs=2).batch_size
32
"""

from __future__ import annotations

from skytrigger.core.lazy import lazy

_HOMES = {
    "Predictions": "predictions:Predictions",
    "Recipe": "recipe:Recipe",
    "RunFolder": "run_folder:RunFolder",
    "Teacher": "teacher:Teacher",
    "align": "evaluate:align",
    "compare_predictions": "compare_accuracy:compare_accuracy",
    "evaluate_model": "evaluate:evaluate",
    "export_run": "exporting:export_run",
    "output_layer_of": "output_layer:output_layer",
    "read_predictions": "predictions:read_predictions",
    "recipe_of": "runs:recipe_of",
    "train_network": "train:train",
    "train_run": "runs:train_run",
}
__all__ = sorted(_HOMES)
__getattr__ = lazy(__name__, _HOMES)
