"""`calibrate auto`: candidates, images and budget for the search of ranges, and its place in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy.typing as npt
import onnx

from zooc.accuracy.search.candidates import METHODS, candidate_ranges
from zooc.accuracy.search.effort import EFFORTS
from zooc.accuracy.search.output_noise import HeldBack, OutputNoise, hold_back, is_less
from zooc.accuracy.search.search import SearchResult, search_ranges
from zooc.accuracy.search.trials import Trials
from zooc.calibration.activations import ActivationReader
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.images import CalibrationImages, pixel_batches
from zooc.calibration.run import calibration_identity
from zooc.deployment import Correction, Quantize
from zooc.diagnostics.diagnostic import Diagnostic, warning
from zooc.ir.count import count_macs
from zooc.ir.interface import input_of
from zooc.ir.session import open_session
from zooc.pipeline.context import Context
from zooc.quantization.corrections.apply import CORRECTED, can_reconstruct
from zooc.quantization.corrections.bias import BiasCorrection
from zooc.quantization.requantize import Requantizer
from zooc.support.cache import key
from zooc.support.kept import KeptTrials

__all__ = ["another_correction", "find_ranges", "is_no_worse", "without_images"]

_VERSION = 2
"""Part of the cache key: raised when the same ranges would be tried otherwise."""

_COMPARED = 128
"""Images on which two int8 bodies are compared."""

_FEWEST_JUDGES = 32

Batches = Sequence[npt.NDArray[Any]]


def find_ranges(
    body: onnx.ModelProto,
    histograms: ActivationHistograms,
    quantize: Quantize,
    prelude: onnx.ModelProto,
    images: CalibrationImages,
    correction_batches: Batches,
    open_reader: Callable[[], ActivationReader],
    context: Context,
) -> SearchResult:
    """Search the ranges with which the int8 network's output is closest to float's.

    What was tried is kept in the cache, every five seconds and when interrupted: the same command continues
    there, and a finished search is not run again.

    Args:
        body: float32, prepared for int8.
        histograms: of its observed tensors.
        quantize: with `calibrate auto`.
        prelude: makes pixels of images.
        images: those of calibration.
        correction_batches: on which biases are corrected.
        open_reader: opens `body` for that.
        context: cache, progress and warnings.
    """
    budget = EFFORTS[quantize.calibrate.effort]
    size = input_of(body).batch or 1
    macs = count_macs(body, size) // size
    count = budget.images_for(macs)
    parts = hold_back(list(pixel_batches(prelude, images.sample(count), size)))
    if not parts.apart:
        context.warn([_too_few(quantize, parts)])
    candidates = candidate_ranges(body, histograms)
    requantize = Requantizer(body, candidates["max"], quantize)
    correction = None
    if "bias" in quantize.corrections and correction_batches:
        correction = BiasCorrection(body, requantize.template, correction_batches, open_reader)
    settings = [quantize.weights, quantize.clip, quantize.activations, quantize.target, quantize.keep]
    if quantize.placed:
        settings.append(quantize.placed)
    corrections, identity = list(quantize.corrections), calibration_identity(body, prelude, None, images)
    kept = KeptTrials(
        context.cache,
        "searches",
        key(_VERSION, asdict(identity), images.fingerprint(), settings, corrections, count),
    )
    trials = Trials(body, parts, requantize, correction, list(candidates.values()), kept.load())
    limit = budget.trials_for(macs, sum(map(len, parts.search)))
    try:
        with context.progress.track("searching ranges", 2 * len(METHODS) + limit) as advance:

            def on_trial(count: int) -> None:
                advance(count)
                kept.save(trials.done)

            result = search_ranges(trials, candidates, requantize.groups, limit, parts, on_trial)
    except KeyboardInterrupt:
        kept.save(trials.done, now=True)
        context.progress.note("the search is kept; the same command continues from there")
        raise
    kept.save(trials.done, now=True)
    context.progress.note(result.in_words())
    return result


def another_correction(quantize: Quantize, macs: int, images: int) -> Correction | None:
    """Return the correction that `auto` may add, `None` where none.

    Args:
        quantize: with `calibrate auto`.
        macs: the network's, of an image: rounding takes a minute for large ones.
        images: those of calibration.
    """
    budget, given = EFFORTS[quantize.calibrate.effort], quantize.corrections
    if "bias" not in given or "reconstruction" in given:
        return None
    if budget.reconstruction and can_reconstruct(images):
        return "reconstruction"
    return "rounding" if "rounding" not in given and macs <= budget.rounding_macs else None


def is_no_worse(
    body: onnx.ModelProto,
    first: onnx.ModelProto,
    second: onnx.ModelProto,
    images: CalibrationImages,
    prelude: onnx.ModelProto,
) -> bool:
    """Tell whether the second int8 body may take the place of the first, because it has no more noise.

    It is asked once, of something that helps most networks: the second body is refused only if its noise is
    more by more than chance. Images on which it was corrected do not answer, if there are enough others.
    """
    size = input_of(body).batch or 1
    others = images.without(images.sample(CORRECTED))
    judges = others if len(others.paths) >= _FEWEST_JUDGES else images
    batches = tuple(pixel_batches(prelude, judges.sample(_COMPARED), size))
    output = OutputNoise(body, HeldBack(batches, batches))
    before, after = (output.of(open_session(model, threads=1), "held") for model in (first, second))
    return not is_less(before, after)


def without_images(quantize: Quantize) -> Diagnostic:
    """Return the warning that `auto` has no images to run the network on (`--ranges`)."""
    return warning(
        "Z0478",
        "there are no calibration images: `auto` chooses ranges by each tensor's own error",
        quantize.calibrate.span or quantize.span,
        hint="compile where the images are, or give a table that `zooc compile --save-ranges` wrote",
    )


def _too_few(quantize: Quantize, parts: HeldBack) -> Diagnostic:
    count = sum(map(len, parts.search))
    return warning(
        "Z0479",
        f"ranges are searched on {count} different image{'s' * (count != 1)}, none of which is held back",
        quantize.calibrate.span or quantize.span,
        hint="give `data` at least eight different images: half of them check what the others show",
    )
