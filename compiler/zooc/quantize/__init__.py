"""Calibration, ranges and quantization of a float32 body."""

from __future__ import annotations

from zooc.quantize.calibrate import calibrate, no_images
from zooc.quantize.compare import Agreement, compare_logits
from zooc.quantize.correct_bias import bias_inputs, correct_biases
from zooc.quantize.equalize import equalize
from zooc.quantize.fit_ranges import fit_ranges, require_tensors
from zooc.quantize.fp16 import to_fp16
from zooc.quantize.inspect_optimized import FloatLayer, Optimized, float_convolutions, inspect_optimized
from zooc.quantize.observer import Observer
from zooc.quantize.placement import tensors_to_observe
from zooc.quantize.prepare import prepare_body
from zooc.quantize.qdq import quantize_body
from zooc.quantize.ranges import Ranges, choose_ranges
from zooc.quantize.records import LayerRecord, Quantized
from zooc.quantize.round_weights import round_weights
from zooc.quantize.saturation import saturation_json
from zooc.quantize.sketches import NotFiniteError, Sketches
from zooc.quantize.table import format_table, parse_table, table_places
from zooc.quantize.workers import Item, Run, Tally, stream

__all__ = [
    "Agreement",
    "FloatLayer",
    "Item",
    "LayerRecord",
    "NotFiniteError",
    "Observer",
    "Optimized",
    "Quantized",
    "Ranges",
    "Run",
    "Sketches",
    "Tally",
    "bias_inputs",
    "calibrate",
    "choose_ranges",
    "compare_logits",
    "correct_biases",
    "equalize",
    "fit_ranges",
    "float_convolutions",
    "format_table",
    "inspect_optimized",
    "no_images",
    "parse_table",
    "prepare_body",
    "quantize_body",
    "require_tensors",
    "round_weights",
    "saturation_json",
    "stream",
    "table_places",
    "tensors_to_observe",
    "to_fp16",
]
