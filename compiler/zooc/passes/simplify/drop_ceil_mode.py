"""Drops a pool's `ceil_mode` where rounding up and rounding down give the same size.

    ceil((size + pads - window) / stride) = floor((size + pads - window) / stride)   if the stride divides it

PyTorch's networks carry the attribute along whatever their sizes are, and some engines lack it
(`onnxruntime-web` 1.30 on WebGPU refuses an AveragePool that has it).
"""

from __future__ import annotations

from zooc.ir.graph import Graph, Node
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["drop_ceil_mode"]

_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})


def drop_ceil_mode(graph: Graph, node: Node) -> Outcome:
    """A pool whose stride divides what is left of the size rounds neither up nor down."""
    if node.op not in _POOLS or not node.attrs.get("ceil_mode", 0):
        return False
    shape = node.inputs[0].shape
    if shape is None or node.attrs.get("auto_pad", "NOTSET") != "NOTSET":
        return Refused("its sizes or its padding are not known")
    if not _divides(node, shape):
        return Refused("rounding up adds a window")
    del node.attrs["ceil_mode"]
    return True


def _divides(node: Node, shape: list[int | str | None]) -> bool:
    kernel = node.attrs["kernel_shape"]
    axes = len(kernel)
    strides, dilations = (node.attrs.get(name, [1] * axes) for name in ("strides", "dilations"))
    pads = node.attrs.get("pads", [0] * (2 * axes))
    return all(
        isinstance(size, int)
        and (size + pads[at] + pads[at + axes] - (kernel[at] - 1) * dilations[at] - 1) % strides[at] == 0
        for at, size in enumerate(shape[-axes:])
    )
