"""What a network costs in time in ONNX Runtime, by an estimate: equal inputs must give equal bytes.

The rates are fitted to whole networks by `benchmarks/costs.py`; `benchmarks/RESULTS-costs.md` says how well
they tell the time of a network that they were not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass

import onnx

from zooc.ir.count import macs_of_nodes
from zooc.ir.graph import Constant, Graph, Node, Tensor, maker, only_reader, read_graph

__all__ = ["CONVERSION", "FLOAT", "INT8", "CostModel", "Rates", "Work", "over_float32"]


@dataclass(frozen=True, slots=True)
class Rates:
    """Nanoseconds of one data type, on one thread of a CPU with AVX-512 VNNI.

    Attributes:
        node: of every operator, whatever it does.
        mac: of a multiply-accumulate.
        depthwise_mac: of one in a convolution of a few channels a group.
        result: of writing an element of a convolution or product.
        element: of reading or writing an element of what multiplies nothing, whichever are more.
    """

    node: float
    mac: float
    depthwise_mac: float
    result: float
    element: float


FLOAT = Rates(node=0.0, mac=0.01274, depthwise_mac=0.0386, result=0.4235, element=0.2396)
INT8 = Rates(node=4656.0, mac=0.003513, depthwise_mac=0.04969, result=0.1527, element=0.204)
CONVERSION = 0.3832
"""Of taking an element from float to int8 or back, between layers of which one computes in float."""

_FREE = frozenset(
    {"Cast", "Constant", "Dropout", "Flatten", "Identity", "Reshape", "Shape", "Squeeze", "Unsqueeze"}
)
_FUSED = frozenset({"Clip", "Relu"})
_FUSING = frozenset({"Add", "Conv", "Gemm"})
_DEPTHWISE = 4
"""Channels a group from which on a convolution is none of many small ones."""

_LEAST = 3e5
"""Nanoseconds of a network in float32, below which calling it costs more than what it does."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a node does for one image.

    Attributes:
        macs: multiply-accumulates.
        depthwise: whether they are those of a convolution of few channels a group.
        elements: of its results; of what multiplies nothing those of its inputs, if they are more.
    """

    macs: int
    depthwise: bool
    elements: int

    def time(self, rates: Rates) -> float:
        """Return the nanoseconds in a data type."""
        if not self.macs:
            return rates.node + rates.element * self.elements
        mac = rates.depthwise_mac if self.depthwise else rates.mac
        return rates.node + mac * self.macs + rates.result * self.elements


class CostModel:
    """Estimates a body's time with some of its nodes in float, in nanoseconds an image."""

    def __init__(self, body: onnx.ModelProto) -> None:
        """Count the multiply-accumulates and elements of each node of a float body."""
        graph = read_graph(body)
        self._nodes = [node for node in graph.nodes if node.outputs]
        self._part_of = {
            node.name: before.name for node in self._nodes if (before := _fused_into(graph, node))
        }
        macs = macs_of_nodes(body)
        self.work = {
            node.name: _work(node, macs.get(node.name, 0))
            for node in self._nodes
            if node.op not in _FREE and node.name not in self._part_of
        }

    def time(self, in_float: Set[str]) -> float:
        """Return the estimated time of one run.

        Args:
            in_float: names of the nodes that compute in float; all others count as int8.
        """
        own = math.fsum(work.time(FLOAT if name in in_float else INT8) for name, work in self.work.items())
        return own + CONVERSION * self.converted(in_float)

    def all_in_float(self) -> float:
        """Return the estimated time of one run in float32."""
        return math.fsum(work.time(FLOAT) for work in self.work.values())

    def alone(self) -> dict[str, float]:
        """Return the estimated time of each node in int8, by name, without conversions."""
        times = {name: work.time(INT8) for name, work in self.work.items()}
        return {node.name: times.get(node.name, 0.0) for node in self._nodes}

    def elements(self, name: str) -> int:
        """Return how many elements a node's results have, of one image."""
        return sum(_elements(t) for node in self._nodes if node.name == name for t in node.outputs)

    def converted(self, in_float: Set[str]) -> int:
        """Return how many elements are taken from float to int8 or back."""
        count = 0
        for node in self._nodes:
            if node.name in self._part_of:
                continue
            for tensor in node.inputs:
                before = None if isinstance(tensor, Constant) else maker(tensor)
                if before is None or before.op == "Cast":
                    continue
                if (self._part_of.get(before.name, before.name) in in_float) != (node.name in in_float):
                    count += _elements(tensor)
        return count


def over_float32(network: onnx.ModelProto, prepared: onnx.ModelProto, in_float: Set[str]) -> float | None:
    """Return int8's estimated time over that of the network in float32; `None` of one too small to tell.

    Args:
        network: in float32.
        prepared: the network as it is quantized, in float32.
        in_float: nodes of `prepared` that compute in float.
    """
    alone = CostModel(network).all_in_float()
    return CostModel(prepared).time(in_float) / alone if alone >= _LEAST else None


def _work(node: Node, macs: int) -> Work:
    written = sum(map(_elements, node.outputs))
    if macs:
        few = (
            node.op == "Conv"
            and node.attrs.get("group", 1) > 1
            and (node.inputs[1].shape or [0, 9])[1] < _DEPTHWISE
        )
        return Work(macs, few, written)
    read = sum(_elements(tensor) for tensor in node.inputs if not isinstance(tensor, Constant))
    return Work(0, False, max(written, read))


def _fused_into(graph: Graph, node: Node) -> Node | None:
    """The node whose result this activation clamps on the way."""
    before = maker(node.inputs[0]) if node.op in _FUSED else None
    if before is None or before.op not in _FUSING or only_reader(graph, node.inputs[0]) is None:
        return None
    return before


def _elements(tensor: Tensor) -> int:
    """Of one image: free sizes count 1."""
    shape = tensor.shape or []
    return math.prod(size if isinstance(size, int) else 1 for size in shape)
