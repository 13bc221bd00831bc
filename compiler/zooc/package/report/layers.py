"""What the report knows of each layer: type, range, how much rounding leaves, and its histogram in short."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zooc.accuracy.contract.revert_layers import ContractResult
from zooc.accuracy.poor import Poor
from zooc.calibration.histogram import ActivationHistograms, Histogram
from zooc.calibration.mse import estimated_sqnr_db
from zooc.quantization.layers import LayerRecord

__all__ = ["DIGITS", "known_alone", "layer_entries", "short_histogram"]

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""A bar's height from 0 to 63, one character each."""

_BARS = 64
_MOST_DB = 999.0


def layer_entries(
    layers: Sequence[LayerRecord],
    histograms: ActivationHistograms | None,
    alone: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Return plain data of each layer in network order; what is not known is left out.

    `db` is what rounding to its own levels leaves of its result, estimated from the histogram; of several
    nodes that have the levels of one tensor only the first has it. `alone` is what is left of the logits when
    it alone is quantized.

    Args:
        layers: the quantizer's records.
        histograms: of the calibration, `None` where ranges were given as such.
        alone: by name, in dB, as far as it was measured.
    """
    seen: set[str] = set()
    entries = []
    for layer in layers:
        entry: dict[str, Any] = {"name": layer.name, "op": layer.op, "dtype": layer.dtype}
        if layer.reason:
            entry["note"] = layer.reason
        if layer.low is not None and layer.high is not None and layer.scale is not None:
            entry |= {"low": _short(layer.low), "high": _short(layer.high), "scale": _short(layer.scale)}
            entry["zero_point"] = layer.zero_point
        tensor = layer.tensor
        if histograms is not None and tensor in histograms and tensor not in seen:
            assert tensor is not None and layer.scale is not None and layer.zero_point is not None
            seen.add(tensor)
            entry |= _observed(histograms[tensor], layer.scale, layer.zero_point)
        if layer.name in alone:
            entry["alone"] = _decibels(alone[layer.name])
        entries.append(entry)
    return entries


def known_alone(contract: ContractResult | None, poor: Poor | None) -> dict[str, float]:
    """Return of which layers a compile has measured what each alone leaves of the logits, in dB."""
    found = dict(poor.layers) if poor is not None else {}
    return found | ({one.name: one.sqnr_db for one in contract.returned} if contract is not None else {})


def short_histogram(histogram: Histogram) -> str:
    """Return 64 bars from the lowest to the highest value seen, a character of `DIGITS` each.

    The heights are logarithms of the counts: beside the zeros of a ReLU nothing else would show.
    """
    edges = histogram.edges
    middles = (edges[:-1] + edges[1:]) / 2
    span = histogram.high - histogram.low
    if span <= 0:
        return DIGITS[-1]
    place = np.clip((middles - histogram.low) * (_BARS / span), 0, _BARS - 1).astype(np.intp)
    counts = np.bincount(place, weights=histogram.counts.astype(np.float64), minlength=_BARS)
    heights = np.rint(np.log1p(counts) * ((len(DIGITS) - 1) / np.log1p(counts.max()))).astype(int)
    return "".join(DIGITS[height] for height in heights.tolist())


def _observed(histogram: Histogram, scale: float, zero_point: int) -> dict[str, Any]:
    if not histogram.seen:
        return {}
    found: dict[str, Any] = {
        "seen_low": _short(histogram.low),
        "seen_high": _short(histogram.high),
        "histogram": short_histogram(histogram),
    }
    db = estimated_sqnr_db(histogram, scale, zero_point)
    return found if db is None else found | {"db": _decibels(db)}


def _decibels(value: float) -> float:
    """One decimal; infinities, which JSON lacks, as 999 and -999."""
    return round(max(min(value, _MOST_DB), -_MOST_DB), 1)


def _short(value: float) -> float:
    return float(f"{value:.5g}") if math.isfinite(value) else 0.0
