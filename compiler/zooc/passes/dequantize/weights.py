"""Stored weights as floats: those that the file has beside the integers, else what the integers stand for."""

from __future__ import annotations

from zooc.ir.graph import Constant, Graph, Node, bypass, is_output, values_of
from zooc.ir.levels import levels_of, rounded_tensor
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["floats_instead_of_levels", "floats_instead_of_rounding"]


def floats_instead_of_rounding(graph: Graph, node: Node) -> Outcome:
    """Stored floats that are quantized and dequantized when the network is loaded are those floats."""
    pair = rounded_tensor(node)
    if pair is None or not isinstance(pair[0].inputs[0], Constant):
        return False
    (result,) = node.outputs
    if is_output(graph, result):
        return Refused("they are a result of the graph")
    bypass(result, pair[0].inputs[0])
    return True


def floats_instead_of_levels(graph: Graph, node: Node) -> Outcome:
    """`DequantizeLinear(levels, scale, zero_point)` of stored levels is `(levels - zero_point) * scale`."""
    stored = values_of(node.inputs[0]) if node.op == "DequantizeLinear" else None
    if stored is None:
        return False
    levels = levels_of(node) if len(node.inputs) > 2 else None
    (result,) = node.outputs
    if levels is None:
        return Refused("its scale or zero point is computed")
    if is_output(graph, result):
        return Refused("they are a result of the graph")
    node.inputs.clear()
    node.outputs.clear()
    result.to_constant(levels.dequantize(stored))
    return True
