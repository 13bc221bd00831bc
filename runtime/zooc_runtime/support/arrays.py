"""Names for the array types that the modules exchange."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnyArray", "F32Array", "U8Array"]

AnyArray = NDArray[Any]
F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]
