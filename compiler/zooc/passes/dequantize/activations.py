"""Activations in float where the network rounds them.

    DequantizeLinear(QuantizeLinear(x))  =  Clip(x, low, high), but for rounding

The ends of the integers' range count: quantizers leave out a Relu or a Relu6 that the range performs by
itself, so without the Clip the float network would be another one.
"""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Graph, Node, Tensor, bypass, is_output, maker, only_reader, values_of
from zooc.ir.levels import rounded_tensor
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["clip_instead_of_rounding"]

_KEEPS_RANGE = frozenset(
    {
        "AveragePool",
        "Flatten",
        "Gather",
        "GlobalAveragePool",
        "Identity",
        "MaxPool",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators whose results lie within the range of their first operand; padding is 0, which any range has."""


def clip_instead_of_rounding(graph: Graph, node: Node) -> Outcome:
    """A tensor that is rounded to levels of one scale is clipped to the range of these levels.

    Where it lies in that range already, nothing is left.
    """
    pair = rounded_tensor(node)
    if pair is None:
        return False
    rounding, levels = pair
    if levels.axis is not None or levels.scale.ndim:
        return Refused("its channels have scales of their own")
    source, (result,), limits = rounding.inputs[0], node.outputs, levels.limits
    if _lies_within(source, limits) and not is_output(graph, result):
        bypass(result, source)
        return True
    new = Replacement(graph, node, name=f"{result.name}/range")
    named = zip(("low", "high"), limits, strict=True)
    ends = [new.constant(name, np.float32(value)) for name, value in named]
    relu = maker(source, "Relu")
    if relu is not None and limits[0] == 0.0 and only_reader(graph, source) is rounding:
        source = relu.inputs[0]
    new.node("Clip", [source, *ends], [result])
    return True


def _lies_within(tensor: Tensor, limits: tuple[float, float]) -> bool:
    """Whether a Clip to these limits makes a tensor, apart from operators that keep the range."""
    node = maker(tensor)
    while node is not None and node.op in _KEEPS_RANGE:
        node = maker(node.inputs[0])
    return node is not None and node.op == "Clip" and _limits(node) == limits


def _limits(clip: Node) -> tuple[float, float] | None:
    """A Clip's limits as they were written, `None` if it lacks one or computes it."""
    ends = [values_of(tensor) for tensor in clip.inputs[1:3]]
    if len(ends) != 2 or any(values is None or values.size != 1 for values in ends):
        return None
    low, high = (float(np.asarray(values).reshape(-1)[0]) for values in ends)
    return low, high
