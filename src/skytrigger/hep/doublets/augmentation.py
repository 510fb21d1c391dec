"""More training doublets out of the same ones.

Two symmetries, both checked by cross-validation inside the training and validation parts of the CMS file:

- Flips of both pads together along the rows and along the columns (the two ends of the barrel; the
  Lorentz drift breaks the second, weakly): AUC of `doublets_small` +0.001.
- In fakes the two clusters are independent: boosted trees tell real fakes from re-paired ones with an
  AUC of 0.490. So fakes are paired anew in each copy: AUC +0.004.
"""

from __future__ import annotations

import numpy as np

from skytrigger.core.dataset import Dataset, Split, content_hash
from skytrigger.core.seeds import generator

FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))  # axes of x


def enlarge(dataset: Dataset, split: Split, seed: int, copies: int = 8) -> tuple[Dataset, Split]:
    """The two-pad `dataset` followed by `copies` - 1 altered copies of its training part.

    Copy k has the flip k mod 4; in every copy but the first the inner clusters of the training
    fakes are shuffled among them. Validation and test stay as they are.
    """
    train = split.train
    x, y, ids = [dataset.x], [dataset.y], [*dataset.ids]
    fakes = np.flatnonzero(dataset.y[train] == 0)
    for copy in range(1, copies):
        altered = dataset.x[train]
        altered[fakes, 0] = altered[generator(seed, "re-pair", copy).permutation(fakes), 0]
        flip = FLIPS[copy % len(FLIPS)]
        x.append(np.flip(altered, flip) if flip else altered)
        y.append(dataset.y[train])
        ids += [f"{dataset.ids[i]}_copy_{copy}" for i in train]
    all_x, all_y = np.ascontiguousarray(np.concatenate(x)), np.concatenate(y)
    digest = content_hash(all_x, all_y, ids, dataset.channels, dataset.classes)
    source = {**dataset.source, "copies": copies, "original_hash": dataset.content_hash}
    larger = Dataset(all_x, all_y, tuple(ids), dataset.channels, dataset.classes, digest, dataset.units, source=source)
    added = np.arange(len(dataset), len(larger), dtype=np.int64)
    return larger, Split(np.concatenate([train, added]), split.val, split.test, {**split.facts, "copies": copies})
