"""The data of a study."""

from __future__ import annotations

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.split import make_split, split_lists
from skytrigger.eo.load import load
from skytrigger.study.spec import Spec


def load_data(spec: Spec) -> tuple[Dataset, Split]:
    """Dataset and split that `spec` names.

    Raises
    ------
    InputError
        The data are bad, or the split has nothing in the part that is to be reported on.
    """
    dataset = load(spec.data, bands=spec.bands, skip_bad=spec.skip_bad)
    if spec.split_lists:
        if len(spec.split_lists) not in (2, 3):
            raise InputError(f"split_lists names {len(spec.split_lists)} files", expected="TRAIN VAL [TEST]")
        split = split_lists(dataset, *spec.split_lists)
    else:
        split = make_split(dataset, spec.split, spec.split_seed)
    for part in ("train", "val", spec.part):
        if not len(split.part(part)):
            raise InputError(
                f"the split has no {part} images", remedy="another --split, a third list, or part = 'val' in the study"
            )
    return dataset, split
