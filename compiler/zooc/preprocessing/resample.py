"""Pillow's resampling of `uint8` images in ordinary ONNX operators, equal on every pixel.

Pillow (libImaging/Resample.c) resizes one axis after the other. For each output position it computes
float64 filter weights over a window of source positions, normalizes them, rounds them to 22 bits, sums
`weight * pixel` in int32, rounds and clips to `uint8` between the passes.

Here the weights follow from the image's shape by the same float64 operations. Neighbouring outputs share
most of their windows: `GROUP` of them at a time are computed from the rows that any of them needs, so the
product of weights and pixels is banded, not dense. It is exact in either of two forms, and the graph takes
the cheaper one for the image at hand; see `_multiply_in_float64` and `_multiply_in_digits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

import numpy as np

from zooc.ir.builder import Builder, Value

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FILTERS",
    "GROUP",
    "PRECISION",
    "Axes",
    "Band",
    "Bands",
    "Windows",
    "bands",
    "nearest_indices",
    "resample_columns_then_rows",
    "resample_rows",
    "round_weights",
    "windows",
]

PRECISION = float(1 << 22)
"""Pillow's weights have `32 - 8 - 2` fractional bits."""

GROUP = 8
"""Outputs that share one band of source rows."""

_WIDE_BAND = 20
"""Rows in a band beyond which digits are faster than float64 (measured with `benchmarks/prelude.py`)."""


@dataclass(frozen=True)
class Axes:
    """Rows and columns of a resize side by side: int64 `[2]` each.

    An axis of `source` positions, beginning at `origin` in the tensor at hand, is mapped to `target`
    positions, of which `count` from `start` are wanted.
    """

    origin: Value
    source: Value
    target: Value
    start: Value
    count: Value


@dataclass(frozen=True)
class Windows:
    """The weights of both axes before they are rounded.

    Attributes:
        begin: int64 `[2, groups, 1]`, the first position a group needs.
        end: int64 `[2, groups, 1]`, the last one and one more.
        index: int64 `[2, groups, band]`, the positions a group needs; a short group's stick out at the end.
        width: int64 `[2]`, how much of `band` each axis uses.
        weight: float64 `[2, groups, GROUP, band]`, of sum 1 for every output.
    """

    begin: Value
    end: Value
    index: Value
    width: Value
    weight: Value

    def rounded(self, g: Builder, axes: Axes, weight: Value) -> Bands:
        """Return the bands of these windows with `weight`, int32 in units of `1 / PRECISION`."""
        first = g.op("ReduceMin", self.begin, g.i64([1, 2]), keepdims=0)
        last = g.op("ReduceMax", self.end, g.i64([1, 2]), keepdims=0)
        corner = g.op("Reshape", first, g.i64([2, 1, 1]))
        # A band that sticks out at the end has weight 0 there; any valid position serves.
        within = g.op("Sub", g.op("Reshape", last, g.i64([2, 1, 1])), g.i64(1))
        return Bands(
            first=g.op("Add", axes.origin, first),
            last=g.op("Add", axes.origin, last),
            index=g.op("Sub", g.op("Min", self.index, within), corner),
            width=self.width,
            weight=weight,
            count=axes.count,
        )


@dataclass(frozen=True)
class Band:
    """The weights of one axis, as integers.

    Attributes:
        index: int64 `[groups, band]`, the positions a group needs.
        weight: int32 `[groups, GROUP, band]`, in units of `1 / PRECISION`.
        count: int64 `[1]`, the outputs wanted; the last group is filled up with repetitions.
    """

    index: Value
    weight: Value
    count: Value


