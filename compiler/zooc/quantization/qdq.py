"""Writes a placement into the graph as QuantizeLinear and DequantizeLinear pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from zooc.calibration.ranges import Range, symmetric
from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.body_graph import BodyGraph, attribute
from zooc.ir.large_weights import without_large_weights
from zooc.quantization.layers import LayerDescriber, Quantized
from zooc.quantization.mask_channel import compensate_mask_channel, mask_channel
from zooc.quantization.placement import NodePlan, Placement, operands, place
from zooc.quantization.saturation import walk
from zooc.quantization.scales import (
    ActivationScale,
    QuantizedWeight,
    activation_scale,
    bias_scale,
    quantize_weight,
)

__all__ = ["quantize_body"]

PIXEL_SCALE = ActivationScale(np.float32(1.0), 0)


def quantize_body(body: onnx.ModelProto, ranges: Mapping[str, Range], quantize: Quantize) -> Quantized:
    """The body as a QDQ model: uint8 activations, int8 weights, int32 biases.

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
    graph = BodyGraph(body)
    _check_weights(graph)
    placement = place(graph, quantize)
    scales = _scales(placement, ranges, symmetrical=quantize.activations == "symmetric")
    writer = _Writer(graph, placement, scales, quantize)
    model = writer.write()
    describe = LayerDescriber(graph, placement, ranges, scales, writer.weights)
    return Quantized(model, tuple(describe(index) for index in placement.reported))


def _check_weights(graph: BodyGraph) -> None:
    problems = []
    for tensor in graph.model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        bad = int((~np.isfinite(numpy_helper.to_array(tensor))).sum())
        if bad:
            readers = [graph.name(i) for i in graph.consumers[tensor.name]]
            used = f", used by {readers[0]}," if readers else ""
            message = f'the weight "{tensor.name}"{used} has {bad} values that are NaN or infinite'
            problems.append(
                error("Z0414", message, hint="check the weights file; training may have diverged")
            )
    if problems:
        raise ZoocError(*problems)


def _scales(
    placement: Placement, ranges: Mapping[str, Range], *, symmetrical: bool
) -> dict[str, ActivationScale]:
    """The scale of every quantized tensor, by its own name."""
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
        by_root[root] = activation_scale(symmetric(limits) if symmetrical else limits)
    fixed = dict.fromkeys(placement.pixels, PIXEL_SCALE)
    by_root |= fixed
    return {name: by_root[root] for name, root in placement.quantized.items()} | fixed


