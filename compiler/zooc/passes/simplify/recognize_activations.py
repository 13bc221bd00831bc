"""Recognizes activations that exporters spell out in simpler operators.

    HardSigmoid(x)        =  Clip(x + s, 0, h) * k        with alpha = k, beta = s * k, where h * k = 1
    HardSwish(x)          =  x * Clip(x + 3, 0, 6) / 6    in any order
    Gelu(x)               =  x * (1 + Erf(x / sqrt(2))) / 2, or with Tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))
    Mish(x)               =  x * Tanh(Softplus(x))

The constants may be rounded to float32; the results differ in the last bits only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, only_maker, values_of
from zooc.ir.rewriter import Outcome, Replacement

__all__ = [
    "gelu_instead_of_erf",
    "hard_gate_instead_of_clip",
    "mish_instead_of_softplus",
]

_CLOSE = 1e-5


@dataclass(frozen=True, slots=True)
class _Product:
    """`constant` times the product of `factors`."""

    constant: float
    factors: tuple[Tensor, ...]


def hard_gate_instead_of_clip(graph: Graph, node: Node) -> Outcome:
    """A scaled Clip of a shifted tensor is a HardSigmoid, and times the tensor itself a HardSwish."""
    product = _product(graph, node)
    if product is None:
        return False
    for index, factor in enumerate(product.factors):
        gate = _gate(graph, factor, product.constant)
        if gate is None:
            continue
        source, alpha, beta = gate
        if len(product.factors) == 1 and factor is not node.outputs[0]:
            options = {"alpha": float(np.float32(alpha)), "beta": float(np.float32(beta))}
            Replacement(graph, node).node("HardSigmoid", [source], [node.outputs[0]], **options)
            return True
        usual = abs(alpha - 1 / 6) < _CLOSE and abs(beta - 0.5) < _CLOSE
        if usual and len(product.factors) == 2 and product.factors[1 - index] is source:
            Replacement(graph, node).node("HardSwish", [source], [node.outputs[0]])
            return True
    return False


def gelu_instead_of_erf(graph: Graph, node: Node) -> Outcome:
    """A tensor times half of one plus its error function, or plus a hyperbolic tangent, is its Gelu."""
    product = _product(graph, node)
    if (
        product is None
        or len(product.factors) != 2
        or not math.isclose(product.constant, 0.5, rel_tol=_CLOSE)
    ):
        return False
    for source, factor in (product.factors, product.factors[::-1]):
        plus_one = only_maker(graph, factor, "Add")
        found = None if plus_one is None else _number_and_rest(plus_one)
        if found is None or found[0] != 1.0:
            continue
        if (erf := only_maker(graph, found[1], "Erf")) is not None:
            inside = _product_of(graph, erf.inputs[0])
            exact = math.isclose(inside.constant, math.sqrt(0.5), rel_tol=_CLOSE)
            if exact and len(inside.factors) == 1 and inside.factors[0] is source:
                Replacement(graph, node).node("Gelu", [source], [node.outputs[0]])
                return True
        if (tanh := only_maker(graph, found[1], "Tanh")) is not None and _is_cubic(graph, tanh, source):
            Replacement(graph, node).node("Gelu", [source], [node.outputs[0]], approximate="tanh")
            return True
    return False


def mish_instead_of_softplus(graph: Graph, node: Node) -> Outcome:
    """A tensor times the hyperbolic tangent of its Softplus is its Mish."""
    if node.op != "Mul":
        return False
    for source, factor in (node.inputs, node.inputs[::-1]):
        tanh = only_maker(graph, factor, "Tanh")
        softplus = None if tanh is None else only_maker(graph, tanh.inputs[0], "Softplus")
        if softplus is not None and softplus.inputs[0] is source:
            Replacement(graph, node).node("Mish", [source], [node.outputs[0]])
            return True
    return False


def _is_cubic(graph: Graph, tanh: Node, source: Tensor) -> bool:
    """Whether the tangent is of `sqrt(2 / pi) * (x + 0.044715 * x^3)`."""
    inside = _product_of(graph, tanh.inputs[0])
    if len(inside.factors) != 1 or not math.isclose(inside.constant, math.sqrt(2 / math.pi), rel_tol=_CLOSE):
        return False
    total = only_maker(graph, inside.factors[0], "Add")
    if total is None or not any(tensor is source for tensor in total.inputs):
        return False
    (cubic,) = [tensor for tensor in total.inputs if tensor is not source] or [source]
    term = _product_of(graph, cubic)
    if not math.isclose(term.constant, 0.044715, rel_tol=_CLOSE):
        return False
    if len(term.factors) == 3:
        return all(factor is source for factor in term.factors)
    power = only_maker(graph, term.factors[0], "Pow") if len(term.factors) == 1 else None
    exponent = None if power is None else values_of(power.inputs[1])
    return power is not None and power.inputs[0] is source and exponent is not None and _only(exponent) == 3.0


def _gate(graph: Graph, tensor: Tensor, factor: float) -> tuple[Tensor, float, float] | None:
    """For `factor` times the tensor equal to `Clip(alpha * x + beta, 0, 1)`: x, alpha and beta."""
    if factor == 1.0 and (node := only_maker(graph, tensor, "HardSigmoid")) is not None:
        return node.inputs[0], node.attrs.get("alpha", 0.2), node.attrs.get("beta", 0.5)
    clip = only_maker(graph, tensor, "Clip")
    if clip is None or len(clip.inputs) != 3:
        return None
    low, high = (values_of(limit) for limit in clip.inputs[1:])
    addition = only_maker(graph, clip.inputs[0], "Add")
    shifted = None if addition is None else _number_and_rest(addition)
    if low is None or high is None or shifted is None or _only(low) != 0.0:
        return None
    top = _only(high)
    if top is None or not math.isclose(top * factor, 1.0, rel_tol=_CLOSE):
        return None
    return shifted[1], factor, shifted[0] * factor


def _product(graph: Graph, node: Node) -> _Product | None:
    """The product that ends in this node, if it is one."""
    if node.op not in ("Mul", "Div") or len(node.outputs) != 1 or node.outputs[0].dtype != np.float32:
        return None
    return _expand(graph, node)


def _product_of(graph: Graph, tensor: Tensor) -> _Product:
    for op in ("Mul", "Div"):
        if (node := only_maker(graph, tensor, op)) is not None:
            return _expand(graph, node)
    return _Product(1.0, (tensor,))


def _expand(graph: Graph, node: Node) -> _Product:
    if node.op == "Div":
        divisor = values_of(node.inputs[1])
        number = None if divisor is None else _only(divisor)
        if number is None or number == 0.0:
            return _Product(1.0, (node.outputs[0],))
        inner = _product_of(graph, node.inputs[0])
        return _Product(inner.constant / number, inner.factors)
    constant, factors = 1.0, list[Tensor]()
    for tensor in node.inputs:
        values = values_of(tensor)
        number = None if values is None else _only(values)
        if number is not None:
            constant *= number
            continue
        inner = _product_of(graph, tensor)
        constant *= inner.constant
        factors += inner.factors
    return _Product(constant, tuple(factors))


def _number_and_rest(node: Node) -> tuple[float, Tensor] | None:
    """A binary node's constant number and its other operand."""
    for constant, rest in (node.inputs, node.inputs[::-1]):
        number = _only(constant.values) if isinstance(constant, Constant) else None
        if number is not None and not isinstance(rest, Constant):
            return number, rest
    return None


def _only(values: object) -> float | None:
    array = np.asarray(values)
    return float(array.reshape(-1)[0]) if array.size == 1 else None
