"""Names for the array types that the modules exchange, and the filling of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnyArray", "F32Array", "U8Array", "fill_batch"]

AnyArray = NDArray[Any]
F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]


def fill_batch(rows: AnyArray, batch: int | None) -> AnyArray:
    """`rows` filled up to a fixed batch with copies of the last one; as they are where the batch is free."""
    missing = (batch or 0) - len(rows)
    return rows if missing <= 0 else np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
