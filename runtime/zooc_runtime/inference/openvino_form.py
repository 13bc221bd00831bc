"""An int8 body in the form that OpenVINO fuses on CPUs.

ONNX Runtime's integer operators write levels: a pair of QuantizeLinear and DequantizeLinear stands behind
each of them. OpenVINO makes an activation function part of the convolution before it, unless such a pair is
between the two (`docs/design/engines.md`, with what this gains). Roundings, and the clipping to their ranges,
are all that is left out:

    Conv, pair, f, pair                  becomes    Conv, f, pair
    x * f(x), with a pair behind f       becomes    x * f(x)
    x * Clip(x + 3, 0, 6)                becomes    HardSwish(x) * 6
    (x * f(x)), pair, * constant         becomes    (x * f(x)) * constant
"""

from __future__ import annotations

import numpy as np

from ..package.nodes import Node, Nodes
from ..package.protobuf import encode_bytes_field, fields

__all__ = ["fuse_activations"]

_MODEL_GRAPH = 7  # of onnx.proto

_PRODUCTS = frozenset({"Conv", "Gemm"})
_ALONE = [[f] for f in ("Elu", "Gelu", "HardSwish", "Mish", "Sigmoid", "Tanh")]
_WITH_GRAPHS = frozenset({"If", "Loop", "Scan"})
"""Operators whose inner graphs read tensors of this one unseen."""


def fuse_activations(model: bytes) -> bytes:
    """Return the model in OpenVINO's form; the very same bytes where it has none of the patterns.

    Raises:
        PackageError: the bytes are truncated, or are no ONNX model.
    """
    parts = list(fields(memoryview(model)))
    graphs = [index for index, part in enumerate(parts) if part.number == _MODEL_GRAPH]
    if len(graphs) != 1:
        return model
    graph = Nodes(parts[graphs[0]].payload)
    if any(node.operator in _WITH_GRAPHS for node in graph.nodes):
        return model
    for node in graph.nodes:
        if node.operator == "Mul" and not node.dropped:
            _fuse_gate(graph, node)
    for node in graph.nodes:
        if node.operator in _PRODUCTS and not node.dropped:
            _feed_activation(graph, node)
    if not any(node.changed for node in graph.nodes):
        return model
    wholes: list[memoryview | bytes] = [part.whole for part in parts]
    wholes[graphs[0]] = b"".join(encode_bytes_field(_MODEL_GRAPH, graph.encode()))
    return b"".join(wholes)


def _fuse_gate(graph: Nodes, product: Node) -> None:
    """Take the roundings out of `x * f(x)`, where `product` is that, and write a hard-swish as such."""
    if len(product.inputs) != 2:
        return
    for x, other in (product.inputs, product.inputs[::-1]):
        gate = graph.unrounded(other)
        head = _head(graph, gate)
        if head and x in head.inputs and graph.readers(other) == [product]:
            if other != gate:
                graph.leave_unrounded(gate)
            _name_hard_swish(graph, product, x, gate, head)
            _leave_scaled_unrounded(graph, product)
            return


def _head(graph: Nodes, gate: str) -> Node | None:
    """The first operator of a gate f: its Sigmoid, or the Add of `Clip(x + constant, ...)`."""
    if node := graph.maker(gate, "Sigmoid"):
        return node
    clip = graph.maker(gate, "Clip")
    add = graph.maker(graph.unrounded(clip.source), "Add") if clip else None
    return add if add and any(graph.is_stored(name) for name in add.inputs) else None


def _name_hard_swish(graph: Nodes, product: Node, x: str, gate: str, head: Node) -> None:
    """`x * Clip(x + 3, 0, 6)` is `HardSwish(x) * 6`; the 6 is the Clip's own."""
    clip = graph.maker(gate, "Clip")
    if clip is None or len(clip.inputs) != 3 or len(head.inputs) != 2 or graph.readers(gate) != [product]:
        return
    _, low, top = clip.inputs
    shift = head.inputs[head.inputs[0] == x]
    if np.allclose([graph.scalar(name) for name in (shift, low, top)], [3, 0, 6], rtol=1e-5, atol=1e-5):
        graph.replace(clip, [x], "HardSwish")
        graph.replace(product, [gate, top])


def _leave_scaled_unrounded(graph: Nodes, product: Node) -> None:
    """Leave out the rounding before a product with something stored, if that alone reads `product`."""
    rounded = graph.rounded(product.result)
    readers = graph.readers(rounded)
    factors = [name for reader in readers for name in reader.inputs if name != rounded]
    if [node.operator for node in readers] == ["Mul"] and all(map(graph.is_stored, factors)):
        graph.leave_unrounded(product.result)


def _feed_activation(graph: Nodes, product: Node) -> None:
    """Leave out the rounding between a convolution and the activation function that it alone feeds."""
    readers = graph.readers(graph.rounded(product.result))
    if [node.operator for node in readers] in _ALONE or _is_gate(graph, readers):
        graph.leave_unrounded(product.result)


def _is_gate(graph: Nodes, readers: list[Node]) -> bool:
    """Whether two readers are the product and the first operator of `x * f(x)`."""
    return len(readers) == 2 and any(
        product.operator == "Mul" and any(_head(graph, name) is head for name in product.inputs)
        for head, product in (readers, readers[::-1])
    )
