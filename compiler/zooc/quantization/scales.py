"""Scales and zero points: uint8 activations, int8 weights, int32 biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from zooc.calibration.ranges import Range
from zooc.quantization.saturation import limit_adjacent_pairs

__all__ = [
    "MIDDLE",
    "ActivationScale",
    "QuantizedWeight",
    "activation_scale",
    "bias_scale",
    "least_scale_for_bias",
    "quantize_weight",
    "signed_scale",
]

MIDDLE = 128
"""The uint8 level that is int8's zero."""

Order = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

_SMALLEST_SCALE = 2.0**-60
_LARGEST_BIAS = 2.0**30
"""Half of int32, so that the accumulated products still fit beside the bias."""
_BIAS_LEVELS = 2.0**16
"""Levels, at least, of the largest bias of a layer that has nothing but its bias."""


@dataclass(frozen=True, slots=True)
class ActivationScale:
    """`real = scale * (level - zero_point)`, level uint8."""

    scale: np.float32
    zero_point: int


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """Weights and bias in integers.

    Attributes:
        values: int8, the shape of the float weight, levels -127 to 127.
        scale: float32 `[channels]`, or a scalar.
        axis: of the channels; `None` for one scale.
        bias: int32 `[channels]` of scale `input scale * scale`, `None` if there is none.
    """

    values: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    axis: int | None
    bias: npt.NDArray[np.int32] | None

    def dequantized(self) -> npt.NDArray[np.float64]:
        """Return the weights that the integers stand for."""
        return self.values * _along(self.scale.astype(np.float64), self.values.ndim, self.axis)


def activation_scale(limits: Range) -> ActivationScale:
    """Return the scale of 256 levels over a range that contains zero, zero itself being a level.

    An empty range (an all-zero tensor) is exact at any scale and gets that of `[0, 1]`.
    """
    low, high = limits
    if high == low:
        return ActivationScale(np.float32(1.0 / 255.0), 0)
    scale = np.float32(max((high - low) / 255.0, _SMALLEST_SCALE))
    zero_point = round(-low / float(scale))
    return ActivationScale(scale, min(max(zero_point, 0), 255))


def signed_scale(limits: Range) -> ActivationScale:
    """Return the scale of 127 levels to both sides of zero, which is level 128: as int8, zero point 0."""
    largest = max(-limits[0], limits[1])
    scale = np.float32(max(largest / 127.0, _SMALLEST_SCALE)) if largest else np.float32(1.0 / 127.0)
    return ActivationScale(scale, MIDDLE)


def quantize_weight(
    weight: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float64] | None,
    axis: int,
    input_scale: np.float32,
    *,
    per_channel: bool,
    clip: Literal["max", "mse"] = "max",
    pairs: Order | None = None,
) -> QuantizedWeight:
    """Round weights to symmetric int8 and the bias to int32.

    A channel's scale is its largest magnitude / 127. It is raised where the int32 bias could not hold the
    bias otherwise: a channel of tiny weights and a large bias loses weight precision that cannot matter. A
    dead channel (all zero) takes the largest scale of the others; if all are, the scale suits the bias.

    Args:
        weight: float32, finite.
        bias: float64 `[channels]`.
        axis: of the output channels.
        input_scale: of the activation that the weights meet.
        per_channel: one scale a channel, or one for all.
        clip: `mse` takes the scale with the least squared error where that is less than the largest's.
        pairs: puts the weights in the order in which they are added in pairs, `[channels, k]`; then scales
            are raised until no pair can overflow 16 bits (`saturation.py`).
    """
    others = tuple(a for a in range(weight.ndim) if a != axis)
    largest = (
        np.abs(weight).max(axis=others).astype(np.float64) if weight.size else np.zeros(weight.shape[axis])
    )
    constant = 0.0 if bias is None else float(np.abs(bias).max(initial=0.0)) / float(input_scale)
    fallback = float(largest.max(initial=0.0)) or constant / _BIAS_LEVELS or 127.0
    scale = np.maximum(np.where(largest > 0, largest, fallback) / 127.0, _SMALLEST_SCALE)
    if clip == "mse":
        scale = _least_error_scale(np.moveaxis(weight, axis, 0).reshape(len(scale), -1), scale, per_channel)
    if bias is not None:
        scale = np.maximum(scale, least_scale_for_bias(bias, input_scale))
    scale = scale if per_channel else scale.max(keepdims=True)
    if pairs is not None:
        scale = limit_adjacent_pairs(pairs(weight).astype(np.float64), scale)
    stored = (scale if per_channel else scale[0]).astype(np.float32)
    exact = np.broadcast_to(stored.astype(np.float64), largest.shape)
    levels = np.rint(weight / _along(exact, weight.ndim, axis))
    values = np.clip(levels, -127, 127).astype(np.int8)
    integer = None
    if bias is not None:
        integer = np.rint(bias / bias_scale(stored, input_scale).astype(np.float64)).astype(np.int32)
    return QuantizedWeight(values, np.asarray(stored), axis if per_channel else None, integer)


def _least_error_scale(
    rows: npt.NDArray[np.float32], scale: npt.NDArray[np.float64], per_channel: bool
) -> npt.NDArray[np.float64]:
    """Of 50 scales from half the largest weight's to that, each channel's with the least squared error.

    "OMSE" of Y. Choukroun et al., "Low-bit Quantization of Neural Networks for Efficient Inference" (arXiv
    1902.06822). Eight bits gain by it only where a few weights are far larger than the rest.

    Args:
        rows: `[channels, k]`.
        scale: `[channels]`.
        per_channel: False weighs all channels together, for the one scale that they share.
    """
    start = scale if per_channel else np.full_like(scale, scale.max())
    best, least = start, np.full(len(start), np.inf)
    for share in np.linspace(1.0, 0.5, 50):
        tried = (start * share)[:, None]
        error = np.square(np.clip(np.rint(rows / tried), -127, 127) * tried - rows).sum(axis=1)
        error = error if per_channel else np.full_like(error, error.sum())
        best = np.where(error < least, tried[:, 0], best)
        least = np.minimum(error, least)
    return best


def least_scale_for_bias(bias: npt.NDArray[np.float64], input_scale: np.float32) -> npt.NDArray[np.float64]:
    """Return the least weight scale of each channel with which int32 holds its bias."""
    return np.asarray(np.abs(bias) / (float(input_scale) * _LARGEST_BIAS))


def bias_scale(scale: npt.NDArray[np.float32], input_scale: np.float32) -> npt.NDArray[np.float32]:
    """Return the int32 bias's scale as engines compute it: a float32 product."""
    return np.asarray(scale * input_scale, np.float32)


def _along(values: npt.NDArray[np.float64], rank: int, axis: int | None) -> npt.NDArray[np.float64]:
    if axis is None or values.ndim == 0:
        return values
    return values.reshape([-1 if a == axis else 1 for a in range(rank)])
