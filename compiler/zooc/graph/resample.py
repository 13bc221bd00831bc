"""Pillow's resampling of `uint8` images in ordinary ONNX operators, equal on every pixel.

Pillow (libImaging/Resample.c) resizes one axis after the other. For each output position it computes float64 filter
weights over a window of source positions, normalizes them, rounds them to 22 bits, sums `weight * pixel` in int32, and
clips to `uint8` between the passes. Here the weights follow from the image's shape by the same float64 operations in the
same order. A weight `w` is split into four balanced base-128 digits, `w = d3 * 128**3 + d2 * 128**2 + d1 * 128 + d0`
with `-64 <= d <= 63`, so that one `MatMulInteger` of pixels by all digit planes side by side gives exact int32 sums
on every CPU: an x86 without VNNI adds pairs of u8 x s8 products in 16 bits, and `255 * (64 + 64) < 32768`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

if TYPE_CHECKING:
    from collections.abc import Callable

    from zooc.graph.builder import Builder, Value

__all__ = ["FILTERS", "Axis", "Taps", "nearest_indices", "resample_last_axis", "taps"]

PRECISION_BITS = 22
"""Pillow's weights have `32 - 8 - 2` fractional bits."""

DIGITS = 4
BASE = 128

_END = 2**62


@dataclass(frozen=True)
class Axis:
    """One axis of a resize: `source` positions are mapped to `target`, of which `count` from `start` are wanted.

    All are int64 tensors of shape `[1]`; `origin` is where the source begins in the tensor at hand.
    """

    origin: Value
    source: Value
    target: Value
    start: Value
    count: Value


@dataclass(frozen=True)
class Taps:
    """The weights of one axis, made dense: `digits` int8 `[last - first, 4 * count]`; `first`, `last` int64 `[1]`.

    `first` and `last` bound the source positions that any wanted output needs, in the tensor at hand.
    """

    first: Value
    last: Value
    digits: Value
    count: Value


def taps(g: Builder, axis: Axis, interpolation: str) -> Taps:
    """The fixed-point weights that Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` give for `axis`."""
    support_size, kernel = FILTERS[interpolation]
    scale = g.op("Div", g.cast(axis.source, TensorProto.DOUBLE), g.cast(axis.target, TensorProto.DOUBLE))
    stretch = g.op("Max", scale, g.f64([1.0]))
    support = g.op("Mul", stretch, g.f64([support_size]))
    position = g.op("Add", range_from(g, axis.start, axis.count), g.f64([0.5]))
    center = g.op("Mul", position, scale)

    half = g.f64([0.5])
    low = g.cast(g.op("Add", g.op("Sub", center, support), half), TensorProto.INT64)
    high = g.cast(g.op("Add", g.op("Add", center, support), half), TensorProto.INT64)
    low = g.op("Max", low, g.i64([0]))
    high = g.op("Min", high, axis.source)

    # [count, width]: every output's window, as wide as the widest.
    width = g.op("ReduceMax", g.op("Sub", high, low), keepdims=0)
    steps = g.op("Range", g.i64(0), width, g.i64(1))
    columns = g.i64([1])
    at = g.op("Add", g.op("Unsqueeze", low, columns), steps)
    inside = g.op("Less", at, g.op("Unsqueeze", high, columns))
    offset = g.op("Sub", g.cast(at, TensorProto.DOUBLE), g.op("Unsqueeze", center, columns))
    argument = g.op("Mul", g.op("Add", offset, half), g.op("Div", g.f64(1.0), stretch))
    weight = g.op("Where", inside, kernel(g, argument), g.f64(0.0))
    # CumSum adds in Pillow's order, one after the other; ReduceSum would round differently.
    total = g.op("Slice", g.op("CumSum", weight, g.i64(1)), g.i64([-1]), g.i64([_END]), columns)
    weight = g.op("Div", weight, total)

    scaled = g.op("Mul", weight, g.f64(float(1 << PRECISION_BITS)))
    rounded = g.op("Add", scaled, g.op("Mul", g.op("Sign", scaled), half))
    fixed = g.cast(rounded, TensorProto.INT32)

    first = g.op("Slice", low, g.i64([0]), g.i64([1]))
    last = g.op("ReduceMax", high, keepdims=1)
    return Taps(
        first=g.op("Add", axis.origin, first),
        last=g.op("Add", axis.origin, last),
        digits=_dense_digits(g, fixed, at, inside, first, last, axis.count),
        count=axis.count,
    )


