"""torchvision's resize of `uint8` tensors in ordinary ONNX operators, equal on every pixel.

torch's 8-bit kernels (ATen/native/cpu/UpSampleKernel.cpp) round an axis's float64 weights to as many bits as
let the largest of them fit into int16 (the runtime's `torch_resize` does the same in numpy, and is held to
torch itself). The horizontal pass comes first, rounded and clipped to `uint8`, then the vertical one.

With antialiasing the windows and weights are Pillow's before rounding, and 22 bits hold them after it: the
passes are those of `resample`. Without, an output depends on two or four pixels, whatever the scale. Their
weights have at most 15 bits behind the point and sums stay below 2**9: exact in float64 and in float32.
It is float64 because WebGPU has none: `onnxruntime-web` 1.30 mixes up float32 operands that it copies to a GPU.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zooc.ir.builder import Builder, Value
from zooc.preprocessing.resample import (
    FILTERS,
    PRECISION,
    Axes,
    resample_columns_then_rows,
    round_weights,
    windows,
)
from zooc_runtime.preprocessing.torch_resize import CUBIC_PLAIN, MOST_BITS, TAPS, WEIGHT_LIMIT

__all__ = ["resize_as_torch"]


def resize_as_torch(g: Builder, image: Value, axes: Axes, interpolation: str, *, antialias: bool) -> Value:
    """Return uint8 `[H, W, 3]` to the `axes.count` outputs wanted of `axes.target`, uint8 `[h, w, 3]`."""
    if antialias:
        return _antialiased(g, image, axes, interpolation)
    return _plain(g, image, axes, interpolation)


def _antialiased(g: Builder, image: Value, axes: Axes, interpolation: str) -> Value:
    wanted = windows(g, axes, interpolation)
    # The largest weight is that of all outputs, also of those that a crop drops.
    whole = wanted
    if axes.count != axes.target:
        everything = replace(axes, start=g.i64([0, 0]), count=axes.target)
        whole = windows(g, everything, interpolation)
    unit = _unit(g, g.op("ReduceMax", whole.weight, g.i64([1, 2, 3])))
    weight = round_weights(g, g.op("Mul", wanted.weight, unit))
    weight = g.op("Mul", weight, g.op("Div", g.f64(PRECISION), unit))
    bands = wanted.rounded(g, axes, g.cast(weight, np.int32))
    needed = g.op("Slice", image, bands.first, bands.last, g.i64([0, 1]))
    return resample_columns_then_rows(g, needed, bands)


def _plain(g: Builder, image: Value, axes: Axes, interpolation: str) -> Value:
    """Tap by tap. The rows of every output's taps are gathered first; the long axes lie innermost."""
    rows, row_weights = _taps(g, axes, 0, interpolation)
    columns, column_weights = _taps(g, axes, 1, interpolation)
    # [taps h, W, 3] -> [W, 3, taps h] -> [w, 3, taps h] -> [w, 3, h]
    near = g.op("Gather", image, g.op("Concat", *rows, axis=0), axis=0)
    near = g.op("Transpose", near, perm=[1, 2, 0])
    picked = [g.cast(g.op("Gather", near, column, axis=0), np.float64) for column in columns]
    upright = g.i64([-1, 1, 1])
    across = _weighted(g, picked, [g.op("Reshape", weight, upright) for weight in column_weights])
    across = g.op("Floor", across)
    parts = g.ops("Split", across, outputs=len(rows), axis=2, num_outputs=len(rows))
    pixels = g.cast(_weighted(g, list(parts), row_weights), np.uint8)
    return g.op("Transpose", pixels, perm=[2, 0, 1])


def _weighted(g: Builder, parts: list[Value], weights: list[Value]) -> Value:
    """Return the sum of products from 0 to 255, a half added: what is behind the point is still to drop."""
    total = g.f64(0.5)
    for part, weight in zip(parts, weights, strict=True):
        total = g.op("Add", total, g.op("Mul", part, weight))
    return g.op("Clip", total, g.f64(0.0), g.f64(255.0))


