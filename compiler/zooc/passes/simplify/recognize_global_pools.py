"""Recognizes means and maxima over a whole feature map, however exporters spell them.

    ReduceMean(ReduceMean(x, 3), 2)               =  ReduceMean(x, [2, 3])
    ReduceMean(Reshape(x, [N, C, H * W]), 2)      =  ReduceMean(x, [2, 3])      without the reduced axes
    Reduce(Transpose(x), [1, 2])                  =  Reduce(x, [2, 3])          the same, channels last
    ReduceMax(x, [2, 3])                          =  GlobalMaxPool(x)
    AveragePool(x), a window as large as the map  =  GlobalAveragePool(x)

The mean of means is the mean of all only where each is of equally many numbers, as over the axes of a tensor.
`ReduceMean` itself becomes a pool where int8 needs one (`passes/legalize/pools.py`).
"""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, maker, only_maker, reduced_axes, shape_of
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = [
    "global_pool_instead_of_maximum",
    "global_pool_instead_of_window",
    "mean_of_map_instead_of_rows",
    "merge_means",
    "reduce_before_transpose",
]

_REDUCTIONS = frozenset({"ReduceMax", "ReduceMean"})
_SPATIAL = [2, 3]


def merge_means(graph: Graph, node: Node) -> Outcome:
    """A ReduceMean over some axes of one over others, all axes kept, is one over both."""
    before = only_maker(graph, node.inputs[0], "ReduceMean") if node.op == "ReduceMean" else None
    if before is None:
        return False
    inner, outer = reduced_axes(before), reduced_axes(node)
    if not inner or not outer or not before.attrs.get("keepdims", 1):
        return Refused("their axes are not known, or the first does not keep them")
    axes = np.array(sorted({*inner, *outer}), np.int64)
    node.inputs = [before.inputs[0], Constant(f"{node.name}/axes", axes)]
    return True


def mean_of_map_instead_of_rows(graph: Graph, node: Node) -> Outcome:
    """The mean over the last axis of `[N, C, H * W]`, made of a feature map, is that over its pixels."""
    rows = maker(node.inputs[0], "Reshape") if node.op == "ReduceMean" else None
    if rows is None or reduced_axes(node) != [2]:
        return False
    source, flat = shape_of(rows.inputs[0]), shape_of(rows.outputs[0])
    if source is None or flat is None or len(source) != 4 or len(flat) != 3 or None in source[1:]:
        return False
    if flat[1:] != (source[1], int(source[2] or 0) * int(source[3] or 0)):
        return Refused("what is averaged is not one channel's pixels")
    if node.attrs.get("keepdims", 1):
        return Refused("it keeps the axis of the pixels")
    node.inputs = [rows.inputs[0], Constant(f"{node.name}/axes", np.array(_SPATIAL, np.int64))]
    return True


def reduce_before_transpose(graph: Graph, node: Node) -> Outcome:
    """A reduction that drops axes of a transposed tensor, the others in order, needs no Transpose."""
    transpose = maker(node.inputs[0], "Transpose") if node.op in _REDUCTIONS else None
    if transpose is None or node.attrs.get("keepdims", 1):
        return False
    axes, order = reduced_axes(node), transpose.attrs.get("perm")
    if axes is None or order is None:
        return Refused("its axes or those of the Transpose are not known")
    left = [place for axis, place in enumerate(order) if axis not in axes]
    if left != sorted(left):
        return Refused("the axes that are left change places")
    moved = np.array(sorted(order[axis] for axis in axes), np.int64)
    node.inputs = [transpose.inputs[0], Constant(f"{node.name}/axes", moved)]
    return True


def global_pool_instead_of_maximum(graph: Graph, node: Node) -> Outcome:
    """A ReduceMax over height and width is a GlobalMaxPool."""
    if node.op != "ReduceMax":
        return False
    source, result = node.inputs[0], node.outputs[0]
    if source.dtype != np.float32 or len(source.shape or ()) != 4 or reduced_axes(node) != _SPATIAL:
        return Refused("it is not the maximum over height and width of a feature map")
    new = Replacement(graph, node)
    if node.attrs.get("keepdims", 1):
        new.node("GlobalMaxPool", [source], [result])
    else:
        pooled = new.node("GlobalMaxPool", [source], [f"{result.name}/pooled"])
        new.node("Flatten", [pooled], [result], axis=1)
    return True


def global_pool_instead_of_window(graph: Graph, node: Node) -> Outcome:
    """An average or a maximum whose one window is the whole feature map is a global one."""
    if node.op not in ("AveragePool", "MaxPool"):
        return False
    shape = shape_of(node.inputs[0])
    if shape is None or tuple(node.attrs["kernel_shape"]) != shape[2:]:
        return False
    plain = node.attrs.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    if not plain or any(node.attrs.get("pads", ())) or any(d != 1 for d in node.attrs.get("dilations", ())):
        return Refused("its window also lies on padding")
    if len(node.outputs) > 1:
        return Refused("it also returns indices")
    Replacement(graph, node).node(f"Global{node.op}", [node.inputs[0]], [node.outputs[0]])
    return True
