from __future__ import annotations

import numpy as np

from skytrigger.hep.doublets.augmentation import enlarge
from skytrigger.hep.doublets.split import split_doublets


def test_copies_are_flipped_and_fakes_paired_anew(doublets):
    split = split_doublets(doublets)
    bigger, parts = enlarge(doublets, split, seed=0, copies=3)
    n, t = len(doublets), len(split.train)
    assert np.array_equal(bigger.x[:n], doublets.x)
    assert len(bigger) == n + 2 * t
    assert np.array_equal(parts.train, np.concatenate([split.train, np.arange(n, n + 2 * t)]))
    assert np.array_equal(parts.test, split.test)
    assert bigger.source["original_hash"] == doublets.content_hash
    fake = doublets.y[split.train] == 0
    for copy, axes in ((1, (2,)), (2, (3,))):
        x = bigger.x[n + (copy - 1) * t : n + copy * t]
        y = bigger.y[n + (copy - 1) * t : n + copy * t]
        back = np.flip(x, axes)
        original = doublets.x[split.train]
        assert np.array_equal(y, doublets.y[split.train])
        assert np.array_equal(back[~fake], original[~fake])  # true pairs stay pairs
        assert np.array_equal(back[fake, 1], original[fake, 1])
        assert not np.array_equal(back[fake, 0], original[fake, 0])
        shuffled, before = (sorted(p.tobytes() for p in a) for a in (back[fake, 0], original[fake, 0]))
        assert shuffled == before  # the same clusters, none from outside the training part


def test_the_seed_decides(doublets):
    split = split_doublets(doublets)
    one, again, other = (enlarge(doublets, split, seed=s)[0] for s in (0, 0, 1))
    assert one.content_hash == again.content_hash != other.content_hash
