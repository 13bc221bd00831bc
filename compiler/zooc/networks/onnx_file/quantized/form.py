"""A quantized file in the compiler's form: float operators between QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import onnx

from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.ir.graph import Graph, Node, infer_shapes, quiet_graphsurgeon, read_graph, values_of, write_graph
from zooc.ir.rewriter import Refusals, Rule, apply_rule
from zooc.networks.onnx_file.quantized.constants import PAIR, check_pairs
from zooc.networks.onnx_file.quantized.elementwise import (
    float_activation,
    float_average_pool,
    float_concat,
    float_global_pool,
    float_sum_or_product,
)
from zooc.networks.onnx_file.quantized.layers import float_conv, float_gemm, float_matmul
from zooc.networks.onnx_file.quantized.pass_on import hand_on_floats

__all__ = ["RULES", "as_pairs", "is_integer_operator"]

RULES: tuple[Rule, ...] = (
    float_conv,
    float_matmul,
    float_gemm,
    float_sum_or_product,
    float_activation,
    float_global_pool,
    float_average_pool,
    float_concat,
)
"""One for each kind of integer operator; the scales stay as they are."""

_DYNAMIC = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
    }
)
"""Operators of dynamic quantization: the scales of activations are computed for each image."""


def is_integer_operator(op: str) -> bool:
    """Tell whether an operator's name says that it computes with levels, or makes them."""
    return op in PAIR or op in _DYNAMIC or op == "QGemm" or op.startswith("QLinear")


def as_pairs(model: onnx.ModelProto, file: str, span: Span | None) -> onnx.ModelProto:
    """Return a quantized network with its integer operators in float, between pairs that have their scales.

    Raises:
        ZoocError: Z0216, it is quantized dynamically; Z0228, an integer operator or a type of integers that
            zooc does not know; Z0485, a scale or zero point that is none.
    """
    graph = read_graph(model)
    _refuse_dynamic(graph, file, span)
    _store_scales(graph)
    refusals: Refusals = {}
    for rule in RULES:
        apply_rule(graph, rule, refusals)
    _refuse_unknown(graph, refusals, file, span)
    infer_shapes(graph)
    check_pairs(graph, file, span)
    apply_rule(graph, hand_on_floats)
    graph.cleanup(remove_unused_node_outputs=False, remove_unused_graph_inputs=False).toposort()
    return write_graph(graph)


def _store_scales(graph: Graph) -> None:
    """Evaluate scales that are computed from constants, as by the Cast of an exporter."""
    pairs = (node for node in graph.nodes if is_integer_operator(node.op))
    scales = [tensor for node in pairs for tensor in node.inputs[1:3]]
    if any(values_of(tensor) is None and not tensor.is_empty() for tensor in scales):
        with quiet_graphsurgeon():
            graph.fold_constants(error_ok=True)


def _refuse_dynamic(graph: Graph, file: str, span: Span | None) -> None:
    found = [node for node in graph.nodes if node.op in _DYNAMIC]
    if found:
        raise ZoocError(
            error(
                "Z0216",
                f"{file} is quantized dynamically: {found[0].op} {found[0].name} works with scales that are "
                "computed for each image",
                span,
                hint="quantize it statically, or give the float32 network and a `quantize int8` block",
            )
        )


def _refuse_unknown(graph: Graph, refusals: Refusals, file: str, span: Span | None) -> None:
    reasons = {name: reason for found in refusals.values() for name, reason in found.items()}
    problems = [
        error(
            "Z0228",
            f"{file} has the integer operator {node.op} {node.name}, which zooc does not take"
            + (f": {reasons[node.name]}" if node.name in reasons else ""),
            span,
            hint="quantize to QDQ (QuantizeLinear and DequantizeLinear), or give the float32 network",
        )
        for node in graph.nodes
        if _is_unknown(node)
    ]
    if problems:
        raise ZoocError(*problems)


def _is_unknown(node: Node) -> bool:
    return node.op not in PAIR and is_integer_operator(node.op)
