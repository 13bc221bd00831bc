"""The corrections that need images: which images they are measured on, and how they are applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
import onnx

from zooc.calibration.activations import ActivationReader
from zooc.calibration.images import CalibrationImages, pixel_batches
from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import Diagnostic, warning
from zooc.quantization.corrections.adaptive_rounding import round_weights
from zooc.quantization.corrections.bias import correct_biases
from zooc.quantization.corrections.reconstruction.reconstruct import (
    FEWEST_IMAGES,
    can_learn,
    reconstruct,
)
from zooc.quantization.layers import Quantized
from zooc.support.cache import Cache
from zooc.support.progress import Progress

__all__ = ["CORRECTED", "IMAGES", "can_reconstruct", "correct", "correction_batches", "left_out"]

IMAGES = {"bias": 8, "rounding": 64, "reconstruction": 64}
"""More change the logits' SQNR by less than two tenths of a decibel."""

CORRECTED = max(IMAGES.values())

Batches = Sequence[npt.NDArray[Any]]


def correction_batches(
    quantize: Quantize, images: CalibrationImages | None, prelude: onnx.ModelProto, size: int
) -> Batches:
    """Return the images that the corrections are measured on, in batches of `size`; none without images."""
    asked_for = _with_images(quantize)
    if images is None or not asked_for:
        return []
    few = images.sample(max(IMAGES[name] for name in asked_for))
    return list(pixel_batches(prelude, few, size))


def left_out(quantize: Quantize, batches: Batches) -> list[Diagnostic]:
    """Return the warnings that corrections were asked for, and cannot be had."""
    asked_for = _with_images(quantize)
    if asked_for and not batches:  # `--ranges`
        names = " and ".join(f"`{name}`" for name in asked_for)
        message = f"there are no calibration images: left out {names} of `corrections`"
        hint = "compile on a machine with the images, or write `corrections [equalization]`"
        return [warning("Z0481", message, quantize.span, hint=hint)]
    images = sum(map(len, batches))
    if "reconstruction" not in asked_for or can_reconstruct(images):
        return []
    note = "weights are rounded adaptively instead, as with `rounding`"
    if images < FEWEST_IMAGES:
        message = f"{images} calibration images are too few to learn from: left out `reconstruction`"
        hint = f"calibrate on {FEWEST_IMAGES} images or more"
    else:
        message = "torch cannot be imported: left out `reconstruction`"
        hint = "install it with `pip install torch`, or write `rounding` in its place"
    return [warning("Z0488", message, quantize.span, notes=(note,), hint=hint)]


def can_reconstruct(images: int) -> bool:
    """Tell whether `reconstruction` can be had: with so many images, and torch."""
    return images >= FEWEST_IMAGES and can_learn()


def correct(
    quantize: Quantize,
    quantized: Quantized,
    body: onnx.ModelProto,
    batches: Batches,
    open_reader: Callable[[], ActivationReader],
    progress: Progress,
    cache: Cache,
) -> None:
    """Apply the corrections that need images to an int8 body, in place.

    Args:
        quantize: what is asked for.
        quantized: the body in int8.
        body: the prepared float body that it was made of.
        batches: of `correction_batches`; without any nothing happens.
        open_reader: opens `body`, where biases are corrected.
        progress: told about all of it.
        cache: keeps what reconstruction learned.
    """
    asked_for = _with_images(quantize) if batches else []
    bounded = quantize.saturates
    if {"rounding", "reconstruction"} & set(asked_for):  # which begins where rounding ends
        layers = sum(layer.weight_scale is not None for layer in quantized.layers)
        with progress.track("rounding weights", layers) as advance:
            round_weights(body, quantized.model, batches, bounded=bounded, on_layer=advance)
    if "bias" in asked_for:
        with progress.track("correcting biases", sum(map(len, batches))) as advance:
            correct_biases(body, quantized.model, batches, advance, open_reader())
    if "reconstruction" in asked_for and can_reconstruct(sum(map(len, batches))):
        reconstruct(body, quantized.model, batches, cache, progress=progress, bounded=bounded)


def _with_images(quantize: Quantize) -> list[str]:
    return [str(name) for name in quantize.corrections if name in IMAGES]
