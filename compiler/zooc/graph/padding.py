"""Padding as torchvision pads PIL images: constant by Pillow, the other modes by `numpy.pad`."""

from __future__ import annotations

import numpy as np

from zooc.deployment import Pad
from zooc.graph.builder import Builder, Value

__all__ = ["pad_centred", "pad_steps"]


def pad_centred(g: Builder, data: Value, size: Value, wanted: Value) -> Value:
    """Zeros around an image smaller than a crop, the odd one right and below; sizes are int64 `[2]`."""
    missing = g.op("Sub", wanted, size)
    before = g.op("Div", missing, g.i64(2))
    pads = g.op("Concat", before, g.op("Sub", missing, before), axis=0)
    return g.op("Pad", data, pads, g.constant(0, np.uint8), g.i64([0, 1]))


def pad_steps(
    g: Builder, data: Value, size: Value, step: Pad, fill: tuple[int, int, int]
) -> tuple[Value, Value]:
    """A `Pad` step on uint8 `[H, W, 3]`; `fill` is in the data's order of channels.

    Returns:
        The padded image and its size, int64 `[2]`.
    """
    new_size = g.op("Add", size, g.i64([step.top + step.bottom, step.left + step.right]))
    if step.mode == "constant":
        return _constant(g, data, step, fill), new_size
    height, width = g.ops("Split", size, outputs=2, num_outputs=2)
    rows = _positions(g, height, step.top, step.bottom, step.mode)
    columns = _positions(g, width, step.left, step.right, step.mode)
    return g.op("Gather", g.op("Gather", data, rows, axis=0), columns, axis=1), new_size


def _constant(g: Builder, data: Value, step: Pad, fill: tuple[int, int, int]) -> Value:
    pads, axes = g.i64([step.top, step.left, step.bottom, step.right]), g.i64([0, 1])
    if len(set(fill)) == 1:
        return g.op("Pad", data, pads, g.constant(fill[0], np.uint8), axes)
    channels = g.ops("Split", data, outputs=3, axis=2, num_outputs=3)
    padded = [
        g.op("Pad", c, pads, g.constant(value, np.uint8), axes)
        for c, value in zip(channels, fill, strict=True)
    ]
    return g.op("Concat", *padded, axis=2)


def _positions(g: Builder, size: Value, before: int, after: int, mode: str) -> Value:
    """Source positions of a padded axis; where the pad exceeds the image, the pattern repeats."""
    stop = g.op("Add", g.op("Squeeze", size), g.i64(after))
    at = g.op("Range", g.i64(-before), stop, g.i64(1))
    last = g.op("Sub", size, g.i64([1]))
    if mode == "edge":
        return g.op("Min", g.op("Max", at, g.i64([0])), last)
    if mode == "symmetric":
        period = g.op("Mul", size, g.i64([2]))
        folded = g.op("Mod", at, period)
        return g.op("Min", folded, g.op("Sub", g.op("Sub", period, g.i64([1])), folded))
    period = g.op("Max", g.op("Mul", last, g.i64([2])), g.i64([1]))
    folded = g.op("Mod", at, period)
    return g.op("Min", folded, g.op("Sub", period, folded))
