"""Brings a file's network to the compiler's form: one float32 image, channels first, and float32 scores."""

from __future__ import annotations

import numpy as np
import onnx

from zooc.ir.graph import (
    BFLOAT16,
    DOUBLE,
    FLOAT,
    FLOAT16,
    UINT8,
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    element_type,
    read_graph,
    values_of,
    write_graph,
)
from zooc.ir.levels import is_quantized
from zooc.networks.network import OUTPUT
from zooc.networks.onnx_file.interface import Interface

__all__ = ["adapt"]

_OTHER_FLOATS = frozenset({BFLOAT16, DOUBLE, FLOAT16})
_LAST_TO_FIRST = [0, 2, 3, 1]
"""From channels first to channels last."""


def adapt(model: onnx.ModelProto, interface: Interface) -> onnx.ModelProto:
    """Return the network with float32 in place of every other float, and of the image's uint8.

    The image of a quantized network may have been its first levels: it becomes uint8 again by a Cast.

    An image with its channels last is transposed in front; simplifying takes the Transpose away where the
    file transposes it back. The scores of several heads are joined into one row. Other outputs, and what only
    they need, are left out.
    """
    graph = read_graph(model)
    given = {tensor.name: tensor for tensor in graph.outputs}
    graph.outputs = [given[port.name] for port in interface.scores]
    _use_float32(graph)
    (image,) = (tensor for tensor in graph.inputs if tensor.name == interface.image.name)
    if interface.image.dtype == "uint8" and is_quantized(model):
        image = _cast_to_levels(graph, image)
    image.dtype = np.dtype(np.float32)
    size = interface.size
    shape = [size.batch or "batch", size.channels, size.height, size.width]
    if interface.layout == "nhwc":
        planes = Variable(f"{image.name}/planes", np.dtype(np.float32), shape)
        graph.nodes.insert(
            0, Node("Transpose", f"{image.name}/layout", {"perm": _LAST_TO_FIRST}, [planes], [image])
        )
        image.shape = [shape[0], *shape[2:], shape[1]]
        image = planes
    image.shape = shape
    graph.inputs = [image]
    if len(graph.outputs) > 1:
        _join_heads(graph)
    graph.cleanup(remove_unused_graph_inputs=False).toposort()
    return write_graph(graph)


def _cast_to_levels(graph: Graph, levels: Tensor) -> Tensor:
    image = Variable(f"{levels.name}/image", np.dtype(np.float32), levels.shape)
    graph.nodes.insert(0, Node("Cast", f"{levels.name}/levels", {"to": UINT8}, [image], [levels]))
    return image


def _join_heads(graph: Graph) -> None:
    float32 = np.dtype(np.float32)
    rows = []
    for index, scores in enumerate(graph.outputs):
        row = Variable(f"body/head_{index}", float32)
        graph.nodes.append(Node("Flatten", f"body/head_{index}", {"axis": 1}, [scores], [row]))
        rows.append(row)
    joined = Variable(OUTPUT if OUTPUT not in graph.tensors() else f"body/{OUTPUT}", float32)
    graph.nodes.append(Node("Concat", "body/heads", {"axis": 1}, rows, [joined]))
    graph.outputs = [joined]


def _use_float32(graph: Graph) -> None:
    """Make every float16, bfloat16 and float64 tensor a float32 one, in place, in nested graphs too."""
    for part in (graph, *graph.subgraphs(recursive=True)):
        for tensor in part.tensors().values():
            _convert(tensor)
        for node in part.nodes:
            for name, value in node.attrs.items():
                if name in ("to", "dtype") and value in _OTHER_FLOATS:
                    node.attrs[name] = FLOAT
                elif isinstance(value, Constant):
                    _convert(value)


def _convert(tensor: Tensor) -> None:
    if element_type(tensor) not in _OTHER_FLOATS:
        return
    values = values_of(tensor)
    if values is None:
        tensor.dtype = np.dtype(np.float32)
    else:
        tensor.values = values.astype(np.float32)
