"""Removes nodes that pass their input on unchanged, and nodes that compute what another one already does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

__all__ = ["merge_duplicates", "remove_identities"]

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def remove_identities(graph: gs.Graph) -> bool:
    """Bypasses identity nodes, in place; tells whether anything changed.

    These are Identity, Dropout of inference, Cast and Transpose without effect, Pad by zero, Add of zeros
    and Mul by ones that do not broadcast. A node stays where both its ends are the graph's own: that input
    and that output keep their names.
    """
    modified = False
    ends = {id(tensor) for tensor in (*graph.inputs, *graph.outputs)}
    for node in graph.nodes:
        if not node.inputs or not node.outputs or not _passes_on(node):
            continue
        source, result = node.inputs[0], node.outputs[0]
        if id(result) not in ends:
            for consumer in list(result.outputs):
                consumer.inputs = [source if i is result else i for i in consumer.inputs]
        elif id(source) not in ends and len(source.inputs) == 1 and not isinstance(source, gs.Constant):
            producer = source.inputs[0]
            for consumer in [c for c in source.outputs if c is not node]:
                consumer.inputs = [result if i is source else i for i in consumer.inputs]
            node.outputs.clear()
            producer.outputs = [result if o is source else o for o in producer.outputs]
        else:
            continue
        node.inputs.clear()
        node.outputs.clear()
        modified = True
    return modified


def merge_duplicates(graph: gs.Graph) -> bool:
    """Lets one node serve all of equal operator, attributes and inputs; tells whether anything changed.

    Constants are equal when their bytes are. Nodes that draw random numbers, hold subgraphs or give an output
    of the graph are left alone.
    """
    modified = False
    first: dict[Any, gs.Node] = {}
    ends = {id(tensor) for tensor in graph.outputs}
    for node in graph.nodes:
        if node.op in _RANDOM or any(id(o) in ends for o in node.outputs):
            continue
        identity = _identity(node)
        if identity is None:
            continue
        original = first.setdefault(identity, node)
        if original is node:
            continue
        for mine, theirs in zip(node.outputs, original.outputs, strict=True):
            for consumer in list(mine.outputs):
                consumer.inputs = [theirs if i is mine else i for i in consumer.inputs]
        node.inputs.clear()
        node.outputs.clear()
        modified = True
    return modified


def _passes_on(node: gs.Node) -> bool:
    """Whether the first output equals the first input."""
    test = _TESTS.get(node.op)
    return test is not None and test(node)


def _idle_dropout(node: gs.Node) -> bool:
    training = _constant(node, 2)
    off = len(node.inputs) < 3 or (training is not None and not training.any())
    return off and not any(o.outputs for o in node.outputs[1:])


def _idle_cast(node: gs.Node) -> bool:
    source = node.inputs[0].dtype
    return source is not None and _onnx_type(source) == node.attrs.get("to")


def _idle_transpose(node: gs.Node) -> bool:
    permutation = node.attrs.get("perm")
    return permutation is not None and list(permutation) == sorted(permutation)


def _idle_pad(node: gs.Node) -> bool:
    pads = _constant(node, 1)
    return pads is not None and not pads.any()


def _idle_with(neutral: float) -> Callable[[gs.Node], bool]:
    """For Add and Mul: the second input is the neutral element, without dimensions that could broadcast."""

    def test(node: gs.Node) -> bool:
        constant = _constant(node, 1)
        return constant is not None and constant.ndim == 0 and bool(constant == neutral)

    return test


_TESTS: dict[str, Callable[[gs.Node], bool]] = {
    "Identity": lambda node: True,
    "Dropout": _idle_dropout,
    "Cast": _idle_cast,
    "Transpose": _idle_transpose,
    "Pad": _idle_pad,
    "Add": _idle_with(0),
    "Mul": _idle_with(1),
}


def _constant(node: gs.Node, index: int) -> Any:
    """The constant input's values, `None` where it is absent or computed."""
    tensor = node.inputs[index] if index < len(node.inputs) else None
    return tensor.values if isinstance(tensor, gs.Constant) else None


def _onnx_type(dtype: Any) -> int:
    """graphsurgeon gives a numpy dtype, or ONNX's own number where numpy has none."""
    return dtype if isinstance(dtype, int) else int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _identity(node: gs.Node) -> Any:
    """What makes two nodes compute the same, hashable; `None` where that cannot be told."""
    attributes = []
    for name, value in sorted(node.attrs.items()):
        if isinstance(value, gs.Graph):
            return None
        attributes.append((name, _content(value) if isinstance(value, gs.Constant) else repr(value)))
    inputs = tuple(_content(i) if isinstance(i, gs.Constant) else id(i) for i in node.inputs)
    return node.op, node.domain, tuple(attributes), inputs, len(node.outputs)


def _content(constant: gs.Constant) -> tuple[str, tuple[int, ...], str]:
    values = constant.values
    return str(values.dtype), values.shape, hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
