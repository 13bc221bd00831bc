"""One body quantized again and again with other ranges: only what they change is written anew."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from zooc.calibration.ranges import Range
from zooc.deployment import Quantize
from zooc.ir.graph import Node, read_graph
from zooc.ir.weights import StoredTensors
from zooc.quantization.placement import place
from zooc.quantization.qdq import quantize_body, scales_of
from zooc.quantization.scales import ActivationScale, QuantizedWeight, bias_scale
from zooc.quantization.weights import quantize_layer, requantize_bias

__all__ = ["Requantizer"]


class Requantizer:
    """Gives the very bytes that `quantize_body` gives, without reading and writing the graph for it.

    Attributes:
        groups: the tensors that share a scale, in the graph's order, by the tensor that it is named after.
        template: the body in int8 with the first ranges.
    """

    def __init__(self, body: onnx.ModelProto, ranges: Mapping[str, Range], quantize: Quantize) -> None:
        """Quantize for the first time.

        Raises:
            ZoocError: see `quantize_body`.
        """
        self.template = quantize_body(body, ranges, quantize).model
        graph = read_graph(body)
        self._quantize = quantize
        self._placement = place(graph, quantize)
        self.groups = dict(self._placement.sources)
        plans = self._placement.nodes
        weighted = [n for n in graph.nodes if plans[n.name].int8 and plans[n.name].role == "compute"]
        scales = scales_of(self._placement, ranges, quantize)
        inputs = [scales[node.inputs[0].name] for node in weighted]
        self._first = [(n, s, quantize_layer(n, s, quantize)) for n, s in zip(weighted, inputs, strict=True)]

    def __call__(self, ranges: Mapping[str, Range]) -> onnx.ModelProto:
        """Return the body in int8 with these ranges; its biases are not corrected."""
        scales = scales_of(self._placement, ranges, self._quantize)
        model = onnx.ModelProto()
        model.CopyFrom(self.template)
        stored = StoredTensors(model)
        for name in self.groups:
            stored[f"{name}/scale"] = np.asarray(scales[name].scale, np.float32)
            stored[f"{name}/zero_point"] = np.asarray(scales[name].zero_point, np.uint8)
        for node, before, weight in self._first:
            now = scales[node.inputs[0].name]
            if now != before:
                self._store(node, now, requantize_bias(node, weight, before, now), stored)
        return model

    def _store(
        self, node: Node, of_input: ActivationScale, weight: QuantizedWeight | None, stored: StoredTensors
    ) -> None:
        if weight is None:
            weight = quantize_layer(node, of_input, self._quantize)
            stored[f"{node.name}/weight_quantized"] = weight.values
            stored[f"{node.name}/weight_scale"] = weight.scale
        if weight.bias is not None:
            stored[f"{node.name}/bias_quantized"] = weight.bias
            stored[f"{node.name}/bias_scale"] = bias_scale(weight.scale, of_input.scale)
