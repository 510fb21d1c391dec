"""What a network has to beat: the weighted sum of layers with a line through it, and boosted trees on layer sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.hep.pid.data import ENERGY, IDENTITY
from skytrigger.hep.pid.geometry import CLASSES, MUON

Array = NDArray[np.float64]


def energy_channel(dataset: Dataset) -> int:
    """Place of the clusters' energies among an image's channels."""
    for name in ("energy", "shared_energy"):
        if name in dataset.channels:
            return dataset.channels.index(name)
    raise InputError(f"channels {dataset.channels}", expected="one of energies")


def layer_sums_of(dataset: Dataset, rows: NDArray[np.int64]) -> Array:
    """(n, 50) GeV of each layer in the images `rows`: of the clusters that an image holds, what a network sees."""
    channel = energy_channel(dataset)
    parts = [dataset.x[rows[i : i + 4096], channel].sum(axis=2, dtype=np.float64) for i in range(0, len(rows), 4096)]
    return np.concatenate(parts) if parts else np.zeros((0, 50))


@dataclass(frozen=True)
class WeightedSum:
    """``energy = (S - offset) / slope`` for each class that showers; S is the sum of layers, each weighted by what a
    MIP in it stands for (that is how clusters get their energy)."""

    slope: tuple[float, ...]
    offset: tuple[float, ...]

    @staticmethod
    def fit(total: Array, true: Array, label: NDArray[np.int64]) -> WeightedSum:
        """A line through the medians of S in ten bins of true energy, class by class; 1 and 0 for muons."""
        slope, offset = [], []
        for kind in range(len(CLASSES)):
            own = label == kind
            if kind == MUON or own.sum() < 100:
                slope.append(1.0)
                offset.append(0.0)
                continue
            edges = np.quantile(true[own], np.linspace(0, 1, 11))
            place = np.clip(np.searchsorted(edges, true[own], side="right") - 1, 0, 9)
            there = np.array([np.median(true[own][place == b]) for b in range(10)])
            seen = np.array([np.median(total[own][place == b]) for b in range(10)])
            line = np.polyfit(there, seen, 1)
            slope.append(float(line[0]))
            offset.append(float(line[1]))
        return WeightedSum(tuple(slope), tuple(offset))

    def energy(self, total: Array, label: NDArray[np.int64]) -> Array:
        """GeV, by the line of each shower's (true) class: the baseline is told what it is looking at."""
        slope, offset = np.array(self.slope)[label], np.array(self.offset)[label]
        return np.asarray((total - offset) / slope)

    def to_json(self) -> dict[str, Any]:
        """For the card."""
        return {"slope": list(self.slope), "offset_GeV": list(self.offset)}

    @staticmethod
    def from_json(raw: dict[str, Any]) -> WeightedSum:
        """Back from `to_json`."""
        return WeightedSum(tuple(raw["slope"]), tuple(raw["offset_GeV"]))


def weighted_sum(dataset: Dataset, rows: NDArray[np.int64]) -> WeightedSum:
    """Fitted on the images `rows`."""
    label = dataset.targets[IDENTITY][rows]
    true = dataset.targets[ENERGY][rows, 0].astype(np.float64)
    return WeightedSum.fit(layer_sums_of(dataset, rows).sum(axis=1), true, label)


@dataclass(frozen=True)
class Trees:
    """Boosted trees (scikit-learn's histogram kind) on layer sums, their shares, the sum and eta."""

    identity: Any
    energy: Any

    @staticmethod
    def fit(dataset: Dataset, rows: NDArray[np.int64], seed: int = 0) -> Trees:
        """Classes from all showers, ln(true energy / sum) from those that shower."""
        sklearn = require("sklearn.ensemble", why="boosted trees")
        threads = require("threadpoolctl", why="boosted trees")
        features = _features(dataset, rows)
        label = dataset.targets[IDENTITY][rows]
        true = dataset.targets[ENERGY][rows, 0].astype(np.float64)
        how = {"max_iter": 300, "learning_rate": 0.05, "max_leaf_nodes": 16, "random_state": seed}
        with threads.threadpool_limits(1):  # its threads spin while they wait, which hurts on a shared machine
            identity = sklearn.HistGradientBoostingClassifier(**how).fit(features, label)
            own = label != MUON
            goal = np.log(true[own] / np.maximum(features[own, 100], 0.1))
            energy = sklearn.HistGradientBoostingRegressor(loss="squared_error", **how).fit(features[own], goal)
        return Trees(identity, energy)

    def answer(self, dataset: Dataset, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], Array]:
        """(log probabilities (n, classes), GeV (n,))."""
        features = _features(dataset, rows)
        chance = np.log(np.maximum(self.identity.predict_proba(features), 1e-12))
        return chance.astype(np.float32), np.maximum(features[:, 100], 0.1) * np.exp(self.energy.predict(features))


def _features(dataset: Dataset, rows: NDArray[np.int64]) -> Array:
    """(n, 103): layers, shares, sum, number of clusters, eta."""
    sums = layer_sums_of(dataset, rows)
    total = sums.sum(axis=1)
    channel = energy_channel(dataset)
    eta = next(i for i, name in enumerate(dataset.channels) if name.endswith("eta"))
    count, direction = np.empty(len(rows)), np.empty(len(rows))
    for start in range(0, len(rows), 4096):
        part = slice(start, start + 4096)
        energy = dataset.x[rows[part], channel].astype(np.float64)
        count[part] = (energy > 0).sum(axis=(1, 2))
        direction[part] = (energy * np.abs(dataset.x[rows[part], eta])).sum(axis=(1, 2)) / total[part]
    return np.column_stack([sums, sums / total[:, None], total, count, direction])
