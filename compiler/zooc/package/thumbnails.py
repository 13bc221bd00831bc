"""Small pictures of what a network sees, inside of a page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["data_uri"]

_SIDE = 96


def data_uri(pixels: npt.NDArray[Any], *, bgr: bool = False) -> str | None:
    """Return a JPEG of at most 96 x 96 pixels as a `data:` address.

    Args:
        pixels: uint8 `[channels, h, w]`.
        bgr: whether blue comes first.

    Returns:
        The address; `None` where pixels of so many channels are no picture.
    """
    if pixels.dtype != np.uint8 or pixels.shape[0] not in (1, 3):
        return None
    planes = pixels[::-1] if bgr else pixels
    last = planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)
    picture = Image.fromarray(np.ascontiguousarray(last))
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
