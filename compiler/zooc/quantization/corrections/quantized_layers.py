"""The layers of a float body that have integer weights, beside what became of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.body_graph import BodyGraph, attribute

__all__ = ["QuantizedLayer", "quantized_layers"]


class QuantizedLayer:
    """A weighted node of the float body and what became of it.

    Attributes:
        node: it, in the float body.
        source: name of its input there.
        levels: names of the scale and the zero point to which its input is rounded; `None` for pixels, which
            are levels already, and for what was rounded before (a pooling's input).
        stored_weight: names of its int8 weights and of their scale.
        stored_bias: names of its int32 bias and of the bias's scale, `None` if it has no bias.
        shape: of its weights.
        groups: of its channels.
        inputs: how many products each of its sums has.
    """

    def __init__(self, graph: BodyGraph, index: int, quantized: BodyGraph, new: onnx.NodeProto) -> None:
        """Node `index` of `graph`, which is `new` in `quantized` and has integer weights there."""
        self.node = node = graph.nodes[index]
        self.source = str(node.input[0])
        self.levels = _levels(quantized, new.input[0])
        stored = [_maker(quantized, name, "DequantizeLinear") for name in new.input[1:]]
        names = [(maker.input[0], maker.input[1]) for maker in stored if maker is not None]
        self.stored_weight, self.stored_bias = names[0], names[1] if len(names) > 1 else None
        self._graph = graph
        self._transposed = node.op_type != "Conv" and not attribute(node, "transB", 0)
        self.shape = self.weight.shape
        self.groups = attribute(node, "group", 1)
        self.inputs = self.shape[0] if self._transposed else math.prod(self.shape[1:])

    @property
    def weight(self) -> npt.NDArray[np.float32]:
        """What the int8 weights stand for; a new array each time."""
        values = self._graph.constant(self.node.input[1])
        assert values is not None
        factor = attribute(self.node, "alpha", 1.0) if self.node.op_type == "Gemm" else 1.0
        return values if factor == 1.0 else values * np.float32(factor)

    @property
    def bias(self) -> npt.NDArray[np.float64]:
        """`[channels]`, what the int32 bias stands for."""
        result = np.zeros(math.prod(self.shape) // self.inputs)
        if len(self.node.input) > 2 and (values := self._graph.constant(self.node.input[2])) is not None:
            factor = attribute(self.node, "beta", 1.0) if self.node.op_type == "Gemm" else 1.0
            result += values.reshape(-1) * factor
        return result

    @property
    def channel_axis(self) -> int:
        """Of the weights."""
        return int(self._transposed)

    def rows(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Weights, or the like, as `[groups, channels, inputs]`."""
        return (values.T if self._transposed else values).reshape(self.groups, -1, self.inputs)

    def from_rows(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What `rows` was given."""
        return rows[0].T if self._transposed else rows.reshape(self.shape)

    def broadcast(self, scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The weights' scale, `[channels]` or a scalar, in a form to multiply weights with."""
        behind = 0 if self._transposed else len(self.shape) - 1
        return scale.reshape(-1, *[1] * behind)


def quantized_layers(graph: BodyGraph, quantized: BodyGraph) -> list[QuantizedLayer]:
    """The convolutions, Gemms and MatMuls that have int8 weights, in order."""
    found = []
    for index, node in enumerate(graph.nodes):
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        result = node.output[0]
        place = quantized.producer.get(f"{result}/float", quantized.producer.get(result))
        new = None if place is None else quantized.nodes[place]
        if (
            new is not None
            and new.op_type == node.op_type
            and _maker(quantized, new.input[1], "DequantizeLinear")
        ):
            found.append(QuantizedLayer(graph, index, quantized, new))
    return found


def _levels(quantized: BodyGraph, source: str) -> tuple[str, str] | None:
    """Scale and zero point of a tensor that was just rounded."""
    reader = _maker(quantized, source, "DequantizeLinear")
    quantizer = None if reader is None else _maker(quantized, reader.input[0], "QuantizeLinear")
    return None if quantizer is None else (quantizer.input[1], quantizer.input[2])


def _maker(graph: BodyGraph, tensor: str, kind: str) -> onnx.NodeProto | None:
    """The node that makes a tensor, if it is of this kind."""
    maker = graph.producer.get(tensor)
    node = None if maker is None else graph.nodes[maker]
    return node if node is not None and node.op_type == kind else None
