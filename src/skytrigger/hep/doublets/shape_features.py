"""Cluster-shape features of doublets: what a physicist would cut on, and what the trees are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

OF_PAD = (
    "pixels",
    "rows",
    "columns",
    "charge",
    "largest",
    "row_offset",
    "column_offset",
    "row_variance",
    "column_variance",
    "covariance",
    "first_row",
    "last_row",
    "first_column",
    "last_column",
    "charge_per_pixel",
)
COMPARED = ("pixels", "rows", "columns", "row_variance", "column_variance", "covariance")
BLOCK = 8192


def feature_names(pads: tuple[str, ...] = ("inner", "outer")) -> tuple[str, ...]:
    """Names of the columns of `shape_features`."""
    own = [f"{pad}.{name}" for pad in pads for name in OF_PAD]
    return (*own, *(f"difference.{name}" for name in COMPARED), "log_charge_ratio")


def shape_features(x: NDArray[Any]) -> NDArray[np.float32]:
    """(n, 37) float32 from two-pad charges (n, 2, h, w) in electrons.

    Of each cluster: pixels with charge; extent in rows and columns (first to last charged one); charge in
    electrons, its largest pixel, the barycentre's offset from the middle of the extent (pixels),
    variances and covariance of the charge (pixels squared), charge of the first and last row and column,
    and charge per pixel. Then inner minus outer, and the log of the charges' ratio. Empty pads give zeros.
    """
    parts = []
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK].astype(np.float64)
        of_pad = [_pad_features(block[:, pad]) for pad in range(2)]
        place = [OF_PAD.index(name) for name in COMPARED]
        charge = [np.maximum(f[:, OF_PAD.index("charge")], 1.0) for f in of_pad]
        ratio = np.log(charge[0] / charge[1])[:, None]
        parts.append(np.concatenate([*of_pad, of_pad[0][:, place] - of_pad[1][:, place], ratio], axis=1))
    features: NDArray[np.float32] = np.concatenate(parts).astype(np.float32)
    return features


def _pad_features(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, len(OF_PAD)) of one pad's charges (n, h, w)."""
    charged = z > 0
    pixels, charge = charged.sum(axis=(1, 2)), z.sum(axis=(1, 2))
    total = np.maximum(charge, 1e-9)
    extent, offset, variance, centred, ends = {}, {}, {}, {}, {}
    for name, other in (("row", 2), ("column", 1)):
        profile = z.sum(axis=other)
        present: NDArray[np.bool_] = np.any(charged, axis=other)
        length = profile.shape[1]
        first = present.argmax(axis=1)
        last = length - 1 - present[:, ::-1].argmax(axis=1)
        index = np.arange(length)
        mean = (profile @ index) / total
        centred[name] = index - mean[:, None]
        extent[name] = np.where(pixels > 0, last - first + 1, 0)
        offset[name] = np.where(pixels > 0, mean - (first + last) / 2, 0.0)
        variance[name] = (profile * centred[name] ** 2).sum(axis=1) / total
        ends[name] = [np.take_along_axis(profile, i[:, None], axis=1)[:, 0] for i in (first, last)]
    covariance = np.einsum("nij,ni,nj->n", z, centred["row"], centred["column"], optimize=True) / total
    columns = [pixels, extent["row"], extent["column"], charge, z.max(axis=(1, 2)), offset["row"], offset["column"]]
    columns += [variance["row"], variance["column"], covariance, *ends["row"], *ends["column"]]
    return np.stack([*columns, charge / np.maximum(pixels, 1)], axis=1)
