"""Piecewise linear gates in operators that engines have in integers, which for HardSigmoid none has."""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, only_maker
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["clip_instead_of_hard_sigmoid", "clip_instead_of_hard_swish"]

_NOT_WORTH_IT = Refused("it is no gate of a feature map: in float two operators are faster than four")


def clip_instead_of_hard_swish(graph: Graph, node: Node) -> Outcome:
    """`x * clip(a * x + b, 0, 1)` is `a * (x * clip(x + b / a, 0, 1 / a))`.

    A convolution behind it takes in the factor a. HardSwish has `a = 1 / 6` and `b = 1 / 2`.
    """
    gate = node if node.op == "HardSwish" else _own_gate(graph, node)
    if gate is None:
        return False
    if not _is_worth_it(gate):
        return _NOT_WORTH_IT
    result = node.outputs[0]
    new = Replacement(graph, node)
    clipped, slope = _clipped(new, gate, result.name)
    product = new.node("Mul", [gate.inputs[0], clipped], [f"{result.name}/unscaled"])
    new.node("Mul", [product, slope], [result])
    return True


def clip_instead_of_hard_sigmoid(graph: Graph, node: Node) -> Outcome:
    """`clip(a * x + b, 0, 1)` is `a * clip(x + b / a, 0, 1 / a)`.

    Behind a convolution of its own the gate costs nothing: a and b go into weights and bias.
    """
    if node.op != "HardSigmoid":
        return False
    if not _is_worth_it(node):
        return _NOT_WORTH_IT
    result = node.outputs[0]
    new = Replacement(graph, node)
    if (conv := _own_convolution(graph, node.inputs[0])) is None:
        clipped, slope = _clipped(new, node, result.name)
        new.node("Mul", [clipped, slope], [result])
        return True
    weight, bias = (constant.values for constant in conv.inputs[1:])
    alpha, beta = _line(node)
    stored = [new.constant("weight", weight * alpha), new.constant("bias", bias * alpha + beta)]
    line = new.copy(conv, [conv.inputs[0], *stored], f"{result.name}/line")
    limits = [new.constant("zero", np.float32(0)), new.constant("one", np.float32(1))]
    new.node("Clip", [line, *limits], [result])
    return True


def _is_worth_it(gate: Node) -> bool:
    return len(gate.inputs[0].shape or ()) == 4 and bool(_line(gate)[0] > 0)


def _own_gate(graph: Graph, product: Node) -> Node | None:
    """For `x * HardSigmoid(x)` the HardSigmoid, if nothing else reads it."""
    if product.op != "Mul":
        return None
    for source, other in (product.inputs, product.inputs[::-1]):
        gate = only_maker(graph, other, "HardSigmoid")
        if gate is not None and gate.inputs[0] is source:
            return gate
    return None


def _line(node: Node) -> tuple[np.float32, np.float32]:
    """Slope and offset of a HardSigmoid or a HardSwish."""
    if node.op == "HardSwish":
        return np.float32(1 / 6), np.float32(0.5)
    return np.float32(node.attrs.get("alpha", 0.2)), np.float32(node.attrs.get("beta", 0.5))


def _clipped(new: Replacement, gate: Node, result: str) -> tuple[Tensor, Tensor]:
    """`clip(x + b / a, 0, 1 / a)`, and the constant a that it has to be multiplied by."""
    alpha, beta = _line(gate)
    shift, zero, top = (
        new.constant(name, np.float32(value))
        for name, value in (("shift", beta / alpha), ("zero", 0), ("top", 1 / alpha))
    )
    moved = new.node("Add", [gate.inputs[0], shift], [f"{result}/moved"])
    clipped = new.node("Clip", [moved, zero, top], [f"{result}/clipped"])
    return clipped, new.constant("slope", np.asarray(alpha))


def _own_convolution(graph: Graph, tensor: Tensor) -> Node | None:
    """The convolution with stored weights and bias that makes `tensor` for one reader only."""
    conv = only_maker(graph, tensor, "Conv")
    stored = (
        conv is not None and len(conv.inputs) == 3 and all(isinstance(i, Constant) for i in conv.inputs[1:])
    )
    return conv if stored else None
