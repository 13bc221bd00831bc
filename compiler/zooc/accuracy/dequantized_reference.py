"""A QDQ body without its rounding of activations: the reference of a package that has no float weights."""

from __future__ import annotations

import numpy as np
import onnx

from zooc.accuracy.integer_graph import IntegerGraph
from zooc.ir.graph import FLOAT, Node, Tensor, bypass, is_output, read_graph, remove_dead_nodes, write_graph

__all__ = ["dequantized_reference"]


def dequantized_reference(integer: IntegerGraph) -> onnx.ModelProto:
    """Return the body with float32 activations and the weights and biases that its integers stand for.

    Against it the activations' rounding shows, and the weights' does not.
    """
    graph = read_graph(integer.model)
    tensors = graph.tensors()
    for node in graph.nodes:
        if node.op != "DequantizeLinear":
            continue
        result = node.outputs[0]
        if (pair := integer.pairs.get(result.name)) is not None:
            if is_output(graph, result):
                _become(node, "Identity", tensors[pair.tensor])
            else:
                bypass(result, tensors[pair.tensor])
        elif (weight := integer.weights.get(result.name)) is not None:
            node.outputs.clear()
            result.to_constant(weight.dequantized())
        elif _is_plain(node):
            # As a DequantizeLinear, ONNX Runtime would take it for a reason to quantize the next weights.
            _become(node, "Cast", node.inputs[0], to=FLOAT)
    remove_dead_nodes(graph)
    return write_graph(graph)


def _become(node: Node, op: str, source: Tensor, **attributes: int) -> None:
    node.op, node.attrs, node.inputs = op, attributes, [source]


def _is_plain(node: Node) -> bool:
    """Whether a DequantizeLinear is a cast: scale 1, zero point 0."""
    scale, *zero = (np.asarray(tensor.values) for tensor in node.inputs[1:])
    return float(scale.sum()) == 1.0 and not any(values.any() for values in zero)
