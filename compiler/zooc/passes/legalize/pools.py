"""Averages and maxima as operators that engines have in integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zooc.ir.graph import Graph, Node, reduced_axes, shape_of
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["convolve_instead_of_average", "pool_instead_of_mean", "window_instead_of_global_maximum"]


def pool_instead_of_mean(graph: Graph, node: Node) -> Outcome:
    """`ReduceMean` over both spatial axes is `GlobalAveragePool`."""
    if node.op != "ReduceMean":
        return False
    source = node.inputs[0]
    if len(source.shape or ()) != 4 or reduced_axes(node) != [2, 3]:
        return Refused("it does not average over height and width of a feature map")
    result = node.outputs[0]
    new = Replacement(graph, node)
    if node.attrs.get("keepdims", 1):
        new.node("GlobalAveragePool", [source], [result])
    else:
        pooled = new.node("GlobalAveragePool", [source], [f"{result.name}/pooled"])
        new.node("Flatten", [pooled], [result], axis=1)
    return True


def window_instead_of_global_maximum(graph: Graph, node: Node) -> Outcome:
    """`GlobalMaxPool`, which engines have in float only, is a `MaxPool` of one window."""
    if node.op != "GlobalMaxPool":
        return False
    shape = shape_of(node.inputs[0])
    if shape is None or len(shape) != 4 or None in shape[2:]:
        return Refused("its height and width are not known")
    new = Replacement(graph, node)
    new.node("MaxPool", [node.inputs[0]], [node.outputs[0]], kernel_shape=list(shape[2:]))
    return True


def convolve_instead_of_average(graph: Graph, node: Node) -> Outcome:
    """`AveragePool` over `k` taps is a depthwise convolution whose weights are all `1 / k`.

    Equal weights are exact in int8 (level 127), and ONNX Runtime's integer depthwise convolution is two to
    six times faster than its integer AveragePool.
    """
    if node.op != "AveragePool":
        return False
    shape = shape_of(node.inputs[0])
    if shape is None or len(shape) != 4 or shape[1] is None:
        return Refused("its channels are not known")
    kernel: Sequence[int] = node.attrs["kernel_shape"]
    pads: Sequence[int] = node.attrs.get("pads", [0, 0, 0, 0])
    strides: Sequence[int] = node.attrs.get("strides", [1, 1])
    if any(pads) and not node.attrs.get("count_include_pad", 0):
        return Refused("the divisor varies: its padding is not counted")
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return Refused("its padding is not written out")
    if any(d != 1 for d in node.attrs.get("dilations", [1, 1])):
        return Refused("it is dilated")
    if _overhangs(node, shape, kernel, pads, strides):
        return Refused("its last windows hang over the edge (ceil_mode)")
    new = Replacement(graph, node)
    weight = new.constant("weight", np.full((shape[1], 1, *kernel), 1.0 / int(np.prod(kernel)), np.float32))
    options = {"group": shape[1], "kernel_shape": kernel, "pads": pads, "strides": strides}
    new.node("Conv", [node.inputs[0], weight], [node.outputs[0]], **options)
    return True


def _overhangs(
    node: Node,
    shape: tuple[int | None, ...],
    kernel: Sequence[int],
    pads: Sequence[int],
    strides: Sequence[int],
) -> bool:
    """Whether rounding up the output size adds a window that leaves the padded input."""
    if not node.attrs.get("ceil_mode", 0):
        return False
    for axis, size in enumerate(shape[2:]):
        if size is None or (size + pads[axis] + pads[axis + 2] - kernel[axis]) % strides[axis]:
            return True
    return False
