"""Piecewise linear gates in operators that engines have in integers, which for HardSigmoid none has."""

from __future__ import annotations

import numpy as np
import onnx

from zooc.ir.graph import BodyGraph, attribute
from zooc.ir.rewriter import Replacement, maker_for

__all__ = ["clip_instead_of_hard_sigmoid", "clip_instead_of_hard_swish"]


def clip_instead_of_hard_swish(graph: BodyGraph, index: int) -> Replacement | None:
    """`x * clip(a * x + b, 0, 1)` is `a * (x * clip(x + b / a, 0, 1 / a))`.

    A convolution behind it takes in the factor a. HardSwish has `a = 1 / 6` and `b = 1 / 2`. Refused outside
    of feature maps: there is little in integers, and in float two operators are faster than four.
    """
    node = graph.nodes[index]
    gate = node if node.op_type == "HardSwish" else _own_gate(graph, node)
    if gate is None or not _is_worth_it(graph, gate):
        return None
    new = Replacement(graph, index)
    clipped, slope = _clipped(new, gate, node.output[0])
    product = new.node("Mul", [gate.input[0], clipped], [f"{node.output[0]}/unscaled"])
    new.node("Mul", [product, slope], [node.output[0]])
    return new


def clip_instead_of_hard_sigmoid(graph: BodyGraph, index: int) -> Replacement | None:
    """`clip(a * x + b, 0, 1)` is `a * clip(x + b / a, 0, 1 / a)`.

    Behind a convolution of its own the gate costs nothing: a and b go into weights and bias.
    """
    node = graph.nodes[index]
    if node.op_type != "HardSigmoid" or not _is_worth_it(graph, node):
        return None
    new = Replacement(graph, index)
    result = node.output[0]
    if (conv := _own_convolution(graph, node.input[0])) is None:
        clipped, slope = _clipped(new, node, result)
        new.node("Mul", [clipped, slope], [result])
        return new
    weight, bias = (graph.constant(name) for name in conv.input[1:])
    assert weight is not None and bias is not None
    alpha, beta = _line(node)
    stored = [new.constant("weight", weight * alpha), new.constant("bias", bias * alpha + beta)]
    line = new.copy(conv, [conv.input[0], *stored], f"{result}/line")
    limits = [new.constant("zero", np.float32(0)), new.constant("one", np.float32(1))]
    new.node("Clip", [line, *limits], [result])
    return new


def _is_worth_it(graph: BodyGraph, gate: onnx.NodeProto) -> bool:
    return graph.rank(gate.input[0]) == 4 and bool(_line(gate)[0] > 0)


def _own_gate(graph: BodyGraph, product: onnx.NodeProto) -> onnx.NodeProto | None:
    """For `x * HardSigmoid(x)` the HardSigmoid, if nothing else reads it."""
    if product.op_type != "Mul":
        return None
    for source, other in (product.input, product.input[::-1]):
        gate = maker_for(graph, other, "HardSigmoid")
        if gate is not None and gate.input[0] == source:
            return gate
    return None


def _line(node: onnx.NodeProto) -> tuple[np.float32, np.float32]:
    """Slope and offset of a HardSigmoid or a HardSwish."""
    if node.op_type == "HardSwish":
        return np.float32(1 / 6), np.float32(0.5)
    return np.float32(attribute(node, "alpha", 0.2)), np.float32(attribute(node, "beta", 0.5))


def _clipped(new: Replacement, gate: onnx.NodeProto, result: str) -> tuple[str, str]:
    """`clip(x + b / a, 0, 1 / a)`, and the constant a that it has to be multiplied by."""
    alpha, beta = _line(gate)
    shift, zero, top = (
        new.constant(name, np.float32(value))
        for name, value in (("shift", beta / alpha), ("zero", 0), ("top", 1 / alpha))
    )
    moved = new.node("Add", [gate.input[0], shift], [f"{result}/moved"])
    clipped = new.node("Clip", [moved, zero, top], [f"{result}/clipped"])
    return clipped, new.constant("slope", np.asarray(alpha))


def _own_convolution(graph: BodyGraph, tensor: str) -> onnx.NodeProto | None:
    """The convolution with stored weights and bias that makes `tensor` for one reader only."""
    conv = maker_for(graph, tensor, "Conv")
    stored = conv is not None and len(conv.input) == 3 and all(map(graph.is_constant, conv.input[1:]))
    return conv if stored else None
