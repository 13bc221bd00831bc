"""`Grayscale`: RGB to grey as Pillow's `convert("L")` has it (libImaging/Convert.c, `L24`).

That is `(19595 R + 38470 G + 7471 B + 2**15) >> 16`. Multiplied and added plane by plane: a product of int32
matrices takes three times as long in ONNX Runtime, and is wrong in OpenVINO (2026.4), by up to 255; one of
bytes, as in `resample`, is the fastest, and wrong there where its sums pass through bf16.
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
    weights = _WEIGHTS[::-1] if image.swapped else _WEIGHTS
    pixels = g.op("Reshape", image.data, g.i64([-1, image.channels]))
    # Split along the first axis copies; along the last it would pick single bytes.
    planes = g.ops("Split", g.op("Transpose", pixels, perm=[1, 0]), outputs=3, num_outputs=3, axis=0)
    total = g.constant(1 << (_BITS - 1), np.uint32)
    for plane, weight in zip(planes, weights, strict=True):
        product = g.op("Mul", g.cast(plane, np.uint32), g.constant(weight, np.uint32))
        total = g.op("Add", product, total)
    grey = g.op("BitShift", total, g.constant(_BITS, np.uint32), direction="RIGHT")
    shape = g.op("Concat", image.size, g.i64([1]), axis=0)
    data = g.op("Reshape", g.cast(grey, np.uint8), shape)
    if step.channels != 1:
        data = g.op("Gather", data, g.i64([0] * step.channels), axis=2)
    return replace(image, data=data, swapped=False, channels=step.channels)
