"""Whether the networks of a study can take its images, asked before hours are spent."""

from __future__ import annotations

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.core.heads import outputs_of
from skytrigger.study.spec import Spec


def refuse_unfit(spec: Spec, dataset: Dataset) -> None:
    """Raise InputError that names every network that cannot be built for images of this size.

    Networks are built without memory for their weights (torch's device ``meta``).
    """
    torch = require("torch", why="networks")
    size = (int(dataset.x.shape[2]), int(dataset.x.shape[3]))
    problems = {}
    for model in spec.models:
        recipe = spec.recipe_of(model, spec.seeds[0])
        try:
            with torch.device("meta"):
                spec.record.build(model, len(dataset.channels), size, outputs_of(dataset.heads), **recipe.options)
        except UnavailableError:
            raise
        except InputError as error:
            problems[model] = f"{error.problem}{f' ({error.expected})' if error.expected else ''}"
    if problems:
        rest = [model for model in spec.models if model not in problems]
        raise InputError(
            "networks that do not fit the data: " + "; ".join(problems.values()),
            remedy=f"leave them out: {', '.join(rest)} fit" if rest else "tiles of another size",
        )
