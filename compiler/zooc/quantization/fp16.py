"""Weights in half precision: half the file, the arithmetic stays float32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from zooc.deployment import Quantize
from zooc.ir.body_graph import BodyGraph
from zooc.quantization.float_patterns import kept_nodes
from zooc.quantization.layers import LayerRecord, Quantized

__all__ = ["to_fp16"]

_LARGEST_ERROR = 2.0**-10
"""Relative, of a whole tensor. Rounding alone gives less than 2 ** -11; more: small values vanished."""

_OPERATORS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Gather"}


def to_fp16(body: onnx.ModelProto, quantize: Quantize) -> Quantized:
    """Stores weights as float16 behind a Cast to float32.

    Engines fold the Cast when they load the model: CPUs have no half-precision convolutions worth having, so
    activations and arithmetic stay float32. A weight stays float32 if a node that reads it is kept, if a
    value exceeds float16's range (65504), or if so many values fall below its normal range (6e-5) that the
    tensor would change by more than 1/1024.

    Args:
        body: float32; not changed.
        quantize: of dtype fp16; only `keep` matters.

    Raises:
        ZoocError: Z0410, a `keep` pattern matches no node.
    """
    graph = BodyGraph(body)
    kept = kept_nodes([graph.name(i) for i in range(len(graph.nodes))], quantize)
    model = onnx.ModelProto()
    model.CopyFrom(body)
    refusals = {name: _refusal(graph, name, kept) for name in _weights(graph)}
    halved = [name for name, reason in refusals.items() if reason is None]
    for tensor in model.graph.initializer:
        if tensor.name in halved:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{tensor.name}/fp16"))
    casts = [
        helper.make_node("Cast", [f"{name}/fp16"], [name], name=f"{name}/Cast", to=onnx.TensorProto.FLOAT)
        for name in halved
    ]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return Quantized(model, tuple(_record(graph, index, refusals) for index in range(len(graph.nodes))))


def _weights(graph: BodyGraph) -> list[str]:
    return [
        tensor.name
        for tensor in graph.model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and any(graph.nodes[i].op_type in _OPERATORS for i in graph.consumers[tensor.name])
    ]


def _refusal(graph: BodyGraph, name: str, kept: dict[str, str]) -> str | None:
    for reader in graph.consumers[name]:
        if (pattern := kept.get(graph.name(reader))) is not None:
            return f'kept by "{pattern}"'
    values = graph.constant(name)
    assert values is not None
    exact = values.astype(np.float64)
    if exact.size and float(np.abs(exact).max()) > float(np.finfo(np.float16).max):
        return "a value exceeds 65504, float16's largest"
    error = float(np.linalg.norm(values.astype(np.float16).astype(np.float64) - exact))
    if error > _LARGEST_ERROR * float(np.linalg.norm(exact)):
        return "its values are too small for float16"
    return None


def _record(graph: BodyGraph, index: int, refusals: dict[str, str | None]) -> LayerRecord:
    node = graph.nodes[index]
    weights = [name for name in node.input if name in refusals]
    if any(refusals[name] is None for name in weights):
        return LayerRecord(graph.name(index), node.op_type, "fp16")
    reason = next((r for name in weights if (r := refusals[name]) is not None), "it has no weights")
    return LayerRecord(graph.name(index), node.op_type, "float", reason)
