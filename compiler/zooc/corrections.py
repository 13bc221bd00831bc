"""The driver's part of the corrections: which images they are measured on, and when they are applied."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from zooc.calibration import pixel_batches
from zooc.deployment import Quantize
from zooc.diagnostics import warning
from zooc.quantize import Quantized, correct_biases

if TYPE_CHECKING:
    from zooc.driver import Compilation

__all__ = ["IMAGES", "correct"]

IMAGES = 16
"""More change the logits' SQNR by a tenth of a decibel."""


def correct(c: Compilation, quantize: Quantize, quantized: Quantized) -> None:
    """Applies the corrections that need images to an int8 body, in place."""
    if "bias" not in quantize.corrections or not _have_images(c):
        return
    assert c.correction_batches is not None
    with c.progress.track("correcting biases", sum(map(len, c.correction_batches))) as advance:
        correct_biases(c.prepared_body, quantized.model, c.correction_batches, advance)


def _have_images(c: Compilation) -> bool:
    """Fills `c.correction_batches`, once; False, with a warning, if there is no usable image (`--ranges`)."""
    if c.correction_batches is None:
        c.correction_batches = []
        if c.images is not None and c.prelude is not None:
            step = max(len(c.images.paths) // IMAGES, 1)  # sorted by name: the first could be of one class
            few = replace(c.images, paths=c.images.paths[::step][:IMAGES], skipped={}, warnings=[])
            c.correction_batches = list(pixel_batches(c.prelude, few, c.network.batch or 1))
        if not c.correction_batches:
            message = "there are no calibration images at hand: the biases are not corrected"
            hint = "compile where the images are, or write `corrections [equalization]`"
            c.warnings.append(warning("Z0481", message, c.deployment.quantize.span, hint=hint))
    return bool(c.correction_batches)
