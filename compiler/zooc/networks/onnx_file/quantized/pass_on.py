"""Operators that hand levels on: they do it with floats between two pairs, as in most quantized files."""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, Variable, is_output, maker, values_of
from zooc.ir.rewriter import Outcome, Refused
from zooc.networks.onnx_file.quantized.steps import given

__all__ = ["hand_on_floats"]

_ONE_OPERAND = frozenset(
    {
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Pad",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators whose results are values of their first operand, in another order, fewer, or padded."""


def hand_on_floats(graph: Graph, node: Node) -> Outcome:
    """A MaxPool, Reshape or the like of levels is the same of the floats, quantized again.

    The levels come out as they were, for both steps use the scale of the operand's QuantizeLinear.
    """
    rounding = maker(node.inputs[0], "QuantizeLinear") if node.inputs and node.op in _ONE_OPERAND else None
    if rounding is None:
        return False
    results = node.outputs
    if any(is_output(graph, tensor) for tensor in results) or (node.op == "MaxPool" and len(results) > 1):
        return Refused("its levels, or their places, are a result")
    constants = rounding.inputs[1:]
    if node.op == "Pad" and (node.attrs.get("mode", "constant") != "constant" or not _stores_value(node)):
        return Refused("it pads with levels that are computed")
    if not all(isinstance(tensor, Constant) for tensor in constants) or _of_channels(constants):
        return Refused("its operand has a computed scale, or one for each channel")
    place = next(i for i, other in enumerate(graph.nodes) if other is node)
    floats = Variable(f"{node.name}/floats")
    before = Node(
        "DequantizeLinear", f"{node.name}/DequantizeLinear", {}, [node.inputs[0], *constants], [floats]
    )
    if node.op == "Pad":
        node.inputs[2:3] = [_value(node, constants)]
    node.inputs[0] = floats
    behind = []
    for number, levels in enumerate(list(node.outputs)):
        result = Variable(f"{levels.name}/float")
        node.outputs[number] = result
        behind.append(
            Node("QuantizeLinear", f"{node.name}/QuantizeLinear_{number}", {}, [result, *constants], [levels])
        )
    graph.nodes[place : place + 1] = [before, node, *behind]
    return True


def _stores_value(pad: Node) -> bool:
    value = given(pad, 2)
    return value is None or isinstance(value, Constant)


def _value(pad: Node, constants: list[Tensor]) -> Constant:
    """The float of the level that a Pad fills with: 0 where it names none."""
    scale, zero_point = (tensor.values.reshape(()) for tensor in (*constants, Constant("", np.uint8(0)))[:2])
    value = given(pad, 2)
    stored = None if value is None else values_of(value)
    level = 0 if stored is None else int(stored.reshape(()))
    return Constant(f"{pad.name}/value", np.asarray((level - int(zero_point)) * scale, scale.dtype))


def _of_channels(constants: list[Tensor]) -> bool:
    return any(isinstance(tensor, Constant) and tensor.values.size > 1 for tensor in constants)
