"""torchvision's resize of `uint8` tensors on a CPU, to the last bit, in numpy.

The arithmetic is that of torch's 8-bit kernels (ATen/native/cpu/UpSampleKernel.cpp, "Weights computation for
uint8_t and multiplication trick"): float64 weights, rounded to as many bits as let the largest of an axis fit
into int16; the horizontal pass first, rounded and clipped to `uint8`, then the vertical one.

With antialiasing the window widens with the scale, as Pillow's does. Without, an output has two taps
(bilinear) or four (bicubic) whatever the scale; taps beyond the border add to the border pixel's weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..support.arrays import U8Array

__all__ = ["CUBIC_ANTIALIASED", "CUBIC_PLAIN", "MOST_BITS", "TAPS", "WEIGHT_LIMIT", "resize_torch"]

TAPS = {"bilinear": 2, "bicubic": 4}
"""Source pixels that an output depends on at scale 1."""

CUBIC_ANTIALIASED = -0.5
"""The cubic's parameter with antialiasing, Pillow's."""

CUBIC_PLAIN = -0.75
"""The cubic's parameter without antialiasing, OpenCV's."""

MOST_BITS = 22
"""The most fractional bits that a weight may have."""

WEIGHT_LIMIT = 1 << 15
"""Weights stay below this."""

F64Array = NDArray[np.float64]
Kernel = Callable[[F64Array], F64Array]


@dataclass(frozen=True, slots=True)
class _Weights:
    """Source positions and weights of each output, `[outputs, taps]`, weights in units of `2**-bits`."""

    index: NDArray[np.int64]
    weight: NDArray[np.int64]
    bits: int


def resize_torch(image: U8Array, height: int, width: int, interpolation: str, *, antialias: bool) -> U8Array:
    """Return what `torchvision.transforms.v2.functional.resize` gives of the same image as a tensor.

    Args:
        image: `uint8 [H, W, channels]`.
        height: rows wanted, at least 1.
        width: columns wanted, at least 1.
        interpolation: `bilinear` or `bicubic`.
        antialias: as torchvision's.
    """
    across = _resample_columns(image, width, interpolation, antialias=antialias)
    down = _resample_columns(across.transpose(1, 0, 2), height, interpolation, antialias=antialias)
    resized: U8Array = down.transpose(1, 0, 2)
    return resized


def _resample_columns(image: U8Array, width: int, interpolation: str, *, antialias: bool) -> U8Array:
    """One pass along the second axis; weights of an axis that keeps its size would change nothing."""
    columns = image.shape[1]
    if columns == width:
        return image
    weights = (_antialiased if antialias else _plain)(columns, width, interpolation)
    total = np.full((image.shape[0], width, image.shape[2]), 1 << (weights.bits - 1), np.int32)
    for tap in range(weights.index.shape[1]):
        total += image[:, weights.index[:, tap]] * weights.weight[:, tap, None].astype(np.int32)
    resized: U8Array = (total >> weights.bits).clip(0, 255).astype(np.uint8)
    return resized


def _antialiased(source: int, target: int, interpolation: str) -> _Weights:
    """Windows of `support` to both sides of an output's centre, and weights whose sum is 1."""
    kernel = _linear if interpolation == "bilinear" else _cubic(CUBIC_ANTIALIASED)
    scale = source / target
    stretch = max(scale, 1.0)
    support = TAPS[interpolation] * 0.5 * stretch
    most = int(np.ceil(support)) * 2 + 1
    center = scale * (np.arange(target) + 0.5)
    low = np.maximum((center - support + 0.5).astype(np.int64), 0)
    high = np.minimum((center + support + 0.5).astype(np.int64), source)
    index = low[:, None] + np.arange(most)
    weight = kernel((index - center[:, None] + 0.5) * (1.0 / stretch))
    weight[index >= high[:, None]] = 0.0
    # One after the other, as torch adds; `sum` would add in pairs.
    weight /= weight.cumsum(axis=1)[:, -1:]
    return _in_bits(index, weight, float(weight.max()), source)


def _plain(source: int, target: int, interpolation: str) -> _Weights:
    """The nearest two or four pixels of an output, with weights whose sum is 1."""
    taps = TAPS[interpolation]
    kernel = _linear if interpolation == "bilinear" else _cubic(CUBIC_PLAIN)
    position = source / target * (np.arange(target) + 0.5) - 0.5
    if interpolation == "bilinear":
        position = np.maximum(position, 0.0)
    left = np.minimum(np.floor(position.astype(np.float32)).astype(np.int64), source - 1)
    fraction = (position - left).clip(0.0, 1.0)
    offsets = np.arange(taps) - (taps // 2 - 1)
    index = (left[:, None] + offsets).clip(0, source - 1)
    weight = kernel(offsets - fraction[:, None])
    # Of taps on the same pixel the last gets the sum. The largest weight is sought among partial sums, too.
    for tap in range(1, taps):
        same = index[:, tap] == index[:, tap - 1]
        weight[:, tap] += np.where(same, weight[:, tap - 1], 0.0)
    largest = max(float(weight.max()), 0.0)
    weight[:, :-1][index[:, :-1] == index[:, 1:]] = 0.0
    return _in_bits(index, weight, largest, source)


def _in_bits(index: NDArray[np.int64], weight: F64Array, largest: float, source: int) -> _Weights:
    """Round to the most bits with which the largest weight is below 2**15, half away from zero."""
    bits = _bits(largest)
    whole = np.floor(np.abs(weight) * (1 << bits) + 0.5) * np.sign(weight)
    return _Weights(index.clip(0, source - 1), whole.astype(np.int64), bits)


def _bits(largest: float) -> int:
    return sum(int(0.5 + largest * (1 << bits)) < WEIGHT_LIMIT for bits in range(1, MOST_BITS + 1))


def _linear(x: F64Array) -> F64Array:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(a: float) -> Kernel:
    """Keys' cubic with parameter `a`, in torch's order of operations."""

    def kernel(x: F64Array) -> F64Array:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))

    return kernel
