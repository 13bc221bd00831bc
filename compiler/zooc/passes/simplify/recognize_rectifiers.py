"""Recognizes piecewise linear activations that exporters spell out, and makes one of several.

A clamp bounds a tensor on one side or on both: Relu, Clip, and Max or Min with a number. One of another is

    clamp(clamp(x, a, b), c, d)  =  clamp(x, clamp(a, c, d), clamp(b, c, d))

and `clamp(x, 0, infinity)` is a Relu. With one number a channel, the slope s of the negative side,

    PRelu(x)      =  Relu(x) + t      t one of  s * min(x, 0),  -s * Relu(-x),  s / 2 * (x - |x|)
    LeakyRelu(x)  =  PRelu(x)         where s is the same for all channels
                  =  Max(x, s * x)    where s <= 1
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.ir.graph import Constant, Graph, Node, Tensor, Variable, maker, only_maker, only_reader, values_of
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = [
    "leaky_relu_instead_of_prelu",
    "merge_clamps",
    "prelu_instead_of_maximum",
    "prelu_instead_of_sides",
]

Array = npt.NDArray[Any]

_LARGEST = 3e38
"""From here on a bound bounds nothing: it is float32's largest number, or infinite."""


def merge_clamps(graph: Graph, node: Node) -> Outcome:
    """A clamp of a clamp is one, and a clamp from 0 upwards is a Relu."""
    bounds = _bounds(node)
    if bounds is None:
        return False
    source, low, high = bounds
    before = maker(source) if only_reader(graph, source) is not None else None
    inner = None if before is None else _bounds(before)
    if inner is not None:
        source, first_low, first_high = inner
        low, high = (min(max(bound, low), high) for bound in (first_low, first_high))
    upwards = low == 0 and high == math.inf
    if inner is None and not (upwards and node.op != "Relu"):
        return False
    new, (result,) = Replacement(graph, node), node.outputs
    if upwards:
        new.node("Relu", [source], [result])
        return True
    limits = [
        Variable.empty() if math.isinf(bound) else new.constant(name, np.float32(bound))
        for name, bound in (("low", low), ("high", high))
    ]
    new.node("Clip", [source, *(limits[:1] if math.isinf(high) else limits)], [result])
    return True


def prelu_instead_of_sides(graph: Graph, node: Node) -> Outcome:
    """A Relu plus a slope times the negative side is a PRelu."""
    if node.op not in ("Add", "Sub") or len(node.inputs) != 2:
        return False
    for positive, negative in (node.inputs, node.inputs[::-1])[: 1 if node.op == "Sub" else 2]:
        relu = only_maker(graph, positive, "Relu")
        if relu is None:
            continue
        source = relu.inputs[0]
        slope = _slope_of_negatives(negative, source)
        if slope is None:
            continue
        slope = -slope if node.op == "Sub" else slope
        if not _fits(slope, source):
            return Refused("its slope is of more axes than the tensor, or widens it")
        new = Replacement(graph, node)
        new.node("PRelu", [source, new.constant("slope", slope.astype(np.float32))], [node.outputs[0]])
        return True
    return False


def prelu_instead_of_maximum(graph: Graph, node: Node) -> Outcome:
    """The larger one of a tensor and a part of it is a PRelu."""
    if node.op != "Max" or len(node.inputs) != 2:
        return False
    for source, other in (node.inputs, node.inputs[::-1]):
        slope, inner = _scaled(other, source)
        if inner is not source or (slope.ndim == 0 and slope == 1.0):
            continue
        if np.any(slope > 1) or not _fits(slope, source):
            return Refused("its slope exceeds 1, or widens the tensor")
        new = Replacement(graph, node)
        new.node("PRelu", [source, new.constant("slope", slope.astype(np.float32))], [node.outputs[0]])
        return True
    return False


