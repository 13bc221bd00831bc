"""`Grayscale`: RGB to grey as Pillow's `convert("L")` has it (libImaging/Convert.c, `L24`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zooc.ir.builder import Builder
from zooc.preprocessing.pillow_resize import Picture
from zooc_runtime.preprocessing.steps import Grayscale

__all__ = ["grayscale"]

_BITS = 16
_WEIGHTS = (19595, 38470, 7471)
"""Of red, green and blue, in units of `2**-16`; they add up to one, so that grey stays what it is."""


def grayscale(g: Builder, image: Picture, step: Grayscale) -> Picture:
    """Append `(19595 R + 38470 G + 7471 B + 2**15) / 2**16`, which int32 holds, and which is not negative."""
    weights = np.array(_WEIGHTS[::-1] if image.swapped else _WEIGHTS, np.int32)
    columns = np.repeat(weights[:, None], step.channels, axis=1)
    sums = g.op("MatMul", g.cast(image.data, np.int32), g.constant(columns, np.int32))
    sums = g.op("Add", sums, g.i32(1 << (_BITS - 1)))
    grey = g.cast(g.op("Div", sums, g.i32(1 << _BITS)), np.uint8)
    return replace(image, data=grey, swapped=False, channels=step.channels)
