from __future__ import annotations

import numpy as np
import pytest

from skytrigger.hep.doublets.shape_features import OF_PAD, feature_names, shape_features


def _by_hand(pad):
    """The features of one pad, pixel by pixel."""
    hit = [(i, j, float(pad[i, j])) for i in range(16) for j in range(16) if pad[i, j] > 0]
    if not hit:
        return dict.fromkeys(OF_PAD, 0.0)
    charge = sum(q for *_, q in hit)
    rows, columns = [i for i, _, _ in hit], [j for _, j, _ in hit]
    r, c = (sum(x * q for x, q in zip(v, [q for *_, q in hit], strict=True)) / charge for v in (rows, columns))
    return {
        "pixels": len(hit),
        "rows": max(rows) - min(rows) + 1,
        "columns": max(columns) - min(columns) + 1,
        "charge": charge,
        "largest": max(q for *_, q in hit),
        "row_offset": r - (max(rows) + min(rows)) / 2,
        "column_offset": c - (max(columns) + min(columns)) / 2,
        "row_variance": sum(q * (i - r) ** 2 for i, _, q in hit) / charge,
        "column_variance": sum(q * (j - c) ** 2 for _, j, q in hit) / charge,
        "covariance": sum(q * (i - r) * (j - c) for i, j, q in hit) / charge,
        "first_row": sum(q for i, _, q in hit if i == min(rows)),
        "last_row": sum(q for i, _, q in hit if i == max(rows)),
        "first_column": sum(q for _, j, q in hit if j == min(columns)),
        "last_column": sum(q for _, j, q in hit if j == max(columns)),
        "charge_per_pixel": charge / len(hit),
    }


def test_against_pixel_by_pixel(doublets):
    x = doublets.x[:60].copy()
    x[3, 1] = 0  # an empty pad
    x[4, 0] = 30_000  # a full one
    found = shape_features(x)
    names = feature_names()
    assert found.shape == (60, len(names))
    for k in range(60):
        inner, outer = _by_hand(x[k, 0].astype(np.float64)), _by_hand(x[k, 1].astype(np.float64))
        expected = {f"inner.{n}": v for n, v in inner.items()} | {f"outer.{n}": v for n, v in outer.items()}
        for name, value in expected.items():
            assert found[k, names.index(name)] == pytest.approx(value, rel=1e-5, abs=1e-5), (k, name)
        assert found[k, names.index("difference.rows")] == inner["rows"] - outer["rows"]


def test_flipping_a_pad_swaps_its_ends(doublets):
    names = feature_names()
    plain, flipped = shape_features(doublets.x), shape_features(np.flip(doublets.x, 2))

    def column(features, name):
        return features[:, names.index(f"inner.{name}")]

    assert np.allclose(column(plain, "first_row"), column(flipped, "last_row"))
    assert np.allclose(column(plain, "row_offset"), -column(flipped, "row_offset"), atol=1e-4)
    assert np.allclose(column(plain, "row_variance"), column(flipped, "row_variance"), rtol=1e-4, atol=1e-4)
    assert np.allclose(column(plain, "column_variance"), column(flipped, "column_variance"), rtol=1e-4, atol=1e-4)
