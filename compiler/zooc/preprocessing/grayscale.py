"""`Grayscale`: RGB to grey as Pillow's `convert("L")` has it (libImaging/Convert.c, `L24`).

That is `(19595 R + 38470 G + 7471 B + 2**15) >> 16`. The products are made of bytes, of the pixels
and of the two base-256 digits of each weight, as in `resample`. A product of int32 matrices would be shorter,
takes five times as long in ONNX Runtime, and is wrong in OpenVINO (seen in 2026).
"""

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
    """Append the conversion of a picture of three channels; sums stay below `2**24`."""
    weights = np.array(_WEIGHTS[::-1] if image.swapped else _WEIGHTS)
    pixels = g.op("Reshape", image.data, g.i64([-1, image.channels]))
    planes = g.op("Transpose", pixels, perm=[1, 0])
    sums = g.op("MatMulInteger", g.constant([weights >> 8, weights & 255], np.uint8), planes)
    high, low = g.ops("Split", sums, outputs=2, num_outputs=2, axis=0)
    total = g.op("Add", g.op("Mul", high, g.i32(256)), g.op("Add", low, g.i32(1 << (_BITS - 1))))
    grey = g.op("BitShift", g.cast(total, np.uint32), g.constant(_BITS, np.uint32), direction="RIGHT")
    shape = g.op("Concat", image.size, g.i64([1]), axis=0)
    data = g.op("Reshape", g.cast(grey, np.uint8), shape)
    if step.channels != 1:
        data = g.op("Gather", data, g.i64([0] * step.channels), axis=2)
    return replace(image, data=data, swapped=False, channels=step.channels)