@dataclass(frozen=True)
class Bands:
    """The weights of both axes, as integers.

    Attributes:
        first: int64 `[2]`, where in the tensor at hand the positions begin that any output needs.
        last: int64 `[2]`, where they end.
        index: int64 `[2, groups, band]`, the positions a group needs, counted from `first`.
        width: int64 `[2]`, how much of `band` each axis uses.
        weight: int32 `[2, groups, GROUP, band]`, in units of `1 / PRECISION`.
        count: int64 `[2]`, the outputs wanted; the last group is filled up with repetitions.
    """

    first: Value
    last: Value
    index: Value
    width: Value
    weight: Value
    count: Value

    def of(self, g: Builder, axis: int) -> Band:
        """Return the weights of one axis: 0 the rows, 1 the columns.

        Both share the larger number of groups and the wider band; what exceeds an axis's own is not needed.
        """
        count = g.op("Slice", self.count, g.i64([axis]), g.i64([axis + 1]))
        groups = g.op("Div", g.op("Add", count, g.i64([GROUP - 1])), g.i64([GROUP]))
        width = g.op("Slice", self.width, g.i64([axis]), g.i64([axis + 1]))
        own = g.op("Concat", groups, width, axis=0)
        index, weight = (
            g.op("Slice", g.op("Gather", v, g.i64(axis), axis=0), g.i64([0, 0]), own, g.i64([0, -1]))
            for v in (self.index, self.weight)
        )
        return Band(index, weight, count)


def bands(g: Builder, axes: Axes, interpolation: str) -> Bands:
    """Return what Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` give for both axes."""
    exact = windows(g, axes, interpolation)
    weight = round_weights(g, g.op("Mul", exact.weight, g.f64(PRECISION)))
    return exact.rounded(g, axes, g.cast(weight, np.int32))


def windows(g: Builder, axes: Axes, interpolation: str) -> Windows:
    """Return what Pillow's `precompute_coeffs` gives for both axes."""
    filter_support, kernel = FILTERS[interpolation]
    last_axis, half = g.i64([-1]), g.f64(0.5)

    def column(vector: Value) -> Value:
        return g.op("Unsqueeze", vector, last_axis)

    source, target = (g.cast(v, np.float64) for v in (axes.source, axes.target))
    scale = column(g.op("Div", source, target))
    stretch = g.op("Max", scale, g.f64(1.0))
    support = g.op("Mul", stretch, g.f64(filter_support))

    wanted = column(g.op("Sub", axes.count, g.i64(1)))
    outputs = g.op("Add", g.op("Min", _padded_range(g, axes.count), wanted), column(axes.start))
    center = g.op("Mul", g.op("Add", g.cast(outputs, np.float64), half), scale)
    low = g.cast(g.op("Add", g.op("Sub", center, support), half), np.int64)
    low = g.op("Max", low, g.i64(0))
    high = g.cast(g.op("Add", g.op("Add", center, support), half), np.int64)
    high = g.op("Min", high, column(axes.source))

    grouped = g.i64([2, -1, GROUP])
    low, high, center = (g.op("Reshape", v, grouped) for v in (low, high, center))
    # Windows move on with the outputs: a group begins with its first and ends with its last.
    begin = g.op("Slice", low, g.i64([0]), g.i64([1]), last_axis)
    end = g.op("Slice", high, g.i64([GROUP - 1]), g.i64([GROUP]), last_axis)
    width = g.op("ReduceMax", g.op("Sub", end, begin), g.i64([1, 2]), keepdims=0)
    band = g.op("ReduceMax", width, keepdims=0)
    index = g.op("Add", begin, g.op("Range", g.i64(0), band, g.i64(1)))

    at = g.op("Unsqueeze", index, g.i64([2]))
    offset = g.op("Add", g.op("Sub", g.cast(at, np.float64), column(center)), half)
    inverse = g.op("Reshape", g.op("Div", g.f64(1.0), stretch), g.i64([2, 1, 1, 1]))
    weight = kernel(g, g.op("Mul", offset, inverse))
    inside = g.op("And", g.op("GreaterOrEqual", at, column(low)), g.op("Less", at, column(high)))
    weight = g.op("Where", inside, weight, g.f64(0.0))
    # CumSum adds one after the other, as Pillow does; ReduceSum would round differently.
    total = g.op("Slice", g.op("CumSum", weight, g.i64(-1)), g.i64([-1]), g.i64([2**62]), last_axis)
    return Windows(begin, end, index, width, g.op("Div", weight, total))


def round_weights(g: Builder, scaled: Value) -> Value:
    """Round half away from zero; still float64."""
    rounded = g.op("Floor", g.op("Add", g.op("Abs", scaled), g.f64(0.5)))
    return g.op("Mul", rounded, g.op("Sign", scaled))


