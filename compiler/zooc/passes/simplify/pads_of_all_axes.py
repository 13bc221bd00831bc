"""Writes the pads of every axis where a Pad names its axes.

    Pad(x, pads[a], axes)  =  Pad(x, pads[rank])      with 0 for the axes that are not named

ONNX Runtime moves a Transpose past a Pad as if its pads were always those of all axes, whatever axes it names
(seen in 1.20 to 1.32; `docs/design/portability.md`). Such a graph fails, or pads another axis.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_graphsurgeon as gs

__all__ = ["names_of_axes_left", "pads_of_all_axes"]

_PADS, _AXES = 1, 3


def pads_of_all_axes(graph: gs.Graph) -> bool:
    """Rewrites such Pads in place, those inside of subgraphs too; tells whether anything changed.

    A Pad stays as it is where its axes are computed, or its input's rank is unknown; `names_of_axes_left`
    reports it.
    """
    modified = False
    for part in (graph, *graph.subgraphs(recursive=True)):
        for node in part.nodes:
            if node.op == "Pad" and len(node.inputs) > _AXES:
                modified |= _rewrite(part, node)
    return modified


def names_of_axes_left(graph: onnx.GraphProto) -> Iterator[str]:
    """The names of the Pads that still name their axes, those inside of subgraphs too."""
    for node in graph.node:
        if node.op_type == "Pad" and len(node.input) > _AXES and node.input[_AXES]:
            yield node.name or node.output[0]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from names_of_axes_left(attribute.g)


def _rewrite(graph: gs.Graph, node: gs.Node) -> bool:
    axes, data = node.inputs[_AXES], node.inputs[0]
    if axes.is_empty():
        del node.inputs[_AXES]
        return True
    if not isinstance(axes, gs.Constant) or data.shape is None:
        return False
    rank = len(data.shape)
    ahead = axes.values.astype(np.int64) % rank
    places = np.concatenate([ahead, ahead + rank])
    pads = node.inputs[_PADS]
    name = f"{node.name or node.outputs[0].name}/pads"
    if isinstance(pads, gs.Constant):
        values = np.zeros(2 * rank, np.int64)
        values[places] = pads.values
        node.inputs[_PADS] = gs.Constant(name, values)
    else:
        full = gs.Variable(name, np.int64, [2 * rank])
        none = gs.Constant(f"{name}/none", np.zeros(2 * rank, np.int64))
        where = gs.Constant(f"{name}/places", places)
        graph.nodes.insert(
            graph.nodes.index(node),
            gs.Node("ScatterElements", name, {"axis": 0}, [none, where, pads], [full]),
        )
        node.inputs[_PADS] = full
    del node.inputs[_AXES]
    return True
