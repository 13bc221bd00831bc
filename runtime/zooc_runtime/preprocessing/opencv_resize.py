"""OpenCV's `INTER_LINEAR` resize of `uint8` images, to the last bit, in numpy.

The arithmetic is that of OpenCV's generic 8-bit path: half-pixel centres in float32, weights in 11 bits, no
antialiasing; the horizontal pass is exact in int32, the vertical one drops 4 bits before and 16 after each
product and rounds the sum by 2 bits. Halving both sides exactly is an average of 2 x 2 pixels there, so it
is one here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..support.arrays import U8Array

__all__ = ["resize_cv_linear"]

_ONE = 2048


def resize_cv_linear(image: U8Array, height: int, width: int) -> U8Array:
    """Return what `cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)` gives.

    Args:
        image: `uint8 [H, W, 3]`.
        height: rows wanted, at least 1.
        width: columns wanted, at least 1.
    """
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    if (rows, columns) == (2 * height, 2 * width):
        wide = image.astype(np.int32)
        total = wide[0::2, 0::2] + wide[0::2, 1::2] + wide[1::2, 0::2] + wide[1::2, 1::2]
        halved: U8Array = ((total + 2) >> 2).astype(np.uint8)
        return halved
    x, x_weights = _taps(columns, width)
    inside = (x >= 0) & (x < columns - 1)
    x_weights[~inside] = (_ONE, 0)  # at the left and right border OpenCV takes the border pixel alone
    x = x.clip(0, columns - 1)
    wide = image.astype(np.int32)
    across = (
        wide[:, x] * x_weights[:, 0, None] + wide[:, (x + 1).clip(0, columns - 1)] * x_weights[:, 1, None]
    ) >> 4
    y, y_weights = _taps(rows, height)
    upper = (across[y.clip(0, rows - 1)] * y_weights[:, 0, None, None]) >> 16
    lower = (across[(y + 1).clip(0, rows - 1)] * y_weights[:, 1, None, None]) >> 16
    result: U8Array = ((upper + lower + 2) >> 2).clip(0, 255).astype(np.uint8)
    return result


def _taps(source: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The left neighbour of each target pixel, and both neighbours' 11-bit weights `[target, 2]`."""
    centre = ((np.arange(target) + 0.5) * (1.0 / (target / source)) - 0.5).astype(np.float32)
    left = np.floor(centre).astype(np.int64)
    fraction = centre - left.astype(np.float32)
    weights = np.stack([np.float32(1) - fraction, fraction], axis=1) * np.float32(_ONE)
    return left, np.rint(weights).astype(np.int32)
