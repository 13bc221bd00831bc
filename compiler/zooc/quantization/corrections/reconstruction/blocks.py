"""The blocks of a network: its pieces between tensors that everything behind them depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import onnx

from zooc.ir.graph import Graph, Node, Tensor, is_output, read_graph, write_graph

__all__ = ["Block", "blocks_of", "extract"]

_FEWEST_LAYERS = 3
"""Weighted layers; a piece with fewer belongs to the same block as the next one."""


@dataclass(frozen=True)
class Block:
    """A piece of a network with one input and one output.

    Attributes:
        source: name of the tensor that it reads.
        result: name of the tensor that it makes.
        layers: names of its weighted nodes.
    """

    source: str
    result: str
    layers: tuple[str, ...]


def blocks_of(graph: Graph, layers: Collection[str], ends: Collection[str]) -> list[Block]:
    """Return the blocks of a network in order; each begins where the one before it ends.

    A block ends behind at least three of the `layers`, as far as the network allows: a residual unit is one,
    and so are an expansion, a depthwise convolution and a projection in a row.

    Args:
        graph: with one input and one output.
        layers: names of the nodes that count.
        ends: names of the tensors at which a block may end; the graph's output always may.
    """
    found, inside, source = [], [], graph.inputs[0].name
    for node, through in _cuts(graph):
        if node.name in layers:
            inside.append(node.name)
        if through is None:
            continue
        last = is_output(graph, through)
        if last or (len(inside) >= _FEWEST_LAYERS and through.name in ends):
            found.append(Block(source, through.name, tuple(inside)))
            inside, source = [], through.name
    return found


def _cuts(graph: Graph) -> Iterator[tuple[Node, Tensor | None]]:
    """Every node, and the one tensor on which all behind it depends; `None` where there are several."""
    waiting = Counter({graph.inputs[0].name: len(graph.inputs[0].outputs)})
    known = {graph.inputs[0].name: graph.inputs[0]}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor.name in waiting:
                waiting[tensor.name] -= 1
                if not waiting[tensor.name]:
                    del waiting[tensor.name]
        for tensor in node.outputs:
            if tensor.outputs or is_output(graph, tensor):
                waiting[tensor.name] = len(tensor.outputs) + is_output(graph, tensor)
                known[tensor.name] = tensor
        yield node, known[next(iter(waiting))] if len(waiting) == 1 else None


def extract(model: onnx.ModelProto, block: Block) -> onnx.ModelProto:
    """Return a block of a model, float or quantized, as a model of its own."""
    graph = read_graph(model)
    tensors = graph.tensors()
    source, result = tensors[block.source], tensors[block.result]
    source.inputs.clear()
    graph.inputs, graph.outputs = [source], [result]
    graph.cleanup()
    return write_graph(graph)
