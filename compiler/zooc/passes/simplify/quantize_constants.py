"""Stores the integers of a network that is quantized already, where its file has floats and a QuantizeLinear.

    QuantizeLinear(w, scale, zero_point)  =  clip(round(w / scale) + zero_point)

NVIDIA's quantizer writes weights so: float, then QuantizeLinear, then DequantizeLinear. The integers are a
quarter as large, and the same.
"""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Graph, Node, is_output, values_of
from zooc.ir.levels import levels_of
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["quantize_constants"]


def quantize_constants(graph: Graph, node: Node) -> Outcome:
    """A QuantizeLinear of stored floats is stored integers."""
    values = values_of(node.inputs[0]) if node.op == "QuantizeLinear" else None
    if values is None:
        return False
    levels = levels_of(node) if len(node.inputs) > 2 else None
    (result,) = node.outputs
    if levels is None or values.dtype != np.float32:
        return Refused("its scale or zero point is computed, or its floats are not float32")
    if is_output(graph, result):
        return Refused("the integers are a result of the graph")
    node.inputs.clear()
    node.outputs.clear()
    result.to_constant(levels.quantize(values))
    return True
