"""NumPy columns as Arrow's, by their buffers.

``pyarrow.array`` imports pandas wherever it is installed, only to ask whether a column is one of its series: that costs
as much as all of a map's files, and it happens in threads that write them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def arrow_column(values: NDArray[Any], *, null: bool = False) -> Any:
    """An Arrow array of numbers, truths or texts (dtype object).

    Parameters
    ----------
    values
        (n,)
    null
        Whether NaN becomes null.
    """
    import pyarrow as pa

    n = len(values)
    if values.dtype == object:
        texts = [text.encode() for text in values]
        ends = np.zeros(n + 1, np.int32)
        np.cumsum([len(t) for t in texts], out=ends[1:])
        return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])
    if values.dtype == np.bool_:
        return pa.Array.from_buffers(pa.bool_(), n, [None, _bits(values)])
    unknown = np.isnan(values) if null else np.zeros(n, np.bool_)
    validity = _bits(~unknown) if unknown.any() else None
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, n, [validity, pa.py_buffer(np.ascontiguousarray(values))])


def _bits(values: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(values, bitorder="little"))