def _taps(g: Builder, axes: Axes, axis: int, interpolation: str) -> tuple[list[Value], list[Value]]:
    """Return for each tap the positions, int64, and weights of the outputs wanted along an axis."""

    def one(vector: Value) -> Value:
        return g.op("Slice", vector, g.i64([axis]), g.i64([axis + 1]))

    taps = TAPS[interpolation]
    kernel = FILTERS["bilinear"][1] if interpolation == "bilinear" else _plain_cubic
    source, target, start = one(axes.source), one(axes.target), one(axes.start)
    last = g.op("Sub", source, g.i64([1]))
    scale = g.op("Div", g.cast(source, np.float64), g.cast(target, np.float64))
    output = g.cast(g.op("Range", g.i64(0), g.op("Squeeze", target), g.i64(1)), np.float64)
    position = g.op("Sub", g.op("Mul", scale, g.op("Add", output, g.f64(0.5))), g.f64(0.5))
    if interpolation == "bilinear":
        position = g.op("Max", position, g.f64(0.0))
    # torch looks for the whole position in float32, and for what is left of it in float64.
    left = g.op("Min", g.cast(g.op("Floor", g.cast(position, np.float32)), np.int64), last)
    fraction = g.op("Sub", position, g.cast(left, np.float64))
    fraction = g.op("Min", g.op("Max", fraction, g.f64(0.0)), g.f64(1.0))

    positions: list[Value] = []
    sums: list[Value] = []
    repeats: list[Value] = []
    for offset in range(1 - taps // 2, taps // 2 + 1):
        at = g.op("Min", g.op("Max", g.op("Add", left, g.i64([offset])), g.i64([0])), last)
        distance = g.op("Sub", g.f64(float(offset)), fraction)
        weight = kernel(g, distance)
        if positions:
            # Taps beyond the border fall on the border pixel: the last of them gets the sum.
            repeat = g.op("Equal", at, positions[-1])
            weight = g.op("Add", weight, g.op("Where", repeat, sums[-1], g.f64(0.0)))
            repeats.append(repeat)
        positions.append(at)
        sums.append(weight)
    # Partial sums count as well, as in torch.
    unit = _unit(g, g.op("ReduceMax", g.op("Concat", *sums, axis=0), keepdims=1))
    kept = [g.op("Where", again, g.f64(0.0), total) for again, total in zip(repeats, sums[:-1], strict=True)]

    stop = g.op("Add", start, one(axes.count))
    origin = one(axes.origin)

    def rounded(weight: Value) -> Value:
        whole = round_weights(g, g.op("Mul", g.op("Slice", weight, start, stop), unit))
        return g.op("Div", whole, unit)

    where = [g.op("Add", g.op("Slice", at, start, stop), origin) for at in positions]
    return where, [rounded(weight) for weight in [*kept, sums[-1]]]


def _unit(g: Builder, largest: Value) -> Value:
    """Return the power of two that weights are multiplied with, float64 in the form of `largest`.

    It is the largest up to `2**MOST_BITS` that leaves the largest weight, rounded, below 2**15.
    """
    powers = g.f64([2.0**bits for bits in range(1, MOST_BITS + 1)])
    rounded = g.op("Floor", g.op("Add", g.op("Mul", largest, powers), g.f64(0.5)))
    fitting = g.op("Where", g.op("Less", rounded, g.f64(float(WEIGHT_LIMIT))), powers, g.f64(1.0))
    return g.op("ReduceMax", fitting, g.i64([-1]))


def _plain_cubic(g: Builder, x: Value) -> Value:
    """Keys' cubic with `CUBIC_PLAIN`, within two pixels, in torch's order of operations."""
    a = CUBIC_PLAIN
    x = g.op("Abs", x)
    near = g.op("Sub", g.op("Mul", x, g.f64(a + 2)), g.f64(a + 3))
    near = g.op("Add", g.op("Mul", g.op("Mul", near, x), x), g.f64(1.0))
    far = g.op("Add", g.op("Mul", g.op("Sub", g.op("Mul", x, g.f64(a)), g.f64(5 * a)), x), g.f64(8 * a))
    far = g.op("Sub", g.op("Mul", far, x), g.f64(4 * a))
    return g.op("Where", g.op("Less", x, g.f64(1.0)), near, far)
