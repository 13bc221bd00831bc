"""What each operator can do in integers, and why not when it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from zooc.ir.graph import DEFAULT_DOMAIN, FLOAT, Constant, Node, Tensor, element_type

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


def role_of(node: Node) -> tuple[Role, str | None]:
    """Return a node's role and, if that is `float`, the reason."""
    if node.domain not in DEFAULT_DOMAIN:
        return "float", f"{node.domain}.{node.op} is no standard operator"
    if element_type(node.outputs[0]) not in (0, FLOAT):
        return "integer", None
    if (special := _SPECIAL.get(node.op)) is not None:
        return special(node)
    if node.op in _POOL:
        return "pool", None
    if node.op in _PASS:
        return "pass", None
    return "float", _WHY_FLOAT.get(node.op, "engines have no integer form")


def _convolution(node: Node) -> tuple[Role, str | None]:
    if (reason := _why_not_stored(node.inputs[1])) is not None:
        return "float", reason
    if (bias := _bias(node)) is not None and not isinstance(bias, Constant):
        return "float", "its bias is computed"
    return "compute", None


def _gemm(node: Node) -> tuple[Role, str | None]:
    weight = node.inputs[1]
    if (reason := _why_not_stored(weight)) is not None:
        return "float", reason
    if node.attrs.get("transA", 0):
        return "float", "its input is transposed"
    columns = weight.shape[0 if node.attrs.get("transB", 0) else 1]
    bias = _bias(node)
    if bias is not None and not (isinstance(bias, Constant) and math.prod(bias.shape) in (1, columns)):
        return "float", "its third operand is no bias"
    return "compute", None


def _matmul(node: Node) -> tuple[Role, str | None]:
    weight = node.inputs[1]
    if not isinstance(weight, Constant):
        return "float", "multiplies two activations, as attention does, which is left exact"
    if len(weight.shape) != 2 or weight.dtype != np.float32:
        return "float", "its weights are no float32 matrix"
    return "compute", None


def _pointwise(node: Node) -> tuple[Role, str | None]:
    constants = [tensor for tensor in node.inputs if isinstance(tensor, Constant)]
    if any(math.prod(c.shape) != 1 or c.dtype != np.float32 for c in constants):
        return "float", "one operand is a constant tensor, which one scale would represent poorly"
    return "pointwise", None


def _concat(node: Node) -> tuple[Role, str | None]:
    joins_constant = any(isinstance(tensor, Constant) for tensor in node.inputs)
    return ("float", "joins a constant") if joins_constant else ("concat", None)


def _max_pool(node: Node) -> tuple[Role, str | None]:
    return ("float", "also returns indices") if len(node.outputs) > 1 else ("pass", None)


def _why_not_stored(weight: Tensor) -> str | None:
    if not isinstance(weight, Constant):
        return "its weights are computed"
    return None if weight.dtype == np.float32 else f"its weights are {weight.dtype}"


def _bias(node: Node) -> Tensor | None:
    return node.inputs[2] if len(node.inputs) > 2 and not node.inputs[2].is_empty() else None


_SPECIAL: dict[str, Callable[[Node], tuple[Role, str | None]]] = {
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Concat": _concat,
    "MaxPool": _max_pool,
    **dict.fromkeys(_POINTWISE, _pointwise),
}
