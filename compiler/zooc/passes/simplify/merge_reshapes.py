"""Makes one node, or none, of several that only change a tensor's shape.

Reshape, Flatten, Squeeze, Unsqueeze, and a Transpose that moves axes of size 1 only, leave the elements in
their order. So several of them are one, and none where the shape in the end is that of the beginning; a
`[N, C, 1, 1]` that becomes a row an image is flattened, whether exporters write Reshape, Squeeze or both.
"""

from __future__ import annotations

import math

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, bypass, is_output, maker
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["merge_reshapes"]

Shape = list[int | str | None]
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})


def merge_reshapes(graph: Graph, node: Node) -> Outcome:
    """What only changes the shape of what only changes the shape is one such node; see the module."""
    if not _keeps_order(node):
        return False
    source, (result,) = node.inputs[0], node.outputs
    several = False
    while (before := maker(source)) is not None and _keeps_order(before):
        source, several = before.inputs[0], True
    if isinstance(source, Constant) or source.shape is None or result.shape is None:
        return Refused("its shape is not known") if several else False
    if _same(source.shape, result.shape):
        if is_output(graph, result):
            return Refused("its result is the graph's")
        bypass(result, source)
        return True
    if _is_row(source.shape, result.shape):
        if not several and node.op == "Flatten":
            return False
        Replacement(graph, node).node("Flatten", [source], [result], axis=1)
        return True
    if not several:
        return False
    target = _target(source.shape, result.shape)
    if target is None:
        return Refused("more than one size of its result is not known, or one is 0")
    new = Replacement(graph, node)
    new.node("Reshape", [source, new.constant("shape", np.array(target, np.int64))], [result])
    return True


def _keeps_order(node: Node) -> bool:
    if node.op == "Transpose":
        return _moves_ones_only(node.inputs[0], node.attrs.get("perm"))
    return node.op in _RESHAPES and (len(node.inputs) < 2 or isinstance(node.inputs[1], Constant))


def _moves_ones_only(tensor: Tensor, order: list[int] | None) -> bool:
    if tensor.shape is None or order is None:
        return False
    larger = [axis for axis in order if tensor.shape[axis] != 1]
    return larger == sorted(larger)


def _same(one: Shape, other: Shape) -> bool:
    """Whether two shapes of equally many elements are equal: one size that is not known follows."""
    if len(one) != len(other):
        return False
    differ = [pair for pair in zip(one, other, strict=True) if not _equal(*pair)]
    known = all(size != 0 for size in (*one, *other))
    return not differ or (len(differ) == 1 and known and not all(isinstance(d, int) for d in differ[0]))


def _equal(one: int | str | None, other: int | str | None) -> bool:
    return one is not None and one == other


def _is_row(source: Shape, result: Shape) -> bool:
    """Whether the result is one row an image, its length known."""
    sizes = [size for size in source[1:] if isinstance(size, int)]
    length = math.prod(sizes)
    return len(result) == 2 and len(sizes) == len(source) - 1 and length > 0 and result[1] == length


def _target(source: Shape, result: Shape) -> list[int] | None:
    """The result's shape for a Reshape: 0 where an axis keeps its size, -1 for one that is not known."""
    if any(size == 0 for size in result):
        return None
    kept = [i < len(source) and _equal(source[i], size) for i, size in enumerate(result)]
    target = [
        size if isinstance(size, int) else 0 if keeps else -1
        for size, keeps in zip(result, kept, strict=True)
    ]
    return target if target.count(-1) < 2 else None
