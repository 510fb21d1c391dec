"""Columns by their buffers are those that pyarrow makes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skytrigger.eo.scene.arrow_column import arrow_column


@pytest.mark.parametrize("n", [0, 1, 9, 70])
@pytest.mark.parametrize("kind", ["uint8", "int32", "float32", "float64", "bool", "object"])
@pytest.mark.parametrize("null", [False, True])
def test_as_pyarrow_makes_them(n, kind, null):
    random = np.random.default_rng(n)
    values = random.integers(0, 2, n).astype(kind) if kind != "object" else np.empty(n, object)
    if kind == "object":
        values[:] = random.choice(["Forest", "", "Sée, Ω"], n)
        null = False
    if kind.startswith("float"):
        values[random.random(n) < 0.3] = np.nan
    elif null:
        null = False
    expected = pa.array(values, from_pandas=null)
    found = arrow_column(values[::1], null=null)
    found.validate(full=True)
    if kind == "object":
        expected = expected.cast(pa.string())
    assert found.type == expected.type
    assert found.null_count == expected.null_count
    assert [repr(v) for v in found.to_pylist()] == [repr(v) for v in expected.to_pylist()]


def test_of_a_strided_column():
    values = np.arange(20, dtype=np.float32)[::2]
    assert arrow_column(values).to_pylist() == values.tolist()
