"""A QDQ body without its rounding of activations: the reference of a package that has no float weights."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from zooc.accuracy.integer_graph import IntegerGraph

__all__ = ["dequantized_reference"]

_FLOAT = int(onnx.TensorProto.FLOAT)


def dequantized_reference(graph: IntegerGraph) -> onnx.ModelProto:
    """The body with float32 activations and with the weights and biases that its integers stand for.

    Against it the activations' rounding shows, and the weights' does not.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    renamed = {pair.result: pair.tensor for pair in graph.pairs.values() if pair.result not in graph.outputs}
    nodes = []
    for node in model.graph.node:
        result = node.output[0] if node.output else ""
        if node.op_type == "DequantizeLinear" and result in graph.pairs:
            if result in graph.outputs:
                nodes.append(helper.make_node("Identity", [graph.pairs[result].tensor], [result], node.name))
            continue
        if node.op_type == "DequantizeLinear" and result in graph.weights:
            continue
        if node.op_type == "DequantizeLinear" and graph.is_plain(node):
            # As a DequantizeLinear, ONNX Runtime would take it for a reason to quantize the next weights.
            node.CopyFrom(helper.make_node("Cast", [node.input[0]], [result], node.name, to=_FLOAT))
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    nodes = [n for n in nodes if n.op_type != "QuantizeLinear" or n.output[0] in used]
    used = {name for node in nodes for name in node.input} | graph.outputs
    stored = [tensor for tensor in model.graph.initializer if tensor.name in used]
    stored += [
        numpy_helper.from_array(weight.dequantized(), name)
        for name, weight in graph.weights.items()
        if name in used
    ]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(stored)
    return model
