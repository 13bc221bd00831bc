"""Recognizes a LayerNormalization over the last axis that is spelt out, and its scale and shift.

y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * gamma + beta
"""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, maker, only_maker, readers, reduced_axes, values_of
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["layernorm_instead_of_steps", "layernorm_takes_scale_and_shift"]


def layernorm_instead_of_steps(graph: Graph, node: Node) -> Outcome:
    """A difference from the mean over the standard deviation is a LayerNormalization."""
    difference = maker(node.inputs[0], "Sub") if node.op == "Div" else None
    root = None if difference is None else only_maker(graph, node.inputs[1], "Sqrt")
    total = None if root is None else only_maker(graph, root.inputs[0], "Add")
    if difference is None or total is None:
        return False
    epsilon, variance = _number_and_rest(total)
    mean_square = None if variance is None else only_maker(graph, variance, "ReduceMean")
    mean = only_maker(graph, difference.inputs[1], "ReduceMean")
    if epsilon is None or mean_square is None or mean is None or mean.inputs[0] is not difference.inputs[0]:
        return False
    if not _is_square(mean_square.inputs[0], difference.outputs[0]):
        return False
    source = difference.inputs[0]
    shape = source.shape
    if shape is None or not isinstance(shape[-1], int):
        return Refused("the size of its last axis is not known")
    last = [len(shape) - 1]
    if any(reduced_axes(one) != last or not one.attrs.get("keepdims", 1) for one in (mean, mean_square)):
        return Refused("it normalizes over other axes than the last")
    new = Replacement(graph, node)
    scale = new.constant("scale", np.ones(shape[-1], np.float32))
    bias = new.constant("bias", np.zeros(shape[-1], np.float32))
    options = {"axis": -1, "epsilon": float(np.float32(epsilon))}
    new.node("LayerNormalization", [source, scale, bias], [node.outputs[0]], **options)
    return True


def layernorm_takes_scale_and_shift(graph: Graph, node: Node) -> Outcome:
    """A LayerNormalization takes in a product with, and a sum of, one number an element of the last axis."""
    if node.op not in ("Mul", "Add"):
        return False
    for tensor, other in (node.inputs, node.inputs[::-1]):
        norm = only_maker(graph, tensor, "LayerNormalization")
        values = values_of(other)
        if norm is None or values is None or len(norm.inputs) < 2:
            continue
        scale = values_of(norm.inputs[1])
        bias = values_of(norm.inputs[2]) if len(norm.inputs) > 2 else None
        if scale is None or values.dtype != np.float32 or values.shape[-1:] != scale.shape:
            continue
        if values.size != scale.size or norm.attrs.get("axis", -1) != -1:
            return Refused("the constant varies over other axes than the last")
        shift = np.zeros_like(scale) if bias is None else bias
        flat = values.reshape(-1)
        new_scale, new_shift = (scale * flat, shift * flat) if node.op == "Mul" else (scale, shift + flat)
        new = Replacement(graph, node, norm.name)
        constants = [new.constant("scale", new_scale), new.constant("bias", new_shift)]
        new.node("LayerNormalization", [norm.inputs[0], *constants], [node.outputs[0]], **norm.attrs)
        return True
    return False


def _is_square(tensor: Tensor, of: Tensor) -> bool:
    node = maker(tensor)
    if node is None or len(readers(tensor)) != 1:
        return False
    if node.op == "Mul":
        return all(factor is of for factor in node.inputs)
    exponent = values_of(node.inputs[1]) if node.op == "Pow" else None
    return exponent is not None and node.inputs[0] is of and float(exponent.reshape(-1)[0]) == 2.0


def _number_and_rest(node: Node) -> tuple[float | None, Tensor | None]:
    for constant, rest in (node.inputs, node.inputs[::-1]):
        if isinstance(constant, Constant) and constant.values.size == 1:
            return float(constant.values.reshape(-1)[0]), rest
    return None, None