class _Writer:
    def __init__(
        self,
        graph: BodyGraph,
        placement: Placement,
        scales: dict[str, ActivationScale],
        quantize: Quantize,
    ) -> None:
        self.weights: dict[int, QuantizedWeight] = {}
        self._graph = graph
        self._placement = placement
        self._scales = scales
        self._quantize_as = quantize
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def write(self) -> onnx.ModelProto:
        model = without_large_weights(self._graph.model)
        for name in self._graph.inputs:
            if name in self._placement.quantized:
                self._quantize(name, name)
        for index, node in enumerate(model.graph.node):
            plan = self._placement.nodes[index]
            if node.op_type == "Cast" and node.output[0] in self._placement.pixels:
                self._dequantize(node.input[0], node.output[0], PIXEL_SCALE, self._graph.name(index))
                continue
            self._redirect(node, index, plan)
            if plan.int8 and plan.role == "compute":
                self._integer_weights(node, index)
            elif plan.int8:
                self._integer_scalars(node)
            self._nodes.append(node)
            for position, name in enumerate(node.output):
                if name in self._placement.quantized:
                    self._quantize_output(node, position, name)
        stored = [*self._graph.model.graph.initializer, *self._initializers.values()]
        _replace(model.graph, self._nodes, stored)
        return model

    def _reads_levels(self, tensor: str) -> bool:
        """Whether even float readers take the dequantized tensor, so that its maker can end in integers."""
        maker = self._graph.producer.get(tensor)
        if maker is None:
            return False
        plan = self._placement.nodes[maker]
        maker = maker if plan.fused_into is None else plan.fused_into
        return self._placement.nodes[maker].int8 and not self._placement.nodes[maker].float_output

    def _redirect(self, node: onnx.NodeProto, index: int, plan: NodePlan) -> None:
        levels = operands(self._graph, index) if plan.int8 else []
        for position, name in enumerate(node.input):
            if name in self._placement.quantized and (name in levels or self._reads_levels(name)):
                node.input[position] = f"{name}/dequantized"

    def _quantize_output(self, node: onnx.NodeProto, position: int, name: str) -> None:
        if name not in self._graph.outputs or not self._reads_levels(name):
            self._quantize(name, name)
            return
        node.output[position] = f"{name}/float"
        self._quantize(f"{name}/float", name)
        self._nodes[-1].output[0] = name
        if any(name in n.input for n in self._graph.nodes):
            self._nodes.append(helper.make_node("Identity", [name], [f"{name}/dequantized"]))

    def _quantize(self, source: str, name: str) -> None:
        scale = self._scales[name]
        inputs = [source, *self._scale_names(name, scale)]
        levels = f"{name}/quantized"
        node = helper.make_node("QuantizeLinear", inputs, [levels], name=f"{name}/QuantizeLinear")
        self._nodes.append(node)
        self._dequantize(levels, f"{name}/dequantized", scale, name)

    def _dequantize(self, source: str, result: str, scale: ActivationScale, name: str) -> None:
        inputs = [source, *self._scale_names(name, scale)]
        node = helper.make_node("DequantizeLinear", inputs, [result], name=f"{name}/DequantizeLinear")
        self._nodes.append(node)

    def _scale_names(self, name: str, scale: ActivationScale) -> tuple[str, str]:
        root = self._placement.quantized.get(name, name)
        return (
            self._store(f"{root}/scale", np.asarray(scale.scale, np.float32)),
            self._store(f"{root}/zero_point", np.asarray(scale.zero_point, np.uint8)),
        )

    def _store(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self._initializers.setdefault(name, numpy_helper.from_array(values, name))
        return name

    def _integer_scalars(self, node: onnx.NodeProto) -> None:
        """A scalar constant is one level: exact whatever its value."""
        for position, name in enumerate(node.input):
            if node.op_type not in ("Add", "Mul") or not self._graph.is_constant(name):
                continue
            value = self._graph.constant(name)
            assert value is not None
            number = float(value.reshape(-1)[0])
            scale = ActivationScale(np.float32(abs(number) or 1.0), 1 if number < 0 else 0)
            level = np.full(value.shape, 0 if number <= 0 else 1, np.uint8)
            stored = self._store(f"{name}/quantized", level)
            if f"{name}/dequantized" not in {n.output[0] for n in self._nodes}:
                self._dequantize(stored, f"{name}/dequantized", scale, name)
            node.input[position] = f"{name}/dequantized"

    def _integer_weights(self, node: onnx.NodeProto, index: int) -> None:
        graph, name = self._graph, self._graph.name(index)
        original = graph.nodes[index]
        weight = graph.constant(original.input[1])
        assert weight is not None
        axis = _channel_axis(original)
        bias = self._bias(original, weight, axis)
        if original.op_type == "Gemm":
            alpha = attribute(original, "alpha", 1.0)
            weight = (weight * np.float32(alpha)).astype(np.float32)
            kept = [a for a in node.attribute if a.name not in ("alpha", "beta")]
            del node.attribute[:]
            node.attribute.extend(kept)
        input_scale = self._scales[original.input[0]].scale
        order = partial(walk, op=original.op_type, transposed=attribute(original, "transB", 0))
        quantized = quantize_weight(
            weight,
            bias,
            axis,
            input_scale,
            per_channel=self._quantize_as.weights == "per_channel",
            clip=self._quantize_as.clip,
            pairs=None if self._quantize_as.target == "vnni" else order,
        )
        if bias is not None and (channel := mask_channel(graph, index)) is not None:
            bias = compensate_mask_channel(weight, quantized, bias, channel)
            integer = np.rint(bias / bias_scale(quantized.scale, input_scale).astype(np.float64))
            quantized = replace(quantized, bias=integer.astype(np.int32))
        self.weights[index] = quantized
        node.input[1] = self._stored_integers(
            f"{name}/weight", quantized.values, quantized.scale, quantized.axis
        )
        if quantized.bias is not None:
            scale = bias_scale(quantized.scale, input_scale)
            stored = self._stored_integers(f"{name}/bias", quantized.bias, scale, 0 if scale.ndim else None)
            del node.input[2:]
            node.input.append(stored)

    def _bias(
        self, node: onnx.NodeProto, weight: npt.NDArray[np.float32], axis: int
    ) -> npt.NDArray[np.float64] | None:
        channels = weight.shape[axis]
        if node.op_type == "MatMul":
            return None
        if len(node.input) < 3 or not node.input[2]:
            return None if node.op_type == "Gemm" else np.zeros(channels)
        values = self._graph.constant(node.input[2])
        assert values is not None
        beta = attribute(node, "beta", 1.0) if node.op_type == "Gemm" else 1.0
        return np.array(np.broadcast_to(values.reshape(-1).astype(np.float64) * beta, (channels,)))

    def _stored_integers(
        self,
        name: str,
        values: npt.NDArray[np.int8] | npt.NDArray[np.int32],
        scale: npt.NDArray[np.float32],
        axis: int | None,
    ) -> str:
        inputs = [
            self._store(f"{name}_quantized", values),
            self._store(f"{name}_scale", scale),
            self._store(f"{name}_zero_point", np.zeros(scale.shape, values.dtype)),
        ]
        options: dict[str, Any] = {} if axis is None else {"axis": axis}
        result = f"{name}_dequantized"
        self._nodes.append(
            helper.make_node("DequantizeLinear", inputs, [result], name=f"{name}/DequantizeLinear", **options)
        )
        return result


def _channel_axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and attribute(node, "transB", 0) else 1


def _replace(
    graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto], stored: Iterable[onnx.TensorProto]
) -> None:
    """Puts in the new nodes, and of the initializers those that are read; drops stale value infos."""
    used = {name for node in nodes for name in node.input} | {v.name for v in graph.output}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensor for tensor in stored if tensor.name in used)
