"""Replaces the part of a shape that is known by a constant."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

__all__ = ["fold_shapes"]


def fold_shapes(graph: gs.Graph) -> bool:
    """Gives every Shape whose wanted dimensions are numbers as a constant, in place; tells whether any was.

    To run before graphsurgeon's own folding, which forgets a Shape's `start` and `end`.
    """
    modified = False
    for node in graph.nodes:
        if node.op != "Shape" or node.inputs[0].shape is None:
            continue
        wanted = node.inputs[0].shape[node.attrs.get("start", 0) : node.attrs.get("end")]
        if all(isinstance(size, int) for size in wanted):
            (result,) = node.outputs
            node.outputs.clear()
            result.to_constant(np.asarray(wanted, np.int64))
            modified = True
    return modified
