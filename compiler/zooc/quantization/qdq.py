"""Writes a placement into the graph as QuantizeLinear and DequantizeLinear pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.calibration.ranges import Range, symmetric
from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    is_output,
    read_graph,
    values_of,
    write_graph,
)
from zooc.quantization.layers import Quantized, describe_layers
from zooc.quantization.placement import Placement, operands, place
from zooc.quantization.scales import (
    ActivationScale,
    QuantizedWeight,
    activation_scale,
    bias_scale,
    signed_scale,
)
from zooc.quantization.targets import rules_of
from zooc.quantization.weights import check_weights, quantize_weights

__all__ = ["quantize_body", "scales_of"]

PIXEL_SCALE = ActivationScale(np.float32(1.0), 0)


def quantize_body(body: onnx.ModelProto, ranges: Mapping[str, Range], quantize: Quantize) -> Quantized:
    """Return the body as a QDQ model: uint8 activations, int8 weights, int32 biases.

    Every quantized tensor gets one QuantizeLinear and one DequantizeLinear behind the node that makes it,
    which all its readers share (ONNX Runtime gives each reader its own when it loads the model). Weights and
    biases are stored in integers behind a DequantizeLinear. `Cast(pixels)` becomes `DequantizeLinear(scale
    1, zero point 0)`. The same input gives the same bytes.

    Args:
        body: float32, opset 20 or newer; not changed.
        ranges: of at least `tensors_to_observe(body, quantize)`.
        quantize: of dtype int8.

    Raises:
        ZoocError: Z0410, a `keep` pattern matches no node; Z0414, a weight is NaN or infinite;
            Z0416, a range is missing.
    """
    graph = read_graph(body)
    check_weights(graph)
    placement = place(graph, quantize)
    scales = scales_of(placement, ranges, quantize)
    weights = quantize_weights(graph, placement, scales, quantize)
    layers = describe_layers(graph, placement, ranges, scales, weights)
    _Writer(graph, placement, scales, weights).write()
    return Quantized(write_graph(graph), layers)


def scales_of(
    placement: Placement, ranges: Mapping[str, Range], quantize: Quantize
) -> dict[str, ActivationScale]:
    """Return the scale of every quantized tensor, by its own name.

    Raises:
        ZoocError: Z0416, a range is missing.
    """
    symmetrical = quantize.activations == "symmetric"
    missing = [name for sources in placement.sources.values() for name in sources if name not in ranges]
    if missing:
        raise ZoocError(
            error(
                "Z0416",
                f'the calibration has no range for "{missing[0]}" ({len(missing)} missing)',
                hint="calibrate again: the ranges come from another network or other `keep` patterns",
            )
        )
    by_root = {}
    for root, sources in placement.sources.items():
        limits = min(ranges[s][0] for s in sources), max(ranges[s][1] for s in sources)
        if rules_of(quantize).signed:
            by_root[root] = signed_scale(limits)
        else:
            by_root[root] = activation_scale(symmetric(limits) if symmetrical else limits)
    fixed = dict.fromkeys(placement.pixels, PIXEL_SCALE)
    by_root |= fixed
    return {name: by_root[root] for name, root in placement.quantized.items()} | fixed


class _Writer:
    """Puts the pairs into a graph, in place."""

    def __init__(
        self,
        graph: Graph,
        placement: Placement,
        scales: Mapping[str, ActivationScale],
        weights: Mapping[str, QuantizedWeight],
    ) -> None:
        self._graph = graph
        self._placement = placement
        self._scales = scales
        self._weights = weights
        self._nodes: list[Node] = []
        self._constants: dict[str, Constant] = {}
        self._dequantized: dict[str, Variable] = {}
        self._in_levels = {
            name
            for name, tensor in graph.tensors().items()
            if name in placement.quantized and placement.ends_in_levels(tensor)
        }

    def write(self) -> None:
        """Replace the graph's nodes by the quantized ones."""
        for tensor in self._graph.inputs:
            if tensor.name in self._placement.quantized:
                self._quantize(tensor, tensor.name)
        for node in self._graph.nodes:
            plan = self._placement.nodes[node.name]
            result = node.outputs[0]
            if node.op == "Cast" and result.name in self._placement.pixels:
                (source,) = node.inputs
                node.inputs.clear()
                node.outputs.clear()
                self._dequantize(source, result, PIXEL_SCALE, node.name)
                continue
            of_input = self._scales.get(node.inputs[0].name) if node.inputs else None
            self._redirect(node, integer=plan.int8)
            if node.name in self._weights and of_input is not None:
                self._integer_weights(node, self._weights[node.name], of_input)
            elif plan.int8:
                self._integer_scalars(node)
            self._nodes.append(node)
            for position, tensor in enumerate(list(node.outputs)):
                if tensor.name in self._placement.quantized:
                    self._quantize_output(node, position, tensor)
        self._graph.nodes = self._nodes

    def _redirect(self, node: Node, *, integer: bool) -> None:
        """Let a node read the dequantized tensors where it has to."""
        levels = {tensor.name for tensor in operands(node)} if integer else set()
        for position, tensor in enumerate(node.inputs):
            wanted = tensor.name in levels or tensor.name in self._in_levels
            if wanted and tensor.name in self._placement.quantized:
                node.inputs[position] = self._dequantized_of(tensor.name)

    def _quantize_output(self, node: Node, position: int, tensor: Tensor) -> None:
        if not is_output(self._graph, tensor) or tensor.name not in self._in_levels:
            self._quantize(tensor, tensor.name)
            return
        # The graph's result is the dequantized tensor under its own name.
        exact = Variable(f"{tensor.name}/float")
        node.outputs[position] = exact
        self._quantize(exact, tensor.name, result=tensor)
        if tensor.outputs or tensor.name in self._dequantized:
            self._add("Identity", "", [tensor], self._dequantized_of(tensor.name))

    def _quantize(self, source: Tensor, name: str, result: Tensor | None = None) -> None:
        scale = self._scales[name]
        levels = Variable(f"{name}/quantized")
        self._add("QuantizeLinear", f"{name}/QuantizeLinear", [source, *self._scale_of(name, scale)], levels)
        self._dequantize(levels, self._dequantized_of(name) if result is None else result, scale, name)

    def _dequantize(self, source: Tensor, result: Tensor, scale: ActivationScale, name: str) -> None:
        inputs = [source, *self._scale_of(name, scale)]
        self._add("DequantizeLinear", f"{name}/DequantizeLinear", inputs, result)

    def _dequantized_of(self, name: str) -> Variable:
        return self._dequantized.setdefault(name, Variable(f"{name}/dequantized"))

    def _scale_of(self, name: str, scale: ActivationScale) -> tuple[Constant, Constant]:
        root = self._placement.quantized.get(name, name)
        return (
            self._store(f"{root}/scale", np.asarray(scale.scale, np.float32)),
            self._store(f"{root}/zero_point", np.asarray(scale.zero_point, np.uint8)),
        )

    def _store(self, name: str, values: npt.NDArray[np.generic]) -> Constant:
        if name not in self._constants:
            self._constants[name] = Constant(name, values)
        return self._constants[name]

    def _add(self, op: str, name: str, inputs: list[Tensor], result: Tensor, **attributes: Any) -> None:
        self._nodes.append(Node(op, name, attributes, inputs, [result]))

    def _integer_scalars(self, node: Node) -> None:
        """A scalar constant is one level: exact whatever its value."""
        for position, tensor in enumerate(node.inputs):
            value = values_of(tensor) if node.op in ("Add", "Mul") else None
            if value is None:
                continue
            number = float(value.reshape(-1)[0])
            scale = ActivationScale(np.float32(abs(number) or 1.0), 1 if number < 0 else 0)
            if tensor.name not in self._dequantized:
                level = np.full(value.shape, 0 if number <= 0 else 1, np.uint8)
                stored = self._store(f"{tensor.name}/quantized", level)
                self._dequantize(stored, self._dequantized_of(tensor.name), scale, tensor.name)
            node.inputs[position] = self._dequantized_of(tensor.name)

    def _integer_weights(self, node: Node, weight: QuantizedWeight, of_input: ActivationScale) -> None:
        name = node.name
        inputs = [node.inputs[0], self._integers(f"{name}/weight", weight.values, weight.scale, weight.axis)]
        if weight.bias is not None:
            scale = bias_scale(weight.scale, of_input.scale)
            inputs.append(self._integers(f"{name}/bias", weight.bias, scale, 0 if scale.ndim else None))
        else:
            inputs += node.inputs[2:]
        node.inputs = inputs
        if node.op == "Gemm":  # they are in the integers now
            node.attrs.pop("alpha", None)
            node.attrs.pop("beta", None)

    def _integers(
        self,
        name: str,
        values: npt.NDArray[np.int8] | npt.NDArray[np.int32],
        scale: npt.NDArray[np.float32],
        axis: int | None,
    ) -> Variable:
        inputs = [
            self._store(f"{name}_quantized", values),
            self._store(f"{name}_scale", scale),
            self._store(f"{name}_zero_point", np.zeros(scale.shape, values.dtype)),
        ]
        options = {} if axis is None else {"axis": axis}
        result = Variable(f"{name}_dequantized")
        self._add("DequantizeLinear", f"{name}/DequantizeLinear", inputs, result, **options)
        return result
