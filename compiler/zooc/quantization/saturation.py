"""Which layers cannot saturate on x86 CPUs that add products of pixels and weights in pairs of 16 bits.

Without VNNI, ONNX Runtime's and OpenVINO's kernels multiply by `vpmaddubsw`: two products of a uint8 and an
int8 are added and clipped to 16 bits. A sum beyond 32767 is wrong without any sign of it. Which weights are
added to each other follows from the order in which a kernel walks along a filter: ONNX Runtime unfolds
convolutions with channels innermost (height, width, channel), Gemm along the rows; two neighbours in that
order make a pair. Kernels differ in where they begin to count (padding to multiples of four, a tap's channels
by themselves), so every two neighbours are taken to be a pair, the last channel of a tap and the first of the
next included. Depthwise kernels widen to 32 bits today; they are held to the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.graph import maker, read_graph, values_of
from zooc.ir.levels import levels_of

__all__ = [
    "LARGEST_PAIR",
    "PackedLayer",
    "accumulation_order",
    "limit_adjacent_pairs",
    "packed_layers",
    "saturation_json",
    "within_pairs",
    "worst_pairs",
]

LARGEST_PAIR = 128
"""Of `|w0| + |w1|`: `255 * 128 = 32640` fits into 16 bits, `255 * 129` does not."""


Integers = npt.NDArray[Any]

_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer with weights in 8 bits: its name, and the largest `|w0| + |w1|` of any pair."""

    name: str
    worst_pair: int

    @property
    def proven(self) -> bool:
        """Tell whether no input at all can make a pair overflow."""
        return self.worst_pair <= LARGEST_PAIR


def packed_layers(quantized: onnx.ModelProto) -> list[PackedLayer]:
    """Return every layer of a QDQ body that has weights in 8 bits, with the worst pair of those stored."""
    found = []
    for node in read_graph(quantized).nodes:
        if node.op not in ("Conv", "Gemm", "MatMul"):
            continue
        dequantize = maker(node.inputs[1], "DequantizeLinear")
        values = None if dequantize is None else values_of(dequantize.inputs[0])
        if dequantize is not None and values is not None and values.dtype == np.uint8:
            levels = levels_of(dequantize)  # a source's own; engines take the zero point off first
            values = None if levels is None else levels.without_zero_point(values)
        if values is not None and values.dtype in (np.int8, np.int16):
            pairs = worst_pairs(accumulation_order(values, node.op, node.attrs.get("transB", 0)))
            found.append(PackedLayer(node.name, int(pairs.max(initial=0))))
    return found


def saturation_json(quantized: onnx.ModelProto, target: str) -> dict[str, Any]:
    """Return the verdict for manifests: the kinds of CPU it is proven for, and the layers at risk elsewhere.

    With VNNI (and on ARM) products are added in 32 bits; nothing can overflow there.
    """
    at_risk = {layer.name: layer.worst_pair for layer in packed_layers(quantized) if not layer.proven}
    proven = ["vnni"] if at_risk else ["vnni", "avx2", "any"]
    return {"target": target, "proven": proven, "at_risk": at_risk}


def accumulation_order(values: Integers, op: str, transposed: int = 0) -> Integers:
    """Return weights as `[output channels, k]`, k in the order in which kernels add products up."""
    if op == "Conv":
        return np.moveaxis(values, 1, -1).reshape(len(values), -1)
    return (
        values if op == "Gemm" and transposed else np.moveaxis(values, -2, -1).reshape(-1, values.shape[-2])
    )


def worst_pairs(rows: Integers) -> npt.NDArray[np.int64]:
    """Return the largest `|w0| + |w1|` of neighbours in each of `[channels, k]`; a lone one pairs with 0."""
    magnitude = np.abs(rows.astype(np.int64))
    if magnitude.shape[1] < 2:
        return np.asarray(magnitude.max(axis=1, initial=0))
    return np.asarray((magnitude[:, 1:] + magnitude[:, :-1]).max(axis=1))


def within_pairs(levels: Integers, others: Integers, op: str, transposed: int = 0) -> Integers:
    """Return `others` where no pair can exceed `LARGEST_PAIR`, whichever of its two levels each weight takes.

    Elsewhere `levels`, whose pairs are taken to fit.
    """
    order = accumulation_order(np.arange(levels.size).reshape(levels.shape), op, transposed)
    largest = np.maximum(np.abs(levels.astype(np.int64)), np.abs(others.astype(np.int64))).reshape(-1)[order]
    beyond = largest[:, 1:] + largest[:, :-1] > LARGEST_PAIR
    fixed = np.zeros(levels.size, np.bool_)
    fixed[order] = np.pad(beyond, ((0, 0), (0, 1))) | np.pad(beyond, ((0, 0), (1, 0)))
    return np.where(fixed.reshape(levels.shape), levels, others)


def limit_adjacent_pairs(
    rows: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return larger scales for the channels that have a pair beyond `LARGEST_PAIR`, just large enough.

    At worst the largest weight gets the level 64: seven bits.

    Args:
        rows: float weights, `[channels, k]`.
        scale: `[channels]`, or `[1]` for all.

    Returns:
        scales of the same shape.
    """
    alone = scale.size == len(rows)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    widest = np.maximum((largest if alone else largest.max(keepdims=True)) / (LARGEST_PAIR / 2), scale)
    fitted = scale
    for _ in range(_ROUNDS):
        stored = fitted.astype(np.float32).astype(np.float64)
        worst = worst_pairs(np.clip(np.rint(rows / stored[:, None]), -127, 127))
        worst = worst if alone else worst.max(keepdims=True)
        if not (worst > LARGEST_PAIR).any():
            return fitted
        grown = np.minimum(fitted * np.maximum(worst / LARGEST_PAIR, 1.002), widest)
        fitted = np.where(worst > LARGEST_PAIR, grown, fitted)
    return np.asarray(np.where(worst > LARGEST_PAIR, widest, fitted))
