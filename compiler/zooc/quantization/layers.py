"""What quantization did, node by node: the plain data that reports are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import onnx

from zooc.calibration.ranges import Range
from zooc.ir.graph import FLOAT, UINT8, Graph, Node, element_type
from zooc.quantization.placement import BETWEEN_FLOATS, Placement
from zooc.quantization.scales import ActivationScale, QuantizedWeight

__all__ = ["FloatKind", "KeptRanges", "LayerRecord", "Quantized", "describe_layers"]


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One node of the body.

    Attributes:
        name: the node's name.
        op: its operator.
        dtype: what it computes in; `fp16`: its weights are stored so. An activation that is folded into its
            predecessor counts as that one does.
        reason: why it is float; otherwise `None`.
        low, high: the observed and clipped range of its result, `None` if that is not quantized.
        scale, zero_point: of its result.
        weight_scale: smallest and largest scale of its channels, `None` without int8 weights.
        tensor: the float tensor whose levels its result has, `None` if that is not quantized.
    """

    name: str
    op: str
    dtype: Literal["int8", "fp16", "float"]
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    scale: float | None = None
    zero_point: int | None = None
    weight_scale: tuple[float, float] | None = None
    tensor: str | None = None


@dataclass(frozen=True, slots=True)
class FloatKind:
    """Nodes of one operator that stay in float for one reason."""

    op: str
    count: int
    reason: str

    @property
    def between(self) -> bool:
        """Tell whether they could be integer, but stand between others that are not."""
        return self.reason == BETWEEN_FLOATS


@dataclass(frozen=True, slots=True)
class KeptRanges:
    """How many tensors have the scale that the source's file gives them: computed ones, and stored ones."""

    activations: int
    weights: int

    def in_words(self) -> str:
        """Return one line for summary and report."""
        return f"ranges kept from the source: {self.activations} activations, {self.weights} stored tensors"


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized body and one record a node, in the graph's order.

    `kept` is what the source's own quantization gave, `None` where the compiler quantized.
    """

    model: onnx.ModelProto
    layers: tuple[LayerRecord, ...]
    kept: KeptRanges | None = None

    @property
    def in_float(self) -> frozenset[str]:
        """Names of the nodes that compute in float32."""
        return frozenset(layer.name for layer in self.layers if layer.dtype == "float")

    def layer_counts(self) -> dict[str, int]:
        """Return how many nodes compute in each data type."""
        return dict(Counter(layer.dtype for layer in self.layers))

    def summary(self) -> dict[str, Any]:
        """Return what became of the nodes, as plain data."""
        kinds = [{"op": kind.op, "count": kind.count, "reason": kind.reason} for kind in self.float_kinds()]
        kept = {} if self.kept is None else {"ranges_kept": asdict(self.kept)}
        return {"layers": self.layer_counts(), "float": kinds, **kept}

    def float_kinds(self) -> list[FloatKind]:
        """Return what stays in float, by frequency; last what could be integer, but for its neighbours."""
        counts = Counter((x.op, x.reason) for x in self.layers if x.dtype == "float" and x.reason)
        kinds = [FloatKind(op, count, reason or "") for (op, reason), count in counts.most_common()]
        return sorted(kinds, key=lambda kind: kind.between)


def describe_layers(
    graph: Graph,
    placement: Placement,
    ranges: Mapping[str, Range],
    scales: Mapping[str, ActivationScale],
    weights: Mapping[str, QuantizedWeight],
) -> tuple[LayerRecord, ...]:
    """Return a record of every node that computes on pixels or activations, not on shapes."""

    def describe(node: Node) -> LayerRecord:
        plan = placement.nodes[node.name]
        decisive = plan if plan.fused_into is None else placement.nodes[plan.fused_into.name]
        int8 = decisive.int8 or node.outputs[0].name in placement.pixels or plan.role == "integer"
        record = LayerRecord(node.name, node.op, "int8" if int8 else "float", None if int8 else plan.reason)
        if (weight := weights.get(node.name)) is not None:
            record = replace(record, weight_scale=(float(weight.scale.min()), float(weight.scale.max())))
        result = placement.results(node)[0].name
        if (scale := scales.get(result)) is None:
            return record
        sources = placement.sources.get(placement.quantized.get(result, result), ())
        low = min((ranges[s][0] for s in sources), default=0.0)
        high = max((ranges[s][1] for s in sources), default=255.0)
        tensor = result if result in sources else next(iter(sources), None)
        return replace(
            record,
            low=low,
            high=high,
            scale=float(scale.scale),
            zero_point=scale.zero_point,
            tensor=tensor,
        )

    return tuple(describe(node) for node in graph.nodes if element_type(node.outputs[0]) in (0, FLOAT, UINT8))
