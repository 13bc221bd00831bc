"""Integers that stand for floats: the arithmetic of QuantizeLinear and DequantizeLinear.

A level `q` stands for `(q - zero_point) * scale`. Scale and zero point are one for the whole tensor, or one
for each channel along an axis. ONNX rounds half to even and clips at the ends of the integers' type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.graph import Node, maker, values_of

__all__ = ["Levels", "is_quantized", "levels_of", "rounded_tensor"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Levels:
    """How one tensor's integers are to be read; `axis` is `None` for a scale of the whole tensor."""

    scale: npt.NDArray[np.float32]
    zero_point: Array
    axis: int | None

    def same_as(self, other: Levels) -> bool:
        """Tell whether equal integers stand for equal values."""
        return (
            self.zero_point.dtype == other.zero_point.dtype
            and self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def quantize(self, values: npt.NDArray[np.float32]) -> Array:
        """Return the integers nearest to float32 values, by ONNX's arithmetic."""
        scale, zero_point = self._aligned(values.ndim)
        limits = np.iinfo(self.zero_point.dtype)
        levels = np.rint(values / scale).astype(np.float64) + zero_point
        return np.clip(levels, limits.min, limits.max).astype(self.zero_point.dtype)

    def dequantize(self, levels: Array) -> npt.NDArray[np.float32]:
        """Return the float32 values that integers stand for."""
        scale, zero_point = self._aligned(levels.ndim)
        return np.asarray((levels.astype(np.int64) - zero_point).astype(np.float32) * scale, np.float32)

    def without_zero_point(self, levels: Array) -> npt.NDArray[np.int16]:
        """Return the numbers of 8-bit levels that are multiplied: those that count from the zero point."""
        _, zero_point = self._aligned(levels.ndim)
        return np.asarray(levels.astype(np.int64) - zero_point, np.int16)

    @property
    def limits(self) -> tuple[float, float]:
        """Return the smallest and the largest float32 that has a level, of a scale of the whole tensor."""
        integers = np.iinfo(self.zero_point.dtype)
        low, high = self.dequantize(np.array([integers.min, integers.max])).tolist()
        return low, high

    def _aligned(self, rank: int) -> tuple[Array, Array]:
        """Scale and zero point in a shape that meets a tensor of this rank along the axis."""
        shape = [1] * rank
        if self.axis is not None:
            shape[self.axis] = -1
        return self.scale.reshape(shape), self.zero_point.astype(np.int64).reshape(shape)


def levels_of(node: Node) -> Levels | None:
    """Return how a QuantizeLinear or DequantizeLinear reads its integers; `None` if that is computed.

    Both constants must be given, as they are in every network that the compiler reads or writes.
    """
    scale, zero_point = (values_of(tensor) for tensor in node.inputs[1:3])
    if scale is None or zero_point is None:
        return None
    if not scale.ndim:
        return Levels(scale, zero_point, None)
    rank = len(node.inputs[0].shape) if node.inputs[0].shape is not None else 0
    axis = node.attrs.get("axis", 1)
    return Levels(scale, zero_point, axis + rank if axis < 0 else axis)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Tell whether any tensor of a model is stored or handed on in integers that stand for floats."""
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)


def rounded_tensor(node: Node) -> tuple[Node, Levels] | None:
    """Return the QuantizeLinear before a DequantizeLinear that only undoes it, and the levels between.

    `None` where there is none: stored integers, or integers that the two read in different ways.
    """
    rounding = maker(node.inputs[0], "QuantizeLinear") if node.op == "DequantizeLinear" else None
    if rounding is None or len(rounding.inputs) < 3 or len(node.inputs) < 3:
        return None
    before, behind = levels_of(rounding), levels_of(node)
    if before is None or behind is None or not before.same_as(behind):
        return None
    return rounding, behind
