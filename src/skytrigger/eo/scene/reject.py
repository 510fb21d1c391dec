"""Tiles that are none of a model's classes: too uncertain, or unlike all that it was trained on.

Two limits, fitted on training tiles only (``benchmarks/scene_reject.py``) and kept beside the packaged model:

- confidence: the largest softmax of the logits (which hold their temperature, see the card) is below `confidence`;
- distance: Mahalanobis distance, in the logarithms of the bands' means and spreads over the tile, to the nearest of the
  classes' centres with one pooled covariance (Lee et al. 2018, "A simple unified framework for detecting
  out-of-distribution samples", eq. 1, in band space instead of a layer's) is above `distance`.

The distance is of the scene's own numbers, so that it knows clouds, snow, desert and night where ten classes must.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.eo.scene.engine import ModelFile

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reject:
    """The fitted limits.

    Attributes
    ----------
    bands
        Of the features, in order: first the means, then the spreads.
    centres
        (classes, features).
    whitening
        (features, features): squared distance = |(x - centre) @ whitening|^2.
    """

    bands: tuple[str, ...]
    centres: NDArray[np.float64]
    whitening: NDArray[np.float64]
    distance: float
    confidence: float

    def distances(self, means: Floats, spreads: Floats, planes: tuple[str, ...]) -> Floats:
        """(...,) distance of tiles with (..., planes) means and spreads, DN."""
        index = [planes.index(b) for b in self.bands]
        x = features(means[..., index], spreads[..., index]) @ self.whitening
        centres = self.centres @ self.whitening
        squared = (x**2).sum(-1)[..., None] - 2 * x @ centres.T + (centres**2).sum(-1)
        nearest: Floats = np.sqrt(np.maximum(squared.min(-1), 0)).astype(np.float32)
        return nearest


def features(means: Floats, spreads: Floats) -> NDArray[np.float64]:
    """(..., 2 bands): log(1 + mean), log(1 + spread)."""
    return np.log1p(np.concatenate([means, spreads], axis=-1).astype(np.float64))


def fit(
    means: Floats, spreads: Floats, labels: NDArray[np.int64], longitude: Floats, bands: tuple[str, ...], kept: float
) -> tuple[Reject, NDArray[np.float64]]:
    """Centres and covariance of training tiles; the distance limit keeps the share `kept` of them.

    Distances are those of ten strips of longitude, each left out of the fit in turn: a scene lies elsewhere, too, and
    with random parts, which have neighbours in the fit, the limit would be too tight.

    Returns
    -------
    Reject
        With `confidence` 0.
    array
        The left-out distances (n,).
    """
    x = features(means, spreads)
    part = np.argsort(np.argsort(longitude, kind="stable"), kind="stable") * 10 // len(x)
    left_out = np.empty(len(x))
    for p in range(10):
        centres, whitening = _fit(x[part != p], labels[part != p])
        model = Reject(bands, centres, whitening, np.inf, 0.0)
        left_out[part == p] = model.distances(means[part == p], spreads[part == p], bands)
    centres, whitening = _fit(x, labels)
    return Reject(bands, centres, whitening, float(np.quantile(left_out, kept)), 0.0), left_out


def _fit(x: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    classes = np.unique(labels)
    centres = np.stack([x[labels == k].mean(axis=0) for k in classes])
    rest = x - centres[np.searchsorted(classes, labels)]
    covariance = rest.T @ rest / (len(x) - len(classes))
    # a hundredth of the mean variance on the diagonal: the bands' means are nearly collinear
    covariance += np.eye(len(covariance)) * np.trace(covariance) / len(covariance) / 100
    values, vectors = np.linalg.eigh(covariance)
    return centres, vectors / np.sqrt(values)


@dataclass(frozen=True)
class SceneFacts:
    """What is known of a packaged model besides its file: confusion on test tiles (true, predicted), and the limits."""

    confusion: NDArray[np.int64]
    confusion_source: str
    reject: Reject | None


def scene_facts(model: ModelFile) -> SceneFacts | None:
    """From ``NAME.scene.json`` beside the model file, or None where there is none.

    Raises
    ------
    InputError
        The file is not valid, or of another model file.
    """
    path = model.path.with_suffix(".scene.json")
    if not path.is_file():
        return None
    return read_facts(path, model.sha256)


def read_facts(path: Path, sha256: str) -> SceneFacts:
    """See `scene_facts`."""
    content: dict[str, Any] = read_json(path, limit_bytes=1 << 24)
    try:
        if content["model_sha256"] != sha256:
            raise InputError(f"{path} is of another model file", remedy="fit it again: benchmarks/scene_reject.py")
        limits = content["reject"]
        reject = Reject(
            tuple(limits["bands"]),
            np.array(limits["centres"], np.float64),
            np.array(limits["whitening"], np.float64),
            float(limits["distance"]),
            float(limits["confidence"]),
        )
        return SceneFacts(np.array(content["confusion"], np.int64), str(content["confusion_source"]), reject)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not valid: {error!r}") from error
