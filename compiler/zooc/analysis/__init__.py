"""Where int8 loses: a quantized body against its float reference, layer by layer."""

from __future__ import annotations

from zooc.analysis.integer_graph import ActivationPair, IntegerGraph, Layer, StoredWeight
from zooc.analysis.layers import LayerStatistics, compare_layers
from zooc.analysis.rows import SORT_KEYS, LayerRow, analysis_rows, sort_rows
from zooc.analysis.solo import SoloHarm, measure_solo, quantize_alone
from zooc.analysis.strip import strip_rounding

__all__ = [
    "SORT_KEYS",
    "ActivationPair",
    "IntegerGraph",
    "Layer",
    "LayerRow",
    "LayerStatistics",
    "SoloHarm",
    "StoredWeight",
    "analysis_rows",
    "compare_layers",
    "measure_solo",
    "quantize_alone",
    "sort_rows",
    "strip_rounding",
]