def _dense_digits(
    g: Builder, fixed: Value, at: Value, inside: Value, first: Value, last: Value, count: Value
) -> Value:
    """Scatter the windows' digits into int8 `[last - first, DIGITS * count]`, one plane of digits beside the other."""
    planes = []
    rest = fixed
    for place in range(DIGITS):
        if place == DIGITS - 1:
            planes.append(rest)
            break
        centred = g.op("BitwiseAnd", g.op("Add", rest, g.i32(BASE // 2)), g.i32(BASE - 1))
        digit = g.op("Sub", centred, g.i32(BASE // 2))
        planes.append(digit)
        rest = g.op("Div", g.op("Sub", rest, digit), g.i32(BASE))
    stacked = g.cast(g.op("Concat", *[g.op("Unsqueeze", p, g.i64([0])) for p in planes], axis=0), TensorProto.INT8)

    # Flat index of (source row, plane, output); positions outside a window hold weight 0 and all
    # write that 0 into one spare element at the end.
    rows = g.op("Sub", last, first)
    row_size = g.op("Mul", count, g.i64([DIGITS]))
    size = g.op("Mul", rows, row_size)
    output = g.op("Range", g.i64(0), g.op("Squeeze", count), g.i64(1))
    flat = g.op("Add", g.op("Mul", g.op("Sub", at, first), row_size), g.op("Unsqueeze", output, g.i64([1])))
    plane = g.op("Mul", count, g.i64(np.arange(DIGITS).reshape(DIGITS, 1, 1)))
    flat = g.op("Where", inside, g.op("Add", flat, plane), size)
    everything = g.i64([-1])
    zeros = g.op("ConstantOfShape", g.op("Add", size, g.i64([1])), value=_zero_int8())
    dense = g.op("ScatterElements", zeros, g.op("Reshape", flat, everything), g.op("Reshape", stacked, everything))
    shape = g.op("Concat", rows, row_size, axis=0)
    return g.op("Reshape", g.op("Slice", dense, g.i64([0]), size), shape)


def _zero_int8() -> TensorProto:
    return TensorProto(data_type=TensorProto.INT8, dims=[1], int32_data=[0])


def resample_last_axis(g: Builder, image: Value, taps: Taps) -> Value:
    """One pass: `uint8 [3, A, last - first]` to `uint8 [3, A, count]`."""
    sums = g.op("MatMulInteger", image, taps.digits)
    planes = g.op("Reshape", sums, g.op("Concat", g.i64([0, 0, DIGITS]), taps.count, axis=0))
    weights = np.array([BASE**place for place in range(DIGITS)]).reshape(DIGITS, 1)
    total = g.op("ReduceSum", g.op("Mul", planes, g.i32(weights)), g.i64([2]), keepdims=0)
    total = g.op("Add", total, g.i32(1 << (PRECISION_BITS - 1)))
    clipped = g.op("Clip", total, g.i32(0), g.i32((256 << PRECISION_BITS) - 1))
    shifted = g.op(
        "BitShift",
        g.cast(clipped, TensorProto.UINT32),
        g.constant(PRECISION_BITS, np.uint32),
        direction="RIGHT",
    )
    return g.cast(shifted, TensorProto.UINT8)


def nearest_indices(g: Builder, axis: Axis) -> Value:
    """Source positions that Pillow's `NEAREST` takes, int64 `[count]`.

    libImaging/Geometry.c (`ImagingScaleAffine`) adds the float64 step up from half a step; so does `CumSum`.
    """
    step = g.op("Div", g.cast(axis.source, TensorProto.DOUBLE), g.cast(axis.target, TensorProto.DOUBLE))
    stop = g.op("Add", axis.start, axis.count)
    rest = g.op("Expand", step, g.op("Sub", stop, g.i64([1])))
    positions = g.op("CumSum", g.op("Concat", g.op("Mul", step, g.f64([0.5])), rest, axis=0), g.i64(0))
    wanted = g.op("Slice", positions, axis.start, stop)
    return g.op("Add", g.cast(wanted, TensorProto.INT64), axis.origin)


def range_from(g: Builder, start: Value, count: Value) -> Value:
    """float64 `[count]`: `start, start + 1, ...`."""
    steps = g.op("Range", g.i64(0), g.op("Squeeze", count), g.i64(1))
    return g.cast(g.op("Add", steps, start), TensorProto.DOUBLE)


def _box(g: Builder, x: Value) -> Value:
    inside = g.op("And", g.op("Greater", x, g.f64(-0.5)), g.op("LessOrEqual", x, g.f64(0.5)))
    return g.cast(inside, TensorProto.DOUBLE)


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
