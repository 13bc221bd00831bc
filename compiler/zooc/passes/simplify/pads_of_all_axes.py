"""Writes the pads of every axis where a Pad names its axes.

    Pad(x, pads[a], axes)  =  Pad(x, pads[rank])      with 0 for the axes that are not named

ONNX Runtime moves a Transpose past a Pad as if its pads were always those of all axes, whatever axes it names
(seen in 1.20 to 1.32; `docs/design/portability.md`). Such a graph fails, or pads another axis.
"""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Constant, Graph, Node
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["pads_of_all_axes"]

_PADS, _AXES = 1, 3


def pads_of_all_axes(graph: Graph, node: Node) -> Outcome:
    """A Pad that names its axes pads the others by 0."""
    if node.op != "Pad" or len(node.inputs) <= _AXES:
        return False
    axes, data = node.inputs[_AXES], node.inputs[0]
    if axes.is_empty():
        del node.inputs[_AXES]
        return True
    if not isinstance(axes, Constant):
        return Refused("its axes are computed")
    if data.shape is None:
        return Refused("its input's rank is not known")
    rank = len(data.shape)
    ahead = axes.values.astype(np.int64) % rank
    places = np.concatenate([ahead, ahead + rank])
    pads = node.inputs[_PADS]
    name = f"{node.name}/pads"
    if isinstance(pads, Constant):
        values = np.zeros(2 * rank, np.int64)
        values[places] = pads.values
        node.inputs[_PADS] = Constant(name, values)
    else:
        new = Replacement(graph, node, name)
        none = new.constant("none", np.zeros(2 * rank, np.int64))
        where = new.constant("places", places)
        node.inputs[_PADS] = new.node("ScatterElements", [none, where, pads], [name], axis=0)
    del node.inputs[_AXES]
    return True