def resample_rows(g: Builder, image: Value, band: Band) -> Value:
    """Append one pass along the leading axis: uint8 `[positions, ...]` to uint8 `[count, -1]`."""
    flat = g.op("Reshape", image, g.i64([0, -1]))
    rows = g.op("Gather", flat, band.index, axis=0)
    width = g.op("Squeeze", g.op("Shape", band.index, start=1))
    pixels = g.choose(
        g.op("Greater", width, g.i64(_WIDE_BAND)),
        lambda b: _multiply_in_digits(b, band.weight, rows),
        lambda b: _multiply_in_float64(b, band.weight, rows),
    )
    shape = g.op("Concat", g.i64([-1]), g.op("Shape", flat, start=1), axis=0)
    return g.op("Slice", g.op("Reshape", pixels, shape), g.i64([0]), band.count, g.i64([0]))


def resample_columns_then_rows(g: Builder, needed: Value, columns: Band, rows: Band, channels: int) -> Value:
    """Append both passes, the horizontal one first.

    [H, W, C] -> [W, C, H] -> [w, C H] -> [H, C w] -> [h, w, C].
    """
    across = resample_rows(g, g.op("Transpose", needed, perm=[1, 2, 0]), columns)
    height = g.op("Shape", needed, start=0, end=1)
    by_column = g.op("Reshape", across, g.op("Concat", g.i64([-1]), height, axis=0))
    down = resample_rows(g, g.op("Transpose", by_column, perm=[1, 0]), rows)
    return g.op("Reshape", down, g.op("Concat", rows.count, columns.count, g.i64([channels]), axis=0))


def _multiply_in_float64(g: Builder, weight: Value, rows: Value) -> Value:
    """int32 `[groups, GROUP, band]` by uint8 `[groups, band, n]`, rounded to uint8: few nodes, much memory.

    A weight is a multiple of `2**-22` below 2 and a pixel has 8 bits, so every product and every partial sum
    fits into 53 bits: exact in whatever order a CPU adds.
    """
    weight = g.op("Mul", g.cast(weight, np.float64), g.f64(1 / PRECISION))
    sums = g.op("MatMul", weight, g.cast(rows, np.float64))
    rounded = g.op("Clip", g.op("Add", sums, g.f64(0.5)), g.f64(0.0), g.f64(255.0))
    return g.cast(rounded, np.uint8)


def _multiply_in_digits(g: Builder, weight: Value, rows: Value) -> Value:
    """The same from the pixels' own bytes: three integer products, one for each base-256 digit of a weight.

    With `128 + 128 * 256 + 128 * 65536` added, a weight's bytes are its signed digits plus 128, the zero
    point. Both operands are uint8: of such products ONNX Runtime's kernels saturate none, whatever the CPU
    (its quantization guide says so of U8U8, and warns of U8S8). A window's sum fits into int32, as Pillow's.
    """
    digits = g.cast(g.op("Add", weight, g.i32(128 * (65536 + 256 + 1))), np.uint32)
    places = g.constant([[[16]], [[8]], [[0]]], np.uint32)
    digits = g.op("BitShift", g.op("Unsqueeze", digits, g.i64([1])), places, direction="RIGHT")
    digits = g.cast(g.op("BitwiseAnd", digits, g.constant(255, np.uint32)), np.uint8)
    digits = g.op("Reshape", digits, g.i64([0, 3 * GROUP, -1]))
    planes = g.op("MatMulInteger", digits, rows, g.constant(128, np.uint8))
    high, middle, low = g.ops("Split", planes, outputs=3, num_outputs=3, axis=1)
    total = g.op("Add", g.op("Mul", high, g.i32(256)), middle)
    total = g.op("Add", g.op("Mul", total, g.i32(256)), g.op("Add", low, g.i32(1 << 21)))
    # The limit is 255 and no fraction: OpenVINO clips in float32, which would round a larger one up to 256.
    total = g.cast(g.op("Clip", total, g.i32(0), g.i32(255 << 22)), np.uint32)
    pixels = g.op("BitShift", total, g.constant(22, np.uint32), direction="RIGHT")
    return g.cast(pixels, np.uint8)


