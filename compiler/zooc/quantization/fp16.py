"""Weights in half precision: half the file, the arithmetic stays float32."""

from __future__ import annotations

import numpy as np
import onnx

from zooc.deployment import Quantize
from zooc.ir.graph import FLOAT, Constant, Node, Tensor, read_graph, values_of, write_graph
from zooc.quantization.float_patterns import kept_nodes
from zooc.quantization.layers import LayerRecord, Quantized

__all__ = ["to_fp16"]

_LARGEST_ERROR = 2.0**-10
"""Relative, of a whole tensor. Rounding alone gives less than 2 ** -11; more: small values vanished."""

_OPERATORS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Gather"}


def to_fp16(body: onnx.ModelProto, quantize: Quantize) -> Quantized:
    """Store weights as float16 behind a Cast to float32.

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
    graph = read_graph(body)
    kept = kept_nodes([node.name for node in graph.nodes], quantize)
    weights = {id(t): t for node in graph.nodes for t in node.inputs if _is_weight(t)}.values()
    refusals = {tensor.name: _refusal(tensor, kept) for tensor in weights}
    layers = tuple(_record(node, refusals) for node in graph.nodes)
    casts = []
    for tensor in weights:
        if refusals[tensor.name] is None:
            half = Constant(f"{tensor.name}/fp16", tensor.values.astype(np.float16))
            tensor.to_variable(np.float32, half.shape)
            casts.append(Node("Cast", f"{tensor.name}/Cast", {"to": FLOAT}, [half], [tensor]))
    graph.nodes[:0] = casts
    return Quantized(write_graph(graph), layers)


def _is_weight(tensor: Tensor) -> bool:
    return (
        isinstance(tensor, Constant)
        and tensor.dtype == np.float32
        and any(node.op in _OPERATORS for node in tensor.outputs)
    )


def _refusal(tensor: Constant, kept: dict[str, str]) -> str | None:
    for reader in tensor.outputs:
        if (pattern := kept.get(reader.name)) is not None:
            return f'kept by "{pattern}"'
    values = values_of(tensor)
    assert values is not None
    exact = values.astype(np.float64)
    if exact.size and float(np.abs(exact).max()) > float(np.finfo(np.float16).max):
        return "a value exceeds 65504, float16's largest"
    error = float(np.linalg.norm(values.astype(np.float16).astype(np.float64) - exact))
    if error > _LARGEST_ERROR * float(np.linalg.norm(exact)):
        return "its values are too small for float16"
    return None


def _record(node: Node, refusals: dict[str, str | None]) -> LayerRecord:
    weights = [tensor.name for tensor in node.inputs if tensor.name in refusals]
    if any(refusals[name] is None for name in weights):
        return LayerRecord(node.name, node.op, "fp16")
    reason = next((r for name in weights if (r := refusals[name]) is not None), "it has no weights")
    return LayerRecord(node.name, node.op, "float", reason)
