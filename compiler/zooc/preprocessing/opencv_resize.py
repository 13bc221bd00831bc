"""OpenCV's `INTER_LINEAR` resize of `uint8` images in ordinary ONNX operators, equal on every pixel.

OpenCV computes the position of each output in float32 and weighs its two neighbours with 11 bits. The
horizontal pass is exact and drops 4 bits, the vertical one drops 16 of each product and rounds the sum by 2
(the runtime's `opencv_resize` does the same in numpy, and is held to `cv2` itself). OpenCV's shortcuts for
equal and exactly halved sizes give what this arithmetic gives: with weights of 1024 nothing is dropped before
the end.

A shift by n bits is `Floor` after a multiplication by `2**-n`. The horizontal sums have 19 bits and are exact
in float32; the vertical products have 26 and are made in float64.
"""

from __future__ import annotations

import numpy as np

from zooc.ir.builder import Builder, Value
from zooc.preprocessing.resample import Axes

__all__ = ["resize_as_opencv"]

_ONE = 2048.0


def resize_as_opencv(g: Builder, image: Value, axes: Axes) -> Value:
    """Return uint8 `[H, W, 3]` to the `axes.count` outputs wanted of `axes.target`, uint8 `[h, w, 3]`.

    Both neighbours of every output row are gathered first: what is computed is as large as the result, not as
    the image. The long axes lie innermost, where engines multiply by rows.
    """
    rows, row_weights = _taps(g, axes, 0)
    columns, column_weights = _taps(g, axes, 1)
    # [2 h, W, 3] -> [W, 3, 2 h] -> two of [w, 3, 2 h] -> their sum
    near = g.op("Transpose", g.op("Gather", image, rows, axis=0), perm=[1, 2, 0])
    near = g.cast(g.op("Gather", near, columns, axis=0), np.float32)
    weights = g.op("Reshape", column_weights, g.i64([-1, 1, 1]))
    across = g.op("Add", *g.ops("Split", g.op("Mul", near, weights), outputs=2, axis=0, num_outputs=2))
    # [w, 3, 2 h] -> two of [w, 3, h] -> their sum
    down = g.op("Mul", g.cast(g.op("Floor", across), np.float64), row_weights)
    total = g.op("Add", *g.ops("Split", g.op("Floor", down), outputs=2, axis=2, num_outputs=2))
    # The cast drops what is behind the point.
    pixels = g.cast(g.op("Mul", g.op("Add", total, g.f64(2.0)), g.f64(0.25)), np.uint8)
    return g.op("Transpose", pixels, perm=[2, 0, 1])


def _taps(g: Builder, axes: Axes, axis: int) -> tuple[Value, Value]:
    """Both neighbours of each output along one axis: all the left ones, then all the right.

    Returns:
        The positions, int64 `[2 count]`, and their weights, the following shift multiplied in (`2**-4` and
        `2**-16` are exact): float32 of columns, float64 of rows.
    """

    def one(vector: Value) -> Value:
        return g.op("Slice", vector, g.i64([axis]), g.i64([axis + 1]))

    source, start = one(axes.source), one(axes.start)
    target = g.cast(one(axes.target), np.float64)
    scale = g.op("Div", g.f64(1.0), g.op("Div", target, g.cast(source, np.float64)))
    stop = g.op("Squeeze", g.op("Add", start, one(axes.count)))
    output = g.cast(g.op("Range", g.op("Squeeze", start), stop, g.i64(1)), np.float64)
    center = g.op("Sub", g.op("Mul", g.op("Add", output, g.f64(0.5)), scale), g.f64(0.5))
    center = g.cast(center, np.float32)
    last = g.op("Sub", source, g.i64([1]))
    if axis == 1:
        # Only at the left and right border OpenCV takes the border pixel alone.
        center = g.op("Min", g.op("Max", center, g.f32(0.0)), g.cast(last, np.float32))
    left = g.op("Floor", center)
    far = g.op("Sub", center, left)
    both = g.op("Concat", g.op("Sub", g.f32(1.0), far), far, axis=0)
    weights = g.op("Round", g.op("Mul", both, g.f32(_ONE)))
    first = g.cast(left, np.int64)
    near = g.op("Concat", first, g.op("Add", first, g.i64([1])), axis=0)
    index = g.op("Min", g.op("Max", near, g.i64(0)), last)
    weights = (
        g.op("Mul", g.cast(weights, np.float64), g.f64(2.0**-16))
        if axis == 0
        else g.op("Mul", weights, g.f32(2.0**-4))
    )
    return g.op("Add", index, one(axes.origin)), weights
