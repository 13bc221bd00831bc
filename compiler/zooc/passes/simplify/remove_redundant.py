"""Removes nodes that pass their input on unchanged, and nodes that compute what another one already does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, bypass, element_type, is_output, maker
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["merge_duplicates", "remove_identities"]

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def remove_identities(graph: Graph, node: Node) -> Outcome:
    """Identity, Dropout of inference, Cast, Transpose and the like without effect are their input.

    So are Pad by zero, Add of zeros and Mul by ones that do not broadcast.
    """
    if not node.inputs or not _passes_on(node):
        return False
    source, result = node.inputs[0], node.outputs[0]
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


def _passes_on(node: Node) -> bool:
    """Whether the first output equals the first input."""
    test = _TESTS.get(node.op)
    return test is not None and test(node)


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


def _idle_with(neutral: float) -> Callable[[Node], bool]:
    """For Add and Mul: the second input is the neutral element, without dimensions that could broadcast."""

    def test(node: Node) -> bool:
        constant = _constant(node, 1)
        return constant is not None and constant.ndim == 0 and bool(constant == neutral)

    return test


_TESTS: dict[str, Callable[[Node], bool]] = {
    "Identity": lambda node: True,
    "Dropout": _idle_dropout,
    "Cast": _idle_cast,
    "Transpose": _idle_transpose,
    "Pad": _idle_pad,
    "Add": _idle_with(0),
    "Mul": _idle_with(1),
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
