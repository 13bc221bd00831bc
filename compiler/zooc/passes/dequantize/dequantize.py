"""Rewrites a quantized network into the float network that it stands for: nothing is rounded any more."""

from __future__ import annotations

import onnx

from zooc.ir.graph import infer_shapes, read_graph, write_graph
from zooc.ir.rewriter import Rule, apply_rule
from zooc.passes.dequantize.activations import clip_instead_of_rounding
from zooc.passes.dequantize.weights import floats_instead_of_levels, floats_instead_of_rounding

__all__ = ["RULES", "dequantize"]

RULES: tuple[Rule, ...] = (floats_instead_of_rounding, floats_instead_of_levels, clip_instead_of_rounding)
"""In order: weights that the file has in float are taken before those that only its integers tell."""


def dequantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network's float twin: float weights, activations clipped as their integers are, not rounded.

    Nodes and tensors keep their names, so the twin can be compared with the network layer by layer.

    Args:
        model: quantized already, by QuantizeLinear and DequantizeLinear; not changed.
    """
    graph = read_graph(model)
    for rule in RULES:
        apply_rule(graph, rule)
    graph.cleanup(remove_unused_node_outputs=False).toposort()
    infer_shapes(graph)
    return write_graph(graph)
