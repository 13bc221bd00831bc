"""The integer weights and biases of a body's layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.finite import damaged_weights
from zooc.ir.graph import Graph, Node, values_of
from zooc.quantization.mask_channel import compensate_mask_channel, mask_channel
from zooc.quantization.placement import Placement
from zooc.quantization.saturation import accumulation_order
from zooc.quantization.scales import (
    ActivationScale,
    QuantizedWeight,
    bias_scale,
    least_scale_for_bias,
    quantize_weight,
)
from zooc.quantization.targets import rules_of

__all__ = ["check_weights", "quantize_layer", "quantize_weights", "requantize_bias"]


def check_weights(graph: Graph) -> None:
    """Check that the stored weights are numbers.

    Raises:
        ZoocError: Z0414, one for every tensor that holds what it must not.
    """
    hint = "check the weights file; training may have diverged"
    if problems := [error("Z0414", message, hint=hint) for message in damaged_weights(graph)]:
        raise ZoocError(*problems)


def quantize_weights(
    graph: Graph, placement: Placement, scales: Mapping[str, ActivationScale], quantize: Quantize
) -> dict[str, QuantizedWeight]:
    """Return the weights and biases of all layers that compute in int8, by the layer's name."""
    return {
        node.name: quantize_layer(node, scales[node.inputs[0].name], quantize)
        for node in graph.nodes
        if placement.nodes[node.name].int8 and placement.nodes[node.name].role == "compute"
    }


def quantize_layer(node: Node, input_scale: ActivationScale, quantize: Quantize) -> QuantizedWeight:
    """Return the weights and the bias of a Conv, Gemm or MatMul in integers."""
    weight = values_of(node.inputs[1])
    assert weight is not None
    axis = _channel_axis(node)
    bias = _bias(node, weight.shape[axis])
    if node.op == "Gemm":
        weight = (weight * np.float32(node.attrs.get("alpha", 1.0))).astype(np.float32)
    order = partial(accumulation_order, op=node.op, transposed=node.attrs.get("transB", 0))
    quantized = quantize_weight(
        weight,
        bias,
        axis,
        input_scale.scale,
        per_channel=quantize.weights == "per_channel" and (node.op == "Conv" or rules_of(quantize).channels),
        clip=quantize.clip,
        pairs=order if quantize.saturates else None,
    )
    if bias is not None and (channel := mask_channel(node)) is not None:
        bias = compensate_mask_channel(weight, quantized, bias, channel)
        levels = np.rint(bias / bias_scale(quantized.scale, input_scale.scale).astype(np.float64))
        quantized = replace(quantized, bias=levels.astype(np.int32))
    return quantized


def requantize_bias(
    node: Node, quantized: QuantizedWeight, before: ActivationScale, now: ActivationScale
) -> QuantizedWeight | None:
    """Return a layer's integers for another scale of its input; `None` if its weights may change, too.

    They do where the bias decides a channel's scale, now or before.
    """
    if quantized.bias is None:
        return quantized
    bias = _bias(node, len(quantized.bias))
    assert bias is not None
    smallest = least_scale_for_bias(bias, min(before.scale, now.scale))
    if mask_channel(node) is not None or not np.all(smallest < 0.999 * quantized.scale):
        return None
    scale = bias_scale(quantized.scale, now.scale).astype(np.float64)
    return replace(quantized, bias=np.rint(bias / scale).astype(np.int32))


def _bias(node: Node, channels: int) -> npt.NDArray[np.float64] | None:
    if node.op == "MatMul":
        return None
    stored = values_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if stored is None:
        return None if node.op == "Gemm" else np.zeros(channels)
    beta = node.attrs.get("beta", 1.0) if node.op == "Gemm" else 1.0
    return np.array(np.broadcast_to(stored.reshape(-1).astype(np.float64) * beta, (channels,)))


def _channel_axis(node: Node) -> int:
    if node.op == "Conv":
        return 0
    return 0 if node.op == "Gemm" and node.attrs.get("transB", 0) else 1
