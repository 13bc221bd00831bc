"""What a network costs in time, estimated the same way everywhere: equal inputs must give equal bytes."""

from __future__ import annotations

import math
from collections.abc import Set

import onnx

from zooc.ir.count import macs_of_nodes
from zooc.ir.graph import Constant, Node, Tensor, read_graph

__all__ = ["CostModel"]

_FLOAT_MAC = 3.0
"""Of an int8 multiply-accumulate's time; 2.6 to 4 on CPUs with VNNI (docs/networks.md has whole networks)."""

_INT8_ELEMENT, _FLOAT_ELEMENT = 4.0, 8.0
"""Writing an element of a result, in the same unit: what a layer takes that multiplies little."""

_CONVERSION = 6.0
"""Taking an element from float to int8 or back, where one layer computes in float and the next does not."""


class CostModel:
    """Estimates a body's time with some of its nodes in float, in int8 multiply-accumulates."""

    def __init__(self, body: onnx.ModelProto) -> None:
        """Count the multiply-accumulates and elements of each node of a float body."""
        graph = read_graph(body)
        self.macs = macs_of_nodes(body)
        self._nodes = [node for node in graph.nodes if node.outputs]

    def time(self, in_float: Set[str]) -> float:
        """Return the estimated time of one run.

        Args:
            in_float: names of the nodes that compute in float; all others count as int8.
        """
        return math.fsum(self._time(node, in_float) for node in self._nodes)

    def alone(self) -> dict[str, float]:
        """Return the estimated time of each node in int8, by name, without conversions."""
        return {
            node.name: self.macs.get(node.name, 0) + _INT8_ELEMENT * sum(map(_elements, node.outputs))
            for node in self._nodes
        }

    def elements(self, name: str) -> int:
        """Return how many elements a node's results have, of one image."""
        return sum(_elements(t) for node in self._nodes if node.name == name for t in node.outputs)

    def _time(self, node: Node, in_float: Set[str]) -> float:
        kept = node.name in in_float
        macs, elements = self.macs.get(node.name, 0), sum(map(_elements, node.outputs))
        own = macs * (_FLOAT_MAC if kept else 1.0) + elements * (_FLOAT_ELEMENT if kept else _INT8_ELEMENT)
        makers = [t.inputs[0] for t in node.inputs if not isinstance(t, Constant) and t.inputs]
        crossed = sum(_elements(maker.outputs[0]) for maker in makers if (maker.name in in_float) != kept)
        return own + _CONVERSION * crossed


def _elements(tensor: Tensor) -> int:
    """Of one image: free sizes count 1."""
    shape = tensor.shape or []
    return math.prod(size if isinstance(size, int) else 1 for size in shape)
