"""One row a layer: what `zooc analyze` shows and sorts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx

from zooc.accuracy.integer_graph import COMPUTE, Layer, StoredWeight
from zooc.accuracy.layer_statistics import LayerStatistics, decibels
from zooc.accuracy.sensitivity import LayerSensitivity
from zooc.ir.graph import read_graph, values_of

__all__ = ["SORT_KEYS", "LayerRow", "analysis_rows", "sort_rows"]

SORT_KEYS = ("logits", "sqnr", "channels", "cosine", "saturated", "weights", "order")
"""What rows can be sorted by, worst first; `order` is the network's own."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What is known of one layer; `None` where it does not apply.

    Attributes:
        name, module, op: the node, and the source network's module.
        int8: whether it computes in integers.
        macs: its multiply-accumulates for one image.
        sqnr_db: of its result in the quantized network, errors of earlier layers included.
        channel_sqnr_db: the median over its result's channels of what rounding to its own levels leaves.
        cosine: of its result.
        low, high: what its result's levels reach from and to.
        observed_low, observed_high: float extremes on the images.
        saturated: share of float values beyond the levels.
        weight_sqnr_db: of its weights.
        worst_channel, worst_channel_sqnr_db: the output channel whose weights lose most.
        logits_sqnr_db, logits_top1: of the logits, when this layer alone is quantized.
    """

    name: str
    module: str
    op: str
    int8: bool
    macs: int
    sqnr_db: float
    channel_sqnr_db: float | None
    cosine: float
    low: float | None
    high: float | None
    observed_low: float
    observed_high: float
    saturated: float | None
    weight_sqnr_db: float | None
    worst_channel: int | None
    worst_channel_sqnr_db: float | None
    logits_sqnr_db: float | None
    logits_top1: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, rounded; infinities, which JSON lacks, as 999 and -999 dB."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def analysis_rows(
    layers: Sequence[Layer],
    statistics: Sequence[LayerStatistics],
    solo: Sequence[LayerSensitivity],
    macs: Mapping[str, int],
    reference: onnx.ModelProto | None,
) -> list[LayerRow]:
    """Join what was measured.

    Args:
        layers: in the network's order.
        statistics: one a layer.
        solo: of the layers that are in integers, in any order.
        macs: by node name.
        reference: the float body with the true weights, `None` if they are not known.
    """
    alone = {one.layer.name: one for one in solo}
    originals = _weights(reference) if reference is not None else {}
    rows = []
    for layer, found in zip(layers, statistics, strict=True):
        error, worst, worst_error = _weight_error(layer, originals.get(layer.name))
        sensitivity = alone.get(layer.name)
        rows.append(
            LayerRow(
                name=layer.name,
                module=layer.module,
                op=layer.op,
                int8=layer.int8,
                macs=macs.get(layer.name, 0),
                sqnr_db=found.sqnr_db,
                channel_sqnr_db=found.channel_sqnr_db if layer.output else None,
                cosine=found.cosine,
                low=layer.output.low if layer.output else None,
                high=layer.output.high if layer.output else None,
                observed_low=found.low,
                observed_high=found.high,
                saturated=found.saturated if layer.output else None,
                weight_sqnr_db=error,
                worst_channel=worst,
                worst_channel_sqnr_db=worst_error,
                logits_sqnr_db=sensitivity.agreement.sqnr_db if sensitivity else None,
                logits_top1=sensitivity.agreement.top1 if sensitivity else None,
            )
        )
    return rows


def sort_rows(rows: Sequence[LayerRow], key: str) -> list[LayerRow]:
    """Return the rows worst first by one of `SORT_KEYS`; those that lack the value go last."""
    values: dict[str, Callable[[LayerRow], float | None]] = {
        "logits": lambda row: row.logits_sqnr_db,
        "sqnr": lambda row: row.sqnr_db,
        "channels": lambda row: row.channel_sqnr_db,
        "cosine": lambda row: row.cosine,
        "saturated": lambda row: None if row.saturated is None else -row.saturated,
        "weights": lambda row: row.worst_channel_sqnr_db,
        "order": lambda _row: 0.0,
    }
    value = values[key]

    def order(row: LayerRow) -> tuple[bool, float]:
        found = value(row)
        return found is None, 0.0 if found is None else found

    return sorted(rows, key=order)


def _weights(reference: onnx.ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    return {
        node.name: weight
        for node in read_graph(reference).nodes
        if node.op in COMPUTE and (weight := values_of(node.inputs[1])) is not None
    }


def _weight_error(
    layer: Layer, original: np.ndarray[Any, Any] | None
) -> tuple[float | None, int | None, float | None]:
    """SQNR in dB of all weights; the worst output channel and its own."""
    if original is None or not layer.weights or layer.op not in COMPUTE:
        return None, None, None
    stored: StoredWeight = layer.weights[0]
    exact = original.astype(np.float64)
    if stored.values.shape != exact.shape:
        return None, None, None
    axis = stored.axis if stored.axis is not None else (0 if layer.op == "Conv" else exact.ndim - 1)
    others = tuple(a for a in range(exact.ndim) if a != axis)
    noise = np.square(stored.dequantized() - exact).sum(axis=others)
    signal = np.square(exact).sum(axis=others)
    channels = [
        decibels(float(s), float(n)) if s > 0 else math.inf for s, n in zip(signal, noise, strict=True)
    ]
    worst = int(np.argmin(channels))
    return decibels(float(signal.sum()), float(noise.sum())), worst, channels[worst]


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    if math.isinf(value):
        return math.copysign(999.0, value)
    return float(f"{value:.6g}")
