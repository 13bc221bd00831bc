"""What quantization did, node by node: the plain data that reports are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx

__all__ = ["LayerRecord", "Quantized"]


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One node of the body.

    Attributes:
        name: the node's name.
        op: its operator.
        dtype: what it computes in. An activation that is folded into its predecessor counts as that one does.
        reason: why it is float; `None` for int8.
        low, high: the observed and clipped range of its result, `None` if that is not quantized.
        scale, zero_point: of its result.
        weight_scale: smallest and largest scale of its channels, `None` without int8 weights.
    """

    name: str
    op: str
    dtype: Literal["int8", "float"]
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    scale: float | None = None
    zero_point: int | None = None
    weight_scale: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized body and one record a node, in the graph's order."""

    model: onnx.ModelProto
    layers: tuple[LayerRecord, ...]