def leaky_relu_instead_of_prelu(graph: Graph, node: Node) -> Outcome:
    """A PRelu whose slopes are all equal is a LeakyRelu."""
    slope = values_of(node.inputs[1]) if node.op == "PRelu" else None
    if slope is None:
        return False
    if slope.size == 0 or np.any(slope != slope.reshape(-1)[0]):
        return Refused("its slopes differ")
    if node.inputs[0].dtype != np.float32 or not _fits(slope, node.inputs[0]):
        return Refused("it is none of float32, or widens its tensor")
    alpha = float(slope.reshape(-1)[0])
    Replacement(graph, node).node("LeakyRelu", [node.inputs[0]], [node.outputs[0]], alpha=alpha)
    return True


def _bounds(node: Node) -> tuple[Tensor, float, float] | None:
    """For a clamp of a float32 tensor: that, and the bounds, infinite where it has none."""
    if not node.inputs or len(node.outputs) != 1 or node.outputs[0].dtype != np.float32:
        return None
    if node.op == "Relu":
        return node.inputs[0], 0.0, math.inf
    if node.op == "Clip":
        low, high = (
            _number(node.inputs[at], absent) if at < len(node.inputs) else absent
            for at, absent in ((1, -math.inf), (2, math.inf))
        )
        return None if low is None or high is None or low > high else (node.inputs[0], low, high)
    if node.op not in ("Max", "Min") or len(node.inputs) != 2:
        return None
    for bound, source in (node.inputs, node.inputs[::-1]):
        if not isinstance(bound, Constant) or isinstance(source, Constant):
            continue
        number = _number(bound, 0.0)
        if number is not None and _fits(bound.values, source):
            return (source, number, math.inf) if node.op == "Max" else (source, -math.inf, number)
    return None


def _number(tensor: Tensor, absent: float) -> float | None:
    """A stored number, `absent` where there is none, `None` where it is computed or several."""
    if not isinstance(tensor, Constant):
        return absent if tensor.is_empty() else None
    if tensor.values.size != 1:
        return None
    number = float(tensor.values.reshape(-1)[0])
    return number if abs(number) < _LARGEST else math.copysign(math.inf, number)


def _slope_of_negatives(tensor: Tensor, source: Tensor) -> Array | None:
    """s where a tensor is `s * min(source, 0)`, see the module."""
    factor, side = _scaled(tensor, source)
    node = maker(side)
    bounds = None if node is None else _bounds(node)
    if bounds is not None and bounds[0] is source and bounds[1:] == (-math.inf, 0.0):
        return factor
    if bounds is not None and bounds[1:] == (0.0, math.inf):
        inside, inner = _scaled(bounds[0], source)
        return -factor if inner is source and np.all(inside == -1) else None
    if node is not None and node.op == "Sub" and node.inputs[0] is source:
        magnitude = maker(node.inputs[1], "Abs")
        return 2 * factor if magnitude is not None and magnitude.inputs[0] is source else None
    return None


def _scaled(tensor: Tensor, until: Tensor) -> tuple[Array, Tensor]:
    """A constant and the tensor that it multiplies, `until` at the latest; 1 where nothing does."""
    factor: Array = np.ones((), np.float64)
    while tensor is not until and (node := maker(tensor)) is not None:
        if node.op == "Neg":
            tensor, factor = node.inputs[0], -factor
            continue
        stored = [values_of(i) for i in node.inputs] if node.op in ("Mul", "Div") else []
        if len(stored) != 2 or (stored[0] is None) == (stored[1] is None):
            break
        if node.op == "Div" and (stored[1] is None or not stored[1].all()):
            break
        constant = np.asarray(stored[0] if stored[1] is None else stored[1], np.float64)
        tensor = node.inputs[0 if stored[0] is None else 1]
        factor = factor * constant if node.op == "Mul" else factor / constant
    return factor, tensor


def _fits(constant: Array, source: Tensor) -> bool:
    """Whether a constant broadcasts to the shape of a tensor, and not the other way round."""
    shape = source.shape
    if shape is None:
        return constant.ndim == 0
    sizes = shape[len(shape) - constant.ndim :] if constant.ndim else []
    return constant.ndim <= len(shape) and all(
        mine in (1, theirs) for mine, theirs in zip(constant.shape, sizes, strict=True)
    )
