"""Removes nodes that pass their input on unchanged, and nodes that compute what another one already does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, bypass, element_type, is_output, maker
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["merge_casts", "merge_duplicates", "remove_identities"]

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def remove_identities(graph: Graph, node: Node) -> Outcome:
    """Identity, Dropout of inference, Cast, Transpose and the like without effect are their input.

    So are Pad by zero, Add or Sub of zeros and Mul or Div by ones that do not broadcast.
    """
    source = _passed_on(node) if node.inputs else None
    if source is None:
        return False
    result = node.outputs[0]
    if not is_output(graph, result):
        bypass(result, source)
    else:
        producer = maker(source)
        if producer is None or is_output(graph, source):
            return Refused("both its ends are the graph's own, and keep their names")
        node.outputs.clear()
        for reader in [reader for reader in source.outputs if reader is not node]:
            reader.inputs = [result if i is source else i for i in reader.inputs]
        producer.outputs = [result if o is source else o for o in producer.outputs]
    node.inputs.clear()
    node.outputs.clear()
    return True


def merge_casts(graph: Graph, node: Node) -> Outcome:
    """A Cast of a Cast to a type that holds every value of the first is a Cast of what that had."""
    before = maker(node.inputs[0], "Cast") if node.op == "Cast" else None
    if before is None:
        return False
    first, second = before.inputs[0].dtype, before.outputs[0].dtype
    # In ONNX's numbers of types they are integers: bfloat16 and the like, of which numpy knows nothing.
    if not isinstance(first, np.dtype) or not isinstance(second, np.dtype):
        return Refused("one of the types is none of numpy's, or not known")
    if not np.can_cast(first, second, "safe"):
        return Refused("the first Cast rounds")
    node.inputs[0] = before.inputs[0]
    return True


def merge_duplicates(graph: Graph, node: Node) -> Outcome:
    """A node serves all others of equal operator, attributes and inputs.

    Constants are equal when their bytes are.
    """
    computed = next((tensor for tensor in node.inputs if not isinstance(tensor, Constant)), None)
    twins = [] if computed is None else [t for t in computed.outputs if t is not node and t.op == node.op]
    if not twins or node.op in _RANDOM or any(is_output(graph, output) for output in node.outputs):
        return False
    identity, modified = _identity(node), False
    for twin in twins:
        if any(is_output(graph, o) for o in twin.outputs) or identity is None or _identity(twin) != identity:
            continue
        for mine, theirs in zip(list(node.outputs), list(twin.outputs), strict=True):
            bypass(theirs, mine)
        twin.inputs.clear()
        twin.outputs.clear()
        modified = True
    return modified


def _passed_on(node: Node) -> Tensor | None:
    """The input that the first output equals, if there is one."""
    if (neutral := _NEUTRAL.get(node.op)) is not None:
        return _beside_neutral(node, neutral)
    test = _TESTS.get(node.op)
    return node.inputs[0] if test is not None and test(node) else None


def _idle_dropout(node: Node) -> bool:
    training = _constant(node, 2)
    off = len(node.inputs) < 3 or (training is not None and not training.any())
    return off and not any(o.outputs for o in node.outputs[1:])


def _idle_cast(node: Node) -> bool:
    return bool(element_type(node.inputs[0]) == node.attrs.get("to"))


def _idle_transpose(node: Node) -> bool:
    permutation = node.attrs.get("perm")
    return permutation is not None and list(permutation) == sorted(permutation)


def _idle_pad(node: Node) -> bool:
    pads = _constant(node, 1)
    return pads is not None and not pads.any()


def _beside_neutral(node: Node, neutral: float) -> Tensor | None:
    """The operand beside a constant that is the neutral element throughout, and does not broadcast it."""
    commutes = node.op in ("Add", "Mul")
    for source, other in (node.inputs, node.inputs[::-1])[: 2 if commutes else 1]:
        if not isinstance(other, Constant) or isinstance(source, Constant):
            continue
        values, shape = other.values, source.shape
        if values.ndim and (shape is None or len(shape) < values.ndim):
            continue
        sizes = shape[len(shape) - values.ndim :] if values.ndim else ()
        fits = all(mine in (1, theirs) for mine, theirs in zip(values.shape, sizes, strict=True))
        if fits and bool(np.all(values == neutral)):
            return source
    return None


_NEUTRAL: dict[str, float] = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}
_TESTS: dict[str, Callable[[Node], bool]] = {
    "Identity": lambda node: True,
    "Dropout": _idle_dropout,
    "Cast": _idle_cast,
    "Transpose": _idle_transpose,
    "Pad": _idle_pad,
}


def _constant(node: Node, index: int) -> Any:
    """The constant input's values, `None` where it is absent or computed."""
    tensor = node.inputs[index] if index < len(node.inputs) else None
    return tensor.values if isinstance(tensor, Constant) else None


def _identity(node: Node) -> Any:
    """What makes two nodes compute the same, hashable; `None` where that cannot be told."""
    attributes = []
    for name, value in sorted(node.attrs.items()):
        if isinstance(value, Graph):
            return None
        attributes.append((name, _content(value) if isinstance(value, Constant) else repr(value)))
    inputs = tuple(_content(i) if isinstance(i, Constant) else id(i) for i in node.inputs)
    return node.op, node.domain, tuple(attributes), inputs, len(node.outputs)


def _content(constant: Constant) -> tuple[str, tuple[int, ...], str]:
    values = constant.values
    return str(values.dtype), values.shape, hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
