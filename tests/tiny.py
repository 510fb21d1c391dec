"""A small learnable dataset: class = how bright the first channel is against the second."""

from __future__ import annotations

import numpy as np

from skytrigger.core.dataset import Dataset, Split, content_hash


def dataset(n: int = 96, channels: int = 3, side: int = 16, classes: int = 4, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = random.integers(900, 1100, (n, channels, side, side))
    x[:, 0] += (y * 150)[:, None, None]
    stored = x.astype(np.uint16)
    ids = tuple(f"tile_{i}" for i in range(n))
    names = tuple(f"B{c + 1:02d}" for c in range(channels))
    labels = tuple(f"class{k}" for k in range(classes))
    digest = content_hash(stored, y.astype(np.int64), ids, names, labels)
    return Dataset(stored, y.astype(np.int64), ids, names, labels, digest, source={"kind": "test"})


def split(n: int = 96) -> Split:
    index = np.arange(n)
    a, b = int(n * 0.6), int(n * 0.8)
    return Split(index[:a], index[a:b], index[b:], {"kind": "test"})
