"""A quantized body in the form that its target takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zooc.deployment import Quantize
from zooc.ir.graph import Constant, Graph, Node, Tensor, Variable, read_graph, values_of, write_graph
from zooc.quantization.layers import Quantized
from zooc.quantization.scales import MIDDLE
from zooc.quantization.targets import rules_of

__all__ = ["for_target"]


def for_target(quantized: Quantized, quantize: Quantize) -> Quantized:
    """Return an int8 body in the form that its target takes; it computes the same.

    A signed target's levels are those of uint8 less 128: `128` is the zero point of every activation
    (`scales.signed_scale`). A bias is the float that its integers stand for.
    """
    rules = rules_of(quantize)
    if not (rules.signed or rules.float_pad):
        return quantized
    graph = read_graph(quantized.model)
    layers = quantized.layers
    if rules.float_pad:
        _pad_in_float(graph)
    if rules.signed:
        _sign(graph)
        layers = tuple(
            layer if layer.zero_point is None else replace(layer, zero_point=layer.zero_point - MIDDLE)
            for layer in layers
        )
    return replace(quantized, model=write_graph(graph), layers=layers)


def _sign(graph: Graph) -> None:
    """Make uint8 levels int8, and int32 biases float."""
    for node in list(graph.nodes):
        if node.op not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        data, zero = values_of(node.inputs[0]), values_of(node.inputs[2])
        assert zero is not None, "the quantizer writes zero points"
        if data is not None and data.dtype == np.int32:
            scale = values_of(node.inputs[1])
            (result,) = node.outputs
            _replace(result, Constant(result.name, (data * scale).astype(np.float32)))
            node.outputs.clear()
            graph.nodes.remove(node)
        elif zero.dtype == np.uint8:
            if data is not None:  # a scalar, which is one level from zero
                level = np.asarray(data.astype(np.int8) - zero.astype(np.int8))
                node.inputs[0] = Constant(f"{node.inputs[0].name}/signed", level)
            node.inputs[2] = Constant(f"{node.inputs[2].name}/signed", np.zeros(zero.shape, np.int8))


def _pad_in_float(graph: Graph) -> None:
    """Exchange a Pad of the pixels and the Cast or DequantizeLinear behind it."""
    for pad in list(graph.nodes):
        if pad.op != "Pad" or pad.inputs[0] not in graph.inputs:
            continue
        padded = pad.outputs[0]
        (to_float,) = padded.outputs
        result = to_float.outputs[0]
        source, value = pad.inputs[0], values_of(pad.inputs[2])
        assert value is not None
        unpadded = Variable(f"{pad.name}/unpadded")
        to_float.inputs[0], to_float.outputs = source, [unpadded]
        pad.inputs[0] = unpadded
        pad.inputs[2] = Constant(f"{pad.inputs[2].name}/float", value.astype(np.float32))
        pad.outputs = [result]
        graph.nodes.remove(to_float)
        graph.nodes.insert(graph.nodes.index(pad), to_float)
        if to_float.op == "DequantizeLinear":
            _quantize_again(graph, pad, to_float.inputs[1:])


def _quantize_again(graph: Graph, pad: Node, scale: list[Tensor]) -> None:
    """Levels behind the Pad, of the scale before it."""
    result = pad.outputs[0]
    levels, exact = Variable(f"{pad.name}/quantized"), Variable(f"{pad.name}/padded")
    pad.outputs = [exact]
    again = [
        Node("QuantizeLinear", f"{pad.name}/QuantizeLinear", {}, [exact, *scale], [levels]),
        Node("DequantizeLinear", f"{pad.name}/DequantizeLinear", {}, [levels, *scale], [result]),
    ]
    at = graph.nodes.index(pad) + 1
    graph.nodes[at:at] = again


def _replace(old: Tensor, new: Tensor) -> None:
    for reader in list(old.outputs):
        for position, tensor in enumerate(list(reader.inputs)):
            if tensor is old:
                reader.inputs[position] = new
