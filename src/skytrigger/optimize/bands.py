"""Which channels carry the classes: a cheap ranking on the training part alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.seeds import generator

FOLDS = 4
RIDGE = 1e-2  # of the features' own variance
LIMIT = 2000  # images looked at
SHARES = (0.6, 0.35)


def channel_features(dataset: Dataset, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, c, 4): each image's mean, deviation, and mean absolute step between pixels two apart down and across."""
    found = []
    for start in range(0, len(index), 256):
        x = dataset.x[index[start : start + 256]].astype(np.float32)
        steps = [np.abs(x[:, :, 2:] - x[:, :, :-2]).mean((2, 3)), np.abs(x[..., 2:] - x[..., :-2]).mean((2, 3))]
        found.append(np.stack([x.mean((2, 3)), x.std((2, 3)), *steps], axis=2))
    return np.concatenate(found).astype(np.float64)


def ranked(dataset: Dataset, index: NDArray[np.int64], seed: int = 0) -> tuple[str, ...]:
    """Channels from most to least needed: backward elimination by a ridge classifier's cross-validated accuracy.

    Features are logarithms with their squares, so that the classifier is not merely linear. It ranks; what a subset
    really costs in accuracy is found by training on it.
    """
    random = generator(seed, "bands")
    index = np.sort(random.permutation(index)[:LIMIT])
    features = np.log1p(np.maximum(channel_features(dataset, index), 0))
    features -= features.mean(0)
    features /= np.maximum(features.std(0), 1e-9)
    features = np.concatenate([features, features**2], axis=2)
    targets = np.eye(len(dataset.classes))[dataset.y[index]]
    fold = random.permutation(len(index)) % FOLDS
    left = list(range(len(dataset.channels)))
    dropped: list[int] = []
    while len(left) > 1:
        scores = [_accuracy(features[:, [c for c in left if c != out]], targets, fold) for out in left]
        out = left[int(np.argmax(scores))]
        left.remove(out)
        dropped.append(out)
    return tuple(dataset.channels[c] for c in [*left, *dropped[::-1]])


def subsets(dataset: Dataset, index: NDArray[np.int64], seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """The most needed `SHARES` of the channels, each in the dataset's order; none where there are three or fewer."""
    if len(dataset.channels) <= 3:
        return ()
    order = ranked(dataset, index, seed)
    counts = sorted({max(2, round(share * len(order))) for share in SHARES} - {len(order)}, reverse=True)
    return tuple(tuple(c for c in dataset.channels if c in order[:count]) for count in counts)


def _accuracy(features: NDArray[np.float64], targets: NDArray[np.float64], fold: NDArray[np.int64]) -> float:
    """Cross-validated accuracy of ridge regression on one-hot targets."""
    x = features.reshape(len(features), -1)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    right = 0
    for k in range(FOLDS):
        kept = fold != k
        gram = x[kept].T @ x[kept]
        gram[np.diag_indices_from(gram)] += RIDGE * kept.sum()
        answer = (x[~kept] @ np.linalg.solve(gram, x[kept].T @ targets[kept])).argmax(1)
        right += int((answer == targets[~kept].argmax(1)).sum())
    return right / len(x)
