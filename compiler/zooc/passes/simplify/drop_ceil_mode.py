"""Drops a pool's `ceil_mode` where rounding up and rounding down give the same size.

    ceil((size + pads - window) / stride) = floor((size + pads - window) / stride)   if the stride divides it

PyTorch's networks carry the attribute along whatever their sizes are, and some engines lack it
(`onnxruntime-web` 1.30 on WebGPU refuses an AveragePool that has it).
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

__all__ = ["drop_ceil_mode"]

_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})


def drop_ceil_mode(graph: gs.Graph) -> bool:
    """Drops it in place; tells whether anything changed. A pool of unknown sizes stays as it is."""
    modified = False
    for node in graph.nodes:
        if node.op in _POOLS and node.attrs.get("ceil_mode", 0) and _divides(node):
            del node.attrs["ceil_mode"]
            modified = True
    return modified


def _divides(node: gs.Node) -> bool:
    shape = node.inputs[0].shape
    kernel = node.attrs["kernel_shape"]
    if shape is None or node.attrs.get("auto_pad", "NOTSET") != "NOTSET":
        return False
    axes = len(kernel)
    sizes = shape[-axes:]
    strides, dilations = (node.attrs.get(name, [1] * axes) for name in ("strides", "dilations"))
    pads = node.attrs.get("pads", [0] * (2 * axes))
    return all(
        isinstance(size, int)
        and (size + pads[at] + pads[at + axes] - (kernel[at] - 1) * dilations[at] - 1) % strides[at] == 0
        for at, size in enumerate(sizes)
    )
