"""The driver's part of the corrections: which images they are measured on, and when they are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zooc.calibration.images import pixel_batches
from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import warning
from zooc.quantization.corrections.adaptive_rounding import round_weights
from zooc.quantization.corrections.bias import correct_biases
from zooc.quantization.layers import Quantized

if TYPE_CHECKING:
    from zooc.pipeline.compile import Compilation

__all__ = ["IMAGES", "correct"]

IMAGES = {"bias": 8, "rounding": 64}
"""More change the logits' SQNR by less than two tenths of a decibel."""


def correct(c: Compilation, quantize: Quantize, quantized: Quantized) -> None:
    """Applies the corrections that need images to an int8 body, in place."""
    asked_for = [str(name) for name in quantize.corrections if name in IMAGES]
    if not asked_for or not _have_images(c, asked_for):
        return
    body, batches = c.prepared_body, c.correction_batches
    assert batches is not None
    if "rounding" in asked_for:
        layers = sum(layer.weight_scale is not None for layer in quantized.layers)
        with c.progress.track("rounding weights", layers) as advance:
            bounded = quantize.target != "vnni"
            round_weights(body, quantized.model, batches, bounded=bounded, on_layer=advance)
    if "bias" in asked_for:
        with c.progress.track("correcting biases", sum(map(len, batches))) as advance:
            correct_biases(body, quantized.model, batches, advance, c.observer())


def _have_images(c: Compilation, asked_for: list[str]) -> bool:
    """Fills `c.correction_batches`, once; False, with a warning, if there is no usable image (`--ranges`)."""
    if c.correction_batches is None:
        c.correction_batches = []
        if c.images is not None and c.prelude is not None:
            count = max(IMAGES[name] for name in asked_for)
            few = c.images.sample(count)
            c.correction_batches = list(pixel_batches(c.prelude, few, c.network.batch or 1))
        if not c.correction_batches:
            left_out = " and ".join(f"`{name}`" for name in asked_for)
            message = f"there are no calibration images at hand: left out {left_out} of `corrections`"
            hint = "compile where the images are, or write `corrections [equalization]`"
            c.warnings.append(warning("Z0481", message, c.deployment.quantize.span, hint=hint))
    return bool(c.correction_batches)
