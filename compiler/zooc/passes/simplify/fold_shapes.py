"""Replaces the part of a shape that is known by a constant."""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Graph, Node
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["fold_shapes"]


def fold_shapes(graph: Graph, node: Node) -> Outcome:
    """A Shape whose wanted dimensions are numbers is a constant.

    To run before graphsurgeon's own folding, which forgets a Shape's `start` and `end`.
    """
    if node.op != "Shape":
        return False
    if node.inputs[0].shape is None:
        return Refused("its input's rank is not known")
    wanted = node.inputs[0].shape[node.attrs.get("start", 0) : node.attrs.get("end")]
    if not all(isinstance(size, int) for size in wanted):
        return Refused("a size is free")
    (result,) = node.outputs
    node.outputs.clear()
    result.to_constant(np.asarray(wanted, np.int64))
    return True
