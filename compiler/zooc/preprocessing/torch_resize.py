"""torchvision's resize of `uint8` tensors in ordinary ONNX operators, equal on every pixel.

torch's 8-bit kernels (ATen/native/cpu/UpSampleKernel.cpp) round an axis's float64 weights to as many bits as
let the largest of them fit into int16 (the runtime's `torch_resize` does the same in numpy, and is held to
torch itself). The horizontal pass comes first, rounded and clipped to `uint8`, then the vertical one.

With antialiasing the windows and weights are Pillow's before rounding; without, an output depends on two or
four pixels, whatever the scale. 22 bits hold all weights after rounding: the passes are those of `resample`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zooc.ir.builder import Builder, Value
from zooc.preprocessing.pillow_resize import Picture
from zooc.preprocessing.resample import (
    FILTERS,
    GROUP,
    PRECISION,
    Axes,
    Band,
    resample_columns_then_rows,
    round_weights,
    windows,
)
from zooc_runtime.preprocessing.torch_resize import CUBIC_PLAIN, MOST_BITS, TAPS, WEIGHT_LIMIT

__all__ = ["resize_as_torch"]


def resize_as_torch(
    g: Builder, image: Picture, axes: Axes, interpolation: str, *, antialias: bool
) -> Picture:
    """Return the outputs that `axes` wants of `image`."""
    resized = (_antialiased if antialias else _plain)(g, image, axes, interpolation)
    return replace(image, data=resized, size=axes.count)


def _antialiased(g: Builder, image: Picture, axes: Axes, interpolation: str) -> Value:
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
    needed = g.op("Slice", image.data, bands.first, bands.last, g.i64([0, 1]))
    return resample_columns_then_rows(g, needed, bands.of(g, 1), bands.of(g, 0), image.channels)


def _plain(g: Builder, image: Picture, axes: Axes, interpolation: str) -> Value:
    """A group's band is the list of its outputs' taps, however far they lie apart."""
    rows, columns = (_taps(g, axes, axis, interpolation) for axis in (0, 1))
    # Of rows the taps alone are taken along where they are fewer than those that they span. No If chooses:
    # OpenVINO (2026.4) gathers wrong rows behind one.
    wanted = g.op("Reshape", rows.index, g.i64([-1]))
    taps = g.op("Size", wanted)
    first = g.op("ReduceMin", wanted, keepdims=0)
    span = g.op("Sub", g.op("Add", g.op("ReduceMax", wanted, keepdims=0), g.i64(1)), first)
    sparse = g.op("Greater", span, taps)
    place = g.op("Range", g.i64(0), g.op("Min", span, taps), g.i64(1))
    taken = g.op("Where", sparse, g.op("Gather", wanted, place), g.op("Add", place, first))
    index = g.op("Where", sparse, g.op("Range", g.i64(0), taps, g.i64(1)), g.op("Sub", wanted, first))
    rows = replace(rows, index=g.op("Reshape", index, g.op("Shape", rows.index)))
    near = g.op("Gather", image.data, taken, axis=0)
    return resample_columns_then_rows(g, near, columns, rows, image.channels)


def _taps(g: Builder, axes: Axes, axis: int, interpolation: str) -> Band:
    """Return the positions and weights of the outputs wanted along an axis."""

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

    # The last group is filled up with the last output.
    count = one(axes.count)
    groups = g.op("Div", g.op("Add", count, g.i64([GROUP - 1])), g.i64([GROUP]))
    padded = g.op("Range", g.i64(0), g.op("Squeeze", g.op("Mul", groups, g.i64([GROUP]))), g.i64(1))
    outputs = g.op("Add", g.op("Min", padded, g.op("Sub", count, g.i64([1]))), start)

    def grouped(values: list[Value]) -> Value:
        """`[target]` of each tap to `[groups, GROUP, taps]` of the outputs wanted."""
        table = g.op("Concat", *[g.op("Unsqueeze", value, g.i64([1])) for value in values], axis=1)
        return g.op("Reshape", g.op("Gather", table, outputs, axis=0), g.i64([-1, GROUP, taps]))

    # How wide a band is must not be known: an engine would choose the product at once, and OpenVINO (2026.4)
    # would then send its sums through bf16. At least one row of an image times the width is no less than it.
    rows, most = g.op("Shape", "image", start=0, end=1), g.i64([GROUP * taps])
    width = g.op("Min", most, g.op("Mul", most, rows))
    index = g.op("Add", grouped(positions), one(axes.origin))
    index = g.op("Reshape", index, g.op("Concat", g.i64([-1]), width, axis=0))
    whole = round_weights(g, g.op("Mul", grouped([*kept, sums[-1]]), unit))
    whole = g.op("Mul", whole, g.op("Div", g.f64(PRECISION), unit))
    # An output weighs its own taps: [groups, 1, GROUP, taps] on the diagonal of GROUP x GROUP.
    diagonal = g.f64(np.eye(GROUP)[:, :, None])
    weight = g.op("Mul", g.op("Unsqueeze", whole, g.i64([1])), diagonal)
    weight = g.cast(g.op("Reshape", weight, g.i64([0, GROUP, -1])), np.int32)
    return Band(index, weight, count)


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
