"""What each operator can do in integers, and why not when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import onnx

from zooc.ir.body_graph import BodyGraph, attribute

__all__ = ["Role", "role_of"]

Role = Literal["compute", "pointwise", "pool", "concat", "pass", "integer", "float"]
"""How a node takes part.

compute: has int8 weights, worth quantizing by itself. pointwise, pool, concat: integer when neighbours are.
pass: its outputs are values of its first input, so both sides share one scale. integer: computes on pixels
as they are, nothing to do. float: none of these.
"""

_POINTWISE = {"Add", "Mul", "Sigmoid", "LeakyRelu"}
_POOL = {"AveragePool", "GlobalAveragePool"}
_PASS = {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split", "Identity"}

_WHY_FLOAT = {
    "LayerNormalization": "normalizes over computed statistics, which engines do in float only",
    "GroupNormalization": "normalizes over computed statistics, which engines do in float only",
    "InstanceNormalization": "normalizes over computed statistics, which engines do in float only",
    "Softmax": "exponentials over a wide range, poor in eight bits",
    "BatchNormalization": "neither follows a convolution nor normalizes a feature map, so it was not folded",
}


def role_of(graph: BodyGraph, index: int) -> tuple[Role, str | None]:
    """A node's role and, if that is `float`, the reason."""
    node = graph.nodes[index]
    op = node.op_type
    if node.domain not in ("", "ai.onnx"):
        return "float", f"{node.domain}.{op} is no standard operator"
    if graph.element_type(node.output[0]) not in (0, onnx.TensorProto.FLOAT):
        return "integer", None
    if (special := _SPECIAL.get(op)) is not None:
        return special(graph, index)
    if op in _POOL:
        return "pool", None
    return ("pass", None) if op in _PASS else ("float", _WHY_FLOAT.get(op, "engines have no integer form"))


def _convolution(graph: BodyGraph, index: int) -> tuple[Role, str | None]:
    node = graph.nodes[index]
    weight = graph.constant(node.input[1])
    if weight is None:
        return "float", "its weights are computed"
    if weight.dtype != np.float32:
        return "float", f"its weights are {weight.dtype}"
    if len(node.input) > 2 and node.input[2] and not graph.is_constant(node.input[2]):
        return "float", "its bias is computed"
    return "compute", None


def _gemm(graph: BodyGraph, index: int) -> tuple[Role, str | None]:
    node = graph.nodes[index]
    weight = graph.constant(node.input[1])
    if weight is None or weight.dtype != np.float32:
        return "float", "its weights are computed" if weight is None else f"its weights are {weight.dtype}"
    if attribute(node, "transA", 0):
        return "float", "its input is transposed"
    if len(node.input) > 2 and node.input[2]:
        bias = graph.constant(node.input[2])
        columns = weight.shape[0] if attribute(node, "transB", 0) else weight.shape[1]
        if bias is None or bias.size not in (1, columns):
            return "float", "its third operand is no bias"
    return "compute", None


def _matmul(graph: BodyGraph, index: int) -> tuple[Role, str | None]:
    weight = graph.constant(graph.nodes[index].input[1])
    if weight is None:
        return "float", "multiplies two activations, as attention does, which is left exact"
    if weight.ndim != 2 or weight.dtype != np.float32:
        return "float", "its weights are no float32 matrix"
    return "compute", None


def _pointwise(graph: BodyGraph, index: int) -> tuple[Role, str | None]:
    node = graph.nodes[index]
    constants = [graph.constant(name) for name in node.input if graph.is_constant(name)]
    if any(c is not None and (c.size != 1 or c.dtype != np.float32) for c in constants):
        return "float", "one operand is a constant tensor, which one scale would represent poorly"
    return "pointwise", None


def _concat(graph: BodyGraph, index: int) -> tuple[Role, str | None]:
    joins_constant = any(graph.is_constant(name) for name in graph.nodes[index].input)
    return ("float", "joins a constant") if joins_constant else ("concat", None)


def _max_pool(graph: BodyGraph, index: int) -> tuple[Role, str | None]:
    return ("float", "also returns indices") if len(graph.nodes[index].output) > 1 else ("pass", None)


_SPECIAL: dict[str, Callable[[BodyGraph, int], tuple[Role, str | None]]] = {
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Concat": _concat,
    "MaxPool": _max_pool,
    **dict.fromkeys(_POINTWISE, _pointwise),
}
