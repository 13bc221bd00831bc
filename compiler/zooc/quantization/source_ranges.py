"""A body that is quantized already, as it is: which tensors have scales, and which nodes stay in float."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from zooc.ir.graph import (
    FLOAT,
    UINT8,
    Constant,
    Graph,
    Node,
    Tensor,
    element_type,
    maker,
    only_reader,
    read_graph,
)
from zooc.ir.levels import Levels, levels_of, rounded_tensor
from zooc.quantization.layers import KeptRanges, LayerRecord, Quantized

__all__ = ["keep_ranges"]

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_CLAMPS = ("Clip", "Relu")

_UNSCALED = "it stands before the first scale of the source"
_FLOAT_INPUT = "the source does not quantize its input"
_FLOAT_WEIGHTS = "the source does not quantize its weights"
_FLOAT_RESULT = "the source does not quantize its result"


def keep_ranges(body: onnx.ModelProto) -> Quantized:
    """Return a body with QuantizeLinear and DequantizeLinear of its own, and a record of each other node."""
    graph = read_graph(body)
    reasons: dict[str, str | None] = {}
    records = []
    unscaled = {tensor.name for tensor in graph.inputs}
    for node in graph.nodes:
        if node.op in _PAIR or element_type(node.outputs[0]) not in (0, FLOAT, UINT8):
            continue
        computed = {tensor.name for tensor in node.inputs if not isinstance(tensor, Constant)}
        if unscaled.issuperset(computed - {""}):
            unscaled.update(tensor.name for tensor in node.outputs)
            reasons[node.name] = _UNSCALED
        else:
            reasons[node.name] = _why_float(graph, node, reasons)
        records.append(_describe(graph, node, reasons[node.name]))
    return Quantized(body, tuple(records), _count(graph))


def _why_float(graph: Graph, node: Node, before: dict[str, str | None]) -> str | None:
    """Why a node computes in float, `None` if on levels."""
    clamped = maker(node.inputs[0]) if node.op in _CLAMPS and node.inputs else None
    if clamped is not None and clamped.op not in _PAIR:
        return before.get(clamped.name)
    read = [tensor for tensor in node.inputs if not tensor.is_empty()]
    layer = node.op in _LAYERS
    operands = read[:2] if layer else [tensor for tensor in read if not isinstance(tensor, Constant)]
    for position, tensor in enumerate(operands):
        if maker(tensor, "DequantizeLinear") is None:
            return _FLOAT_WEIGHTS if layer and position else _FLOAT_INPUT
    if layer or not operands:
        return None
    return None if _is_quantized(graph, node.outputs[0]) else _FLOAT_RESULT


def _is_quantized(graph: Graph, tensor: Tensor) -> bool:
    """Whether a result, behind its clamp, goes to a QuantizeLinear."""
    return _rounding(graph, tensor) is not None


def _rounding(graph: Graph, tensor: Tensor) -> Node | None:
    reader = only_reader(graph, tensor)
    if reader is not None and reader.op in _CLAMPS:
        tensor = reader.outputs[0]
    return next((node for node in tensor.outputs if node.op == "QuantizeLinear"), None)


def _describe(graph: Graph, node: Node, reason: str | None) -> LayerRecord:
    record = LayerRecord(node.name, node.op, "int8" if reason is None else "float", reason)
    if reason is None and node.op in _LAYERS and (weights := _levels(maker(node.inputs[1]))) is not None:
        record = replace(record, weight_scale=(float(weights.scale.min()), float(weights.scale.max())))
    result = _levels(_rounding(graph, node.outputs[0]))
    if result is None or result.scale.ndim:
        return record
    low, high = result.limits
    return replace(
        record, low=low, high=high, scale=float(result.scale), zero_point=int(np.asarray(result.zero_point))
    )


def _levels(node: Node | None) -> Levels | None:
    return None if node is None else levels_of(node)


def _count(graph: Graph) -> KeptRanges:
    """How many computed tensors and how many stored ones have a scale of the source's."""
    rounded, stored = set[str](), set[str]()
    for node in graph.nodes:
        if node.op != "DequantizeLinear":
            continue
        if isinstance(node.inputs[0], Constant):
            stored.add(node.inputs[0].name)
        elif (pair := rounded_tensor(node)) is not None:
            rounded.add(pair[0].outputs[0].name)
    return KeptRanges(len(rounded), len(stored))