def nearest_indices(g: Builder, axes: Axes, axis: int) -> Value:
    """Return positions that Pillow's `NEAREST` takes along one axis, int64 `[count]`.

    libImaging/Geometry.c (`ImagingScaleAffine`) adds the float64 step up from half a step; so does `CumSum`.
    """

    def one(vector: Value) -> Value:
        return g.op("Slice", vector, g.i64([axis]), g.i64([axis + 1]))

    start, source, target = one(axes.start), one(axes.source), one(axes.target)
    step = g.op("Div", g.cast(source, np.float64), g.cast(target, np.float64))
    stop = g.op("Add", start, one(axes.count))
    at_first = g.op("Equal", g.op("Range", g.i64(0), g.op("Squeeze", stop), g.i64(1)), g.i64(0))
    steps = g.op("Where", at_first, g.op("Mul", step, g.f64(0.5)), step)
    positions = g.op("CumSum", steps, g.i64(0))
    wanted = g.cast(g.op("Slice", positions, start, stop), np.int64)
    return g.op("Add", wanted, one(axes.origin))


def _padded_range(g: Builder, count: Value) -> Value:
    """int64 `0, 1, ...` up to the larger count, filled up to whole groups."""
    most = g.op("ReduceMax", count, keepdims=0)
    groups = g.op("Div", g.op("Add", most, g.i64(GROUP - 1)), g.i64(GROUP))
    return g.op("Range", g.i64(0), g.op("Mul", groups, g.i64(GROUP)), g.i64(1))


def _box(g: Builder, x: Value) -> Value:
    inside = g.op("And", g.op("Greater", x, g.f64(-0.5)), g.op("LessOrEqual", x, g.f64(0.5)))
    return g.cast(inside, np.float64)


def _bilinear(g: Builder, x: Value) -> Value:
    return g.op("Max", g.op("Sub", g.f64(1.0), g.op("Abs", x)), g.f64(0.0))


def _hamming(g: Builder, x: Value) -> Value:
    x = g.op("Abs", x)
    # Pillow writes these two constants in single precision.
    window = g.op("Mul", g.op("Cos", g.op("Mul", x, g.f64(pi))), g.f64(float(np.float32(0.46))))
    window = g.op("Add", window, g.f64(float(np.float32(0.54))))
    value = g.op("Mul", _sinc(g, x), window)
    return g.op("Where", g.op("Less", x, g.f64(1.0)), value, g.f64(0.0))


def _bicubic(g: Builder, x: Value) -> Value:
    """Keys' cubic with a = -0.5, in Pillow's order of operations."""
    a = -0.5
    x = g.op("Abs", x)
    near = g.op("Sub", g.op("Mul", x, g.f64(a + 2)), g.f64(a + 3))
    near = g.op("Add", g.op("Mul", g.op("Mul", near, x), x), g.f64(1.0))
    far = g.op("Add", g.op("Mul", g.op("Sub", x, g.f64(5.0)), x), g.f64(8.0))
    far = g.op("Mul", g.op("Sub", g.op("Mul", far, x), g.f64(4.0)), g.f64(a))
    far = g.op("Where", g.op("Less", x, g.f64(2.0)), far, g.f64(0.0))
    return g.op("Where", g.op("Less", x, g.f64(1.0)), near, far)


def _lanczos(g: Builder, x: Value) -> Value:
    value = g.op("Mul", _sinc(g, x), _sinc(g, g.op("Div", x, g.f64(3.0))))
    inside = g.op("And", g.op("GreaterOrEqual", x, g.f64(-3.0)), g.op("Less", x, g.f64(3.0)))
    return g.op("Where", inside, value, g.f64(0.0))


def _sinc(g: Builder, x: Value) -> Value:
    angle = g.op("Mul", x, g.f64(pi))
    at_zero = g.op("Equal", x, g.f64(0.0))
    safe = g.op("Where", at_zero, g.f64(1.0), angle)
    return g.op("Where", at_zero, g.f64(1.0), g.op("Div", g.op("Sin", safe), safe))


FILTERS: dict[str, tuple[float, Callable[[Builder, Value], Value]]] = {
    "box": (0.5, _box),
    "bilinear": (1.0, _bilinear),
    "hamming": (1.0, _hamming),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, _lanczos),
}
"""Support (source pixels at scale 1) and kernel of each of Pillow's filters."""
