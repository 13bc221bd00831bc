"""What an engine makes of a quantized model: which operators ended up in integers, which did not, and why."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort

from zooc.ir.body_graph import BodyGraph
from zooc.quantization.layers import LayerRecord

__all__ = ["FloatLayer", "Optimized", "float_convolutions", "inspect_optimized"]

_WEIGHTED = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
_INTEGER = {"QGemm", "QLinearConv", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger", "MatMulInteger"}
_CONVERSIONS = {"QuantizeLinear", "DequantizeLinear", "Cast"}
_OTHER_STAGES = ("prelude/", "postlude/")


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
    """Every convolution, Gemm and MatMul of the body that ONNX Runtime does not compute in integers, and why.

    Args:
        model: a serialized QDQ model, a body alone or assembled with its other stages.
        layers: the quantizer's records; they know the reasons best.
    """
    return list(inspect_optimized(model, layers).float_layers)


def inspect_optimized(model: bytes, layers: Sequence[LayerRecord] = ()) -> Optimized:
    """Optimizes a model as ONNX Runtime does when it loads it, and looks at the result; see `Optimized`."""
    original = BodyGraph(onnx.load_from_string(model))
    optimized = BodyGraph(_optimize(model))
    reasons = {record.name: record.reason for record in layers if record.dtype == "float" and record.reason}
    ours = [i for i in range(len(optimized.nodes)) if not optimized.name(i).startswith(_OTHER_STAGES)]
    kinds = _kinds(optimized)
    found = tuple(
        _float_layer(original, optimized, i, reasons) for i in ours if _is_float_layer(optimized, i)
    )
    count = Counter(kinds[i] for i in ours)
    return Optimized(
        before=_histogram(
            original, [i for i, n in enumerate(original.nodes) if not n.name.startswith(_OTHER_STAGES)]
        ),
        after=_histogram(optimized, ours),
        integer=count["integer"],
        floating=count["float"],
        conversions=count["conversion"],
        float_operators=dict(
            Counter(optimized.nodes[i].op_type for i in ours if kinds[i] == "float").most_common()
        ),
        float_layers=found,
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


def _histogram(graph: BodyGraph, indices: Sequence[int]) -> dict[str, int]:
    return dict(sorted(Counter(graph.nodes[i].op_type for i in indices).items()))


def _is_float_layer(graph: BodyGraph, index: int) -> bool:
    return graph.nodes[index].op_type in _WEIGHTED


def _kinds(graph: BodyGraph) -> list[str]:
    """`integer`, `float`, `conversion` or `size` for each node, by following types along the graph."""
    levels = {
        name
        for name, value in graph.inputs.items()
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT
    }
    kinds, sizes = [], set[str]()
    for node in graph.nodes:
        computed = [name for name in node.input if name and not graph.is_constant(name)]
        if node.op_type == "Shape" or (computed and sizes.issuperset(computed)):
            kinds.append("size")
            sizes.update(node.output)
            continue
        first = next((name for name in computed if name not in sizes), "")
        integer = node.op_type.startswith("QLinear") or node.op_type in _INTEGER
        if node.op_type in _CONVERSIONS:
            kinds.append("conversion")
            integer = node.op_type == "QuantizeLinear"
        else:
            ends_in_float = node.op_type == "MatMulIntegerToFloat" or (
                node.op_type == "QGemm" and len(node.input) < 9
            )
            kinds.append("integer" if integer or first in levels else "float")
            integer = (integer or first in levels) and not ends_in_float
        if integer:
            levels.update(node.output)
    return kinds


def _float_layer(
    original: BodyGraph, optimized: BodyGraph, index: int, reasons: dict[str, str]
) -> FloatLayer:
    node = optimized.nodes[index]
    name = re.sub(r"(_token_\d+|_nchwc|/\w+Fusion/?)+$", "", optimized.name(index))
    source = {original.name(i): i for i in range(len(original.nodes))}.get(name)
    reason = reasons.get(name) or ("" if source is None else _structural_reason(original, source))
    return FloatLayer(name, node.op_type, reason or "the engine did not fuse it; it left no reason")


def _structural_reason(graph: BodyGraph, index: int) -> str:
    node = graph.nodes[index]
    for position, what in ((0, "its input is"), (1, "its weights are")):
        maker = graph.producer.get(node.input[position])
        if maker is None or graph.nodes[maker].op_type != "DequantizeLinear":
            return f"{what} not quantized"
    for reader in graph.consumers[node.output[0]]:
        if graph.nodes[reader].op_type != "QuantizeLinear":
            return f"its result is read in float by {graph.name(reader)}"
    return ""
