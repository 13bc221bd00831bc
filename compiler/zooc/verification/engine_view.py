"""What an engine makes of a quantized model: which operators ended up in integers, which did not, and why."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort

from zooc.ir.graph import FLOAT, Constant, Graph, Node, element_type, maker, read_graph
from zooc.ir.names import STAGE_PREFIXES
from zooc.quantization.layers import LayerRecord

__all__ = ["FloatLayer", "Optimized", "float_convolutions", "inspect_optimized"]

_WEIGHTED = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
_INTEGER = {"QGemm", "QLinearConv", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger", "MatMulInteger"}
_CONVERSIONS = {"QuantizeLinear", "DequantizeLinear", "Cast"}


@dataclass(frozen=True, slots=True)
class FloatLayer:
    """A convolution, Gemm or MatMul that the engine computes in float."""

    name: str
    op: str
    reason: str


@dataclass(frozen=True, slots=True)
class Optimized:
    """A body before and after ONNX Runtime's graph optimizations.

    Attributes:
        before, after: operator to count.
        integer, floating, conversions: nodes after optimization that compute on integers, on floats, and that
            convert between the two; what depends on sizes alone is none of these.
        float_operators: the floating nodes' operators, most frequent first.
        float_layers: see `float_convolutions`.
    """

    before: dict[str, int]
    after: dict[str, int]
    integer: int
    floating: int
    conversions: int
    float_operators: dict[str, int]
    float_layers: tuple[FloatLayer, ...]


def float_convolutions(model: bytes, layers: Sequence[LayerRecord] = ()) -> list[FloatLayer]:
    """Return the convolutions, Gemms and MatMuls that ONNX Runtime does not compute in integers, and why.

    Args:
        model: a serialized QDQ model, a body alone or assembled with its other stages.
        layers: the quantizer's records; they know the reasons best.
    """
    return list(inspect_optimized(model, layers).float_layers)


def inspect_optimized(model: bytes, layers: Sequence[LayerRecord] = ()) -> Optimized:
    """Optimize a model as ONNX Runtime does when it loads it, and look at the result; see `Optimized`."""
    original, optimized = read_graph(onnx.load_from_string(model)), read_graph(_optimize(model))
    reasons = {record.name: record.reason for record in layers if record.dtype == "float" and record.reason}
    ours = [node for node in optimized.nodes if not node.name.startswith(STAGE_PREFIXES)]
    kinds = _kinds(optimized)
    sources = {node.name: node for node in original.nodes}
    count = Counter(kinds[node.name] for node in ours)
    floating = (node.op for node in ours if kinds[node.name] == "float")
    return Optimized(
        before=_histogram(node for node in original.nodes if not node.name.startswith(STAGE_PREFIXES)),
        after=_histogram(ours),
        integer=count["integer"],
        floating=count["float"],
        conversions=count["conversion"],
        float_operators=dict(Counter(floating).most_common()),
        float_layers=tuple(_float_layer(node, sources, reasons) for node in ours if node.op in _WEIGHTED),
    )


def _optimize(model: bytes) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = os.fspath(path)
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return onnx.load(os.fspath(path))


def _histogram(nodes: Iterable[Node]) -> dict[str, int]:
    return dict(sorted(Counter(node.op for node in nodes).items()))


def _kinds(graph: Graph) -> dict[str, str]:
    """`integer`, `float`, `conversion` or `size` for each node, by following types along the graph."""
    levels = {tensor.name for tensor in graph.inputs if element_type(tensor) != FLOAT}
    kinds: dict[str, str] = {}
    sizes = set[str]()
    for node in graph.nodes:
        computed = [t.name for t in node.inputs if not (t.is_empty() or isinstance(t, Constant))]
        results = [tensor.name for tensor in node.outputs]
        if node.op == "Shape" or (computed and sizes.issuperset(computed)):
            kinds[node.name] = "size"
            sizes.update(results)
            continue
        first = next((name for name in computed if name not in sizes), "")
        integer = node.op.startswith("QLinear") or node.op in _INTEGER
        if node.op in _CONVERSIONS:
            kinds[node.name] = "conversion"
            integer = node.op == "QuantizeLinear"
        else:
            ends_in_float = node.op == "MatMulIntegerToFloat" or (node.op == "QGemm" and len(node.inputs) < 9)
            kinds[node.name] = "integer" if integer or first in levels else "float"
            integer = (integer or first in levels) and not ends_in_float
        if integer:
            levels.update(results)
    return kinds


def _float_layer(node: Node, sources: Mapping[str, Node], reasons: Mapping[str, str]) -> FloatLayer:
    name = re.sub(r"(_token_\d+|_nchwc|/\w+Fusion/?)+$", "", node.name)
    reason = reasons.get(name) or (_structural_reason(sources[name]) if name in sources else "")
    return FloatLayer(name, node.op, reason or "the engine did not fuse it; it left no reason")


def _structural_reason(node: Node) -> str:
    for tensor, what in zip(node.inputs, ("its input is", "its weights are"), strict=False):
        if maker(tensor, "DequantizeLinear") is None:
            return f"{what} not quantized"
    for reader in node.outputs[0].outputs:
        if reader.op != "QuantizeLinear":
            return f"its result is read in float by {reader.name}"
    return ""
