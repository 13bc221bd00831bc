"""Padding as torchvision pads PIL images: constant by Pillow, the other modes by `numpy.pad`."""

from __future__ import annotations

import numpy as np

from zooc.ir.builder import Builder, Value
from zooc_runtime.preprocessing.steps import Pad

__all__ = ["pad_centred", "pad_constant", "pad_steps"]


def pad_centred(g: Builder, data: Value, size: Value, wanted: Value) -> Value:
    """Zeros around an image smaller than a crop, the odd one right and below; sizes are int64 `[2]`."""
    missing = g.op("Sub", wanted, size)
    before = g.op("Div", missing, g.i64(2))
    return pad_constant(g, data, before, g.op("Sub", missing, before), (0,))


def pad_steps(g: Builder, data: Value, size: Value, step: Pad, fill: tuple[int, ...]) -> tuple[Value, Value]:
    """Append a `Pad` step on uint8 `[H, W, C]`; `fill` is in the data's order of channels.

    Returns:
        The padded image and its size, int64 `[2]`.
    """
    new_size = g.op("Add", size, g.i64([step.top + step.bottom, step.left + step.right]))
    if step.mode == "constant":
        before, after = g.i64([step.top, step.left]), g.i64([step.bottom, step.right])
        return pad_constant(g, data, before, after, fill), new_size
    height, width = g.ops("Split", size, outputs=2, num_outputs=2)
    rows = _positions(g, height, step.top, step.bottom, step.mode)
    columns = _positions(g, width, step.left, step.right, step.mode)
    return g.op("Gather", g.op("Gather", data, rows, axis=0), columns, axis=1), new_size


def pad_constant(g: Builder, data: Value, before: Value, after: Value, fill: tuple[int, ...]) -> Value:
    """Append a border of one colour around uint8 `[H, W, C]`; both pads are int64 `[vertical, horizontal]`.

    A `fill` of one value is that of every channel.

    The pads are written for all three axes: ONNX Runtime (seen in 1.31) moves a `Transpose` past a `Pad` that
    names its axes, and then reads its pads as if there were six.
    """
    none = g.i64([0])
    pads = g.op("Concat", before, none, after, none, axis=0)
    if len(set(fill)) == 1:
        return g.op("Pad", data, pads, g.constant(fill[0], np.uint8))
    channels = g.ops("Split", data, outputs=len(fill), axis=2, num_outputs=len(fill))
    padded = [
        g.op("Pad", c, pads, g.constant(value, np.uint8)) for c, value in zip(channels, fill, strict=True)
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
