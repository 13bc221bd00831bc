"""Averages as operators that engines have in integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from zooc.ir.graph import BodyGraph, attribute
from zooc.ir.rewriter import Replacement, reduced_axes

__all__ = ["convolve_instead_of_average", "pool_instead_of_mean"]


def pool_instead_of_mean(graph: BodyGraph, index: int) -> Replacement | None:
    """`ReduceMean` over both spatial axes is `GlobalAveragePool`."""
    node = graph.nodes[index]
    if node.op_type != "ReduceMean" or graph.rank(node.input[0]) != 4:
        return None
    if reduced_axes(graph, node) != [2, 3]:
        return None
    new = Replacement(graph, index)
    if attribute(node, "keepdims", 1):
        new.node("GlobalAveragePool", [node.input[0]], [node.output[0]])
    else:
        pooled = new.node("GlobalAveragePool", [node.input[0]], [f"{node.output[0]}/pooled"])
        new.node("Flatten", [pooled], [node.output[0]], axis=1)
    return new


def convolve_instead_of_average(graph: BodyGraph, index: int) -> Replacement | None:
    """`AveragePool` over `k` taps is a depthwise convolution whose weights are all `1 / k`.

    Equal weights are exact in int8 (level 127), and ONNX Runtime's integer depthwise convolution is two to
    six times faster than its integer AveragePool. Refused where the divisor varies (padding that is not
    counted), where windows overhang (`ceil_mode`), or where channels are unknown.
    """
    node = graph.nodes[index]
    shape = graph.shape(node.input[0])
    if node.op_type != "AveragePool" or shape is None or len(shape) != 4 or shape[1] is None:
        return None
    kernel: Sequence[int] = attribute(node, "kernel_shape")
    pads: Sequence[int] = attribute(node, "pads", [0, 0, 0, 0])
    strides: Sequence[int] = attribute(node, "strides", [1, 1])
    counted = attribute(node, "count_include_pad", 0) or not any(pads)
    plain = attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    dilated = any(d != 1 for d in attribute(node, "dilations", [1, 1]))
    if not counted or not plain or dilated or _overhangs(node, shape, kernel, pads, strides):
        return None
    new = Replacement(graph, index)
    taps = int(np.prod(kernel))
    weight = new.constant("weight", np.full((shape[1], 1, *kernel), 1.0 / taps, np.float32))
    options = {"group": shape[1], "kernel_shape": kernel, "pads": pads, "strides": strides}
    new.node("Conv", [node.input[0], weight], [node.output[0]], **options)
    return new


def _overhangs(
    node: onnx.NodeProto,
    shape: tuple[int | None, ...],
    kernel: Sequence[int],
    pads: Sequence[int],
    strides: Sequence[int],
) -> bool:
    """Whether rounding up the output size adds a window that leaves the padded input."""
    if not attribute(node, "ceil_mode", 0):
        return False
    for axis, size in enumerate(shape[2:]):
        if size is None or (size + pads[axis] + pads[axis + 2] - kernel[axis]) % strides[axis]:
            return True
    return False
