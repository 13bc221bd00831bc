"""Whether a file's network scales its image itself, as is told by its first operators."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx

from zooc.ir.graph import Node, Tensor, maker, only_reader, read_graph, values_of

__all__ = ["PixelRange", "pixel_range"]

PixelRange = Literal["0..255", "0..1", "normalized"]

_MOVES = frozenset({"Identity", "Cast", "Transpose"})
_SCALES = frozenset({"Add", "Sub", "Mul", "Div"})

_LEAST = 0.1
"""Factors below are made for pixels: 1 / 255, or that by a deviation; those for 0..1 are 1 and more."""

_LARGEST = 2.0
"""Means above are of pixels."""


def pixel_range(model: onnx.ModelProto, dtype: str) -> PixelRange:
    """Return what the network takes.

    Args:
        model: the network in the compiler's form.
        dtype: of the image, as the file takes it.

    Returns:
        `0..255` or `0..1` where it begins with a normalization of its own for such values, or takes bytes;
        `normalized` where nothing shows one.
    """
    graph = read_graph(model)
    (tensor,) = graph.inputs
    factor, mean, found = 1.0, 0.0, False
    while (node := only_reader(graph, tensor)) is not None and node.op in _MOVES | _SCALES:
        if node.op in _SCALES:
            value = _constant(node, tensor)
            if value is None:
                break
            found = True
            if node.op == "Mul":
                factor *= value
            elif node.op == "Div":
                factor /= value or 1.0
            else:
                mean = max(mean, value)
        (tensor,) = node.outputs
    if dtype == "uint8" or (found and (factor < _LEAST or mean > _LARGEST)):
        return "0..255"
    return "0..1" if found else "normalized"


def _constant(node: Node, image: Tensor) -> float | None:
    """The largest absolute value of the node's other operand; `None` where that is computed."""
    others = [operand for operand in node.inputs if operand is not image]
    if len(others) != 1 or (node.op == "Div" and node.inputs[0] is not image):
        return None
    constant = others[0]
    source = maker(constant, "Constant")
    stored = constant if source is None else source.attrs.get("value")
    values = values_of(stored) if isinstance(stored, Tensor) else None
    return None if values is None or not values.size else float(np.abs(values).max())
