"""What quantization did, node by node: the plain data that reports are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import onnx

from zooc.calibration.ranges import Range
from zooc.ir.body_graph import BodyGraph
from zooc.quantization.placement import BETWEEN_FLOATS, Placement, results
from zooc.quantization.scales import ActivationScale, QuantizedWeight

__all__ = ["FloatKind", "LayerDescriber", "LayerRecord", "Quantized"]


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


@dataclass(frozen=True, slots=True)
class FloatKind:
    """Nodes of one operator that stay in float for one reason."""

    op: str
    count: int
    reason: str

    @property
    def between(self) -> bool:
        """Whether they could be integer, but stand between others that are not."""
        return self.reason == BETWEEN_FLOATS


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized body and one record a node, in the graph's order."""

    model: onnx.ModelProto
    layers: tuple[LayerRecord, ...]

    def float_kinds(self) -> list[FloatKind]:
        """What stays in float: first what has no integer form, then what stands between, by frequency."""
        counts = Counter((x.op, x.reason) for x in self.layers if x.dtype == "float" and x.reason)
        kinds = [FloatKind(op, count, reason or "") for (op, reason), count in counts.most_common()]
        return sorted(kinds, key=lambda kind: kind.between)


@dataclass(frozen=True, slots=True)
class LayerDescriber:
    """Makes a node's record from what placement and writing decided."""

    graph: BodyGraph
    placement: Placement
    ranges: Mapping[str, Range]
    scales: Mapping[str, ActivationScale]
    weights: Mapping[int, QuantizedWeight]

    def __call__(self, index: int) -> LayerRecord:
        """The record of the node at `index`."""
        node, plan = self.graph.nodes[index], self.placement.nodes[index]
        decisive = plan if plan.fused_into is None else self.placement.nodes[plan.fused_into]
        int8 = decisive.int8 or node.output[0] in self.placement.pixels or plan.role == "integer"
        name = self.graph.name(index)
        record = LayerRecord(name, node.op_type, "int8" if int8 else "float", None if int8 else plan.reason)
        if (weight := self.weights.get(index)) is not None:
            record = replace(record, weight_scale=(float(weight.scale.min()), float(weight.scale.max())))
        result = results(self.graph, self.placement.nodes, index)[0]
        if (scale := self.scales.get(result)) is None:
            return record
        sources = self.placement.sources.get(self.placement.quantized.get(result, result), ())
        low = min((self.ranges[s][0] for s in sources), default=0.0)
        high = max((self.ranges[s][1] for s in sources), default=255.0)
        return replace(record, low=low, high=high, scale=float(scale.scale), zero_point=scale.zero_point)
