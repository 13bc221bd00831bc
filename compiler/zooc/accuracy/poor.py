"""Whether int8 is poor: what is wrong, which layers make most of the noise, and what could be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.accuracy.integer_graph import IntegerGraph
from zooc.accuracy.layer_statistics import compare_layers
from zooc.accuracy.sensitivity import measure_sensitivity
from zooc.deployment import Bar, Quantize
from zooc.diagnostics.diagnostic import Diagnostic, error, warning
from zooc.ir.count import count_macs
from zooc.verification.agreement import Agreement
from zooc_runtime.package.heads import Head, decisions_of

__all__ = ["Poor", "below_bar", "flat_share", "flat_warning", "noisiest_layers", "remedies"]

_SUSPECTS = 12
_MACS = 2e11
"""At least so many layers are run alone, and as many more as this many multiply-accumulates allow: those
first whose own rounding leaves least of their channels."""

_NAMED = 3
_FLAT = 0.02
"""Share of the logits' variation that depends on the image, below which they count as flat."""

_MANY_IMAGES = 20
"""From which on images of a single class are remarkable."""

_FEW_IMAGES = 8
"""Below which nothing is said of how logits vary."""

Batch = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Poor:
    """Why int8 is called poor.

    Attributes:
        reasons: what is below the bar, in words.
        layers: the layers that alone cost the logits most, with the SQNR of each, in decibels.
        remedies: what the description does not try yet.
    """

    reasons: tuple[str, ...]
    layers: tuple[tuple[str, float], ...]
    remedies: tuple[str, ...]

    def to_diagnostic(self, quantize: Quantize, *, strict: bool) -> Diagnostic:
        """Return the warning Z0486, or the error where `strict`."""
        notes = [f"{name} alone leaves {db:.1f} dB of the logits" for name, db in self.layers]
        hint = f"try {', or '.join(self.remedies)}; `warn none` silences this"
        make = error if strict else warning
        message = f"int8 is poor: {' and '.join(self.reasons)}"
        return make("Z0486", message, quantize.span, notes=tuple(notes), hint=hint)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for manifests and `--format json`."""
        return {
            "reasons": list(self.reasons),
            "layers": [{"name": name, "sqnr_db": round(min(db, 999.0), 2)} for name, db in self.layers],
            "remedies": list(self.remedies),
        }


def below_bar(agreement: Agreement, bar: Bar | None) -> tuple[str, ...]:
    """Return what of int8 is below the bar, in words; nothing without a bar."""
    if bar is None:
        return ()
    found = []
    if agreement.top1 is not None and agreement.top1 < bar.agreement:
        asked = f"{100 * bar.agreement:g}% asked for"
        found.append(f"it says the same as float on {agreement.top1:.1%} of the images ({asked})")
    if agreement.sqnr_db < bar.sqnr_db:
        found.append(f"its logits have {agreement.sqnr_db:.1f} dB ({bar.sqnr_db:g} asked for)")
    return tuple(found)


def remedies(quantize: Quantize, images: int) -> tuple[str, ...]:
    """Return statements that may help and that the description does not have."""
    method = quantize.calibrate
    found = []
    if method.name != "auto" or method.effort != "high":
        found.append("`calibrate auto(effort=high)`")
        if "reconstruction" not in quantize.corrections:
            found.append("`corrections [equalization, bias, reconstruction]`")
    if not quantize.keep_auto and not quantize.require:
        found.append("`keep fp32 auto`")
    if images < 50:
        found.append(f"more calibration images than {images}")
    return (*found, "`quantize fp16`")


def noisiest_layers(
    reference: onnx.ModelProto,
    quantized: onnx.ModelProto,
    batches: Sequence[Batch],
    heads: tuple[Head, ...],
) -> tuple[tuple[str, float], ...]:
    """Return the layers that alone cost the logits most, worst first, with the SQNR that each leaves, in dB.

    Args:
        reference: the float body.
        quantized: its QDQ form.
        batches: a few images.
        heads: what the logits mean.
    """
    graph = IntegerGraph(quantized)
    layers = [layer for layer in graph.layers if layer.int8]
    statistics, _, _ = compare_layers(reference, graph, layers, batches[:1], heads=heads)
    by_rounding = sorted(zip(statistics, layers, strict=True), key=lambda pair: pair[0].channel_sqnr_db)
    affordable = _MACS / max(count_macs(reference) * sum(map(len, batches)), 1)
    suspects = [layer for _, layer in by_rounding[: max(_SUSPECTS, int(affordable))]]
    found = measure_sensitivity(reference, graph, suspects, batches, heads=heads)
    worst = sorted(found, key=lambda one: one.agreement.sqnr_db)[:_NAMED]
    return tuple((one.layer.name, one.agreement.sqnr_db) for one in worst)


def flat_share(logits: npt.NDArray[Any]) -> float | None:
    """Return which share of the logits' variation depends on the image, from 0 to 1.

    Args:
        logits: of the float network, `[images, classes]`.

    Returns:
        The variance of each class over images, summed, over that of all values; `None` of too few images.
    """
    if len(logits) < _FEW_IMAGES or logits.shape[1] < 2:
        return None
    values = logits.astype(np.float64)
    everything = np.square(values - values.mean()).sum()
    return float(np.square(values - values.mean(axis=0)).sum() / everything) if everything > 0 else 0.0


def flat_warning(quantize: Quantize, logits: npt.NDArray[Any], heads: tuple[Head, ...]) -> Diagnostic | None:
    """Return the warning Z0487 where float's logits hardly depend on the image, or say the same of all."""
    share = flat_share(logits)
    if share is None or quantize.warn is None:
        return None
    hint = "calibrate on images like those to come; `warn none` silences this"
    if share < _FLAT:
        message = f"float's logits hardly depend on the image ({share:.1%} of their variation)"
        note = "the images may be unlike those that the network was trained on"
        return warning("Z0487", message, quantize.span, notes=(note,), hint=hint)
    decisions = decisions_of(heads, logits)
    if len(logits) >= _MANY_IMAGES and decisions.shape[1] and (decisions == decisions[0]).all():
        message = f"float says the same of all {len(logits)} images"
        note = "their agreement tells little: int8 would have to be very poor to say anything else"
        return warning("Z0487", message, quantize.span, notes=(note,), hint=hint)
    return None
