"""Gives a Reshape whose target is computed from shapes a constant target, one dimension at most unknown.

Exporters spell `x.view(x.size(0), -1)` as Shape, Gather, Unsqueeze, Concat and Reshape, so that the batch may
vary. Shape inference knows every dimension of the result but the batch; a Reshape to `[-1, known...]` gives
the same for every batch size, because the number of elements fixes the one that is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from zooc.ir.graph import Constant, Graph, Node
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["fix_reshapes"]

Shape = Sequence[int | str | None]


def fix_reshapes(graph: Graph, node: Node) -> Outcome:
    """A Reshape to a computed target is one to a constant, where inference knows the result's shape."""
    if node.op != "Reshape" or isinstance(node.inputs[1], Constant):
        return False
    target = _target(node.inputs[0].shape, node.outputs[0].shape)
    if target is None:
        return Refused("more than one size of its result is not known, or one is 0")
    name = f"{node.name}:shape"
    node.inputs = [node.inputs[0], Constant(name, np.array(target, dtype=np.int64))]
    return True


def _target(source: Shape | None, result: Shape | None) -> list[int] | None:
    """The result's shape with -1 for its one unknown dimension, else `None`.

    Of two unknown dimensions one may be solved for: the source's only unknown dimension, found again in the
    result under its name, cancels on both sides.
    """
    if result is None or any(dim == 0 for dim in result):
        return None
    unknown = [axis for axis, dim in enumerate(result) if not isinstance(dim, int)]
    solved: dict[int, int] = {}
    if len(unknown) == 2 and source is not None:
        symbols = [dim for dim in source if not isinstance(dim, int)]
        batch = [axis for axis in unknown if symbols == [result[axis]] and result[axis] is not None]
        if len(batch) == 1:
            elements = math.prod(dim for dim in source if isinstance(dim, int))
            known = math.prod(dim for dim in result if isinstance(dim, int))
            (other,) = (axis for axis in unknown if axis not in batch)
            if elements and elements % known == 0:
                solved[other] = elements // known
    if len(unknown) - len(solved) > 1:
        return None
    dims = [solved.get(axis, dim) for axis, dim in enumerate(result)]
    return [dim if isinstance(dim, int) else -1 for dim in dims]
