"""The compiled graph, held against Pillow, its own stages, float, and other runtimes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from zooc.accuracy.contract.cost import over_float32
from zooc.accuracy.poor import Poor, below_bar, flat_warning, noisiest_layers, remedies
from zooc.calibration.images import CalibrationImages, pixel_batches, pixel_pairs
from zooc.compilation import Compilation, Request, Verified
from zooc.consumers.check import CONSUMERS, Consumption, check_consumer
from zooc.diagnostics.diagnostic import ZoocError, warning
from zooc.package.manifest import stage_boundaries
from zooc.pipeline.context import Context
from zooc.preprocessing.nv12 import as_image_input
from zooc.verification.decoding import DecodingDifference, measure_decoding, unmeasured
from zooc.verification.divergence import BodyComparison, compare_bodies
from zooc.verification.engine_view import float_convolutions
from zooc.verification.goldens import Golden, check_against_pillow, logits_tolerance, make_goldens, record
from zooc.verification.whole_graph import check_whole
from zooc_runtime.preprocessing.steps import Decode, decodes_scaled

__all__ = ["verify"]

_NOISE_IMAGES = 4
"""Calibration images on which layers are run alone, where int8 is poor."""

_DECODED_IMAGES = 256
"""Images at most that are decoded both ways, where the description says `Decode(scaled)`."""

_WHOLE_IMAGES = 8
"""Calibration images on which the whole graph is compared with its stages."""


def verify(compiled: Compilation, request: Request, context: Context) -> Verified:
    """Return the goldens, and what was found by comparing.

    Raises:
        ZoocError: Z0901, Z0902: the graph is wrong; Z0703 to Z0705: another runtime does not take it; Z0486:
            int8 is poor, where `request.strict`.
    """
    preprocess, prelude, body = compiled.deployment.preprocess, compiled.program.prelude, compiled.body
    with context.stage("check_result"):
        compared = 0
        if prelude is not None and preprocess is not None:
            compared = check_against_pillow(prelude, preprocess)
        goldens = make_goldens(prelude, body, compiled.program.postlude)
        first = (next(iter(golden.values.values())) for golden in goldens)
        check_whole(
            compiled.model,
            stage_boundaries(compiled),
            compiled.facts.batch,
            (*first, *_calibration_inputs(compiled)),
        )
        consumptions = _try_in_consumers(compiled, goldens, request, context)
        comparison = _compare_with_float(compiled, context)
        decoding = _compare_decoding(compiled, context)
        poor = None if comparison is None else _judge(compiled, comparison, context, strict=request.strict)
        _estimate_time(compiled, context)
        layers = compiled.quantized.layers if compiled.quantized else ()
        in_integers = comparison is not None or compiled.program.levels is not None
        in_float = float_convolutions(body.SerializeToString(), layers) if in_integers else ()
        speed = None
        if request.measure:
            from zooc.verification.speed import measure_speed

            speed = measure_speed(preprocess, compiled.program.body, body, prelude)
        verified = Verified(
            tuple(goldens), compared, tuple(consumptions), comparison, poor, tuple(in_float), speed, decoding
        )
        if comparison is not None:
            context.facts["agreement"] = verified.agreement_json()
            context.facts["poor"] = poor and poor.to_json()
        if consumptions:
            context.facts["consumers"] = [consumption.to_json() for consumption in consumptions]
    return verified


def _compare_with_float(compiled: Compilation, context: Context) -> BodyComparison | None:
    images, prelude = compiled.images, compiled.program.prelude
    if images is None or prelude is None:
        return None
    with context.progress.track("comparing with float", len(images.paths)) as advance:
        batches = pixel_pairs(prelude, images, compiled.facts.batch or 1)
        heads = compiled.program.heads
        return compare_bodies(compiled.program.body, compiled.body, batches, heads, advance)


def _estimate_time(compiled: Compilation, context: Context) -> None:
    """Say if int8 is estimated to be slower than float32, where nothing was measured."""
    int8, quantize = compiled.int8, compiled.deployment.quantize
    engines = compiled.deployment.package.engines
    if int8 is None or int8.placement is not None or compiled.speed is not None or quantize.warn is None:
        return
    if "onnxruntime" not in engines or quantize.target != "vnni" or compiled.quantized is None:
        return
    ratio = over_float32(compiled.program.body, int8.legalized.body, compiled.quantized.in_float)
    context.facts["estimated_over_float32"] = None if ratio is None else round(ratio, 3)
    if ratio is not None and ratio > 1:
        context.warn(
            [
                warning(
                    "Z0444",
                    f"in ONNX Runtime int8 is estimated to take {ratio:.2f} times as long as float32",
                    quantize.span,
                    hint="`zooc compile --measure` compares them; write `quantize fp32`, or let `zooc tune` "
                    "find what to leave in float; `warn none` silences this",
                )
            ]
        )


def _compare_decoding(compiled: Compilation, context: Context) -> DecodingDifference | None:
    """What `Decode(scaled)` changes, on calibration images or the contract's; `None` without it or them."""
    preprocess, prelude = compiled.deployment.preprocess, compiled.program.prelude
    if preprocess is None or prelude is None or not decodes_scaled(preprocess.steps):
        return None
    images, require, found = compiled.images, compiled.deployment.quantize.require, None
    if images is None and require is not None:
        images = CalibrationImages.find(require.images, preprocess.steps, preprocess.source)
    if images is not None:
        images = images.sample(_DECODED_IMAGES)
        with context.progress.track("decoding in full", len(images.paths)) as advance:
            found = measure_decoding(prelude, images, advance)
        context.facts["decoding"] = found.to_json()
    place = next(step.span for step in preprocess.steps if isinstance(step, Decode))
    if (finding := unmeasured(found, place)) is not None:
        context.warn([finding])
    return found


def _judge(
    compiled: Compilation, comparison: BodyComparison, context: Context, *, strict: bool
) -> Poor | None:
    """Whether int8 is poor, of which the user is told; an error where `strict`."""
    quantize, images, prelude = compiled.deployment.quantize, compiled.images, compiled.program.prelude
    if (flat := flat_warning(quantize, comparison.expected, compiled.program.heads)) is not None:
        context.warn([flat])
    reasons = below_bar(comparison.agreement, quantize.warn)
    if not reasons or images is None or prelude is None or compiled.int8 is None:
        return None
    batches = list(pixel_batches(prelude, images.sample(_NOISE_IMAGES), compiled.facts.batch or 1))
    context.progress.note("int8 is poor: looking for the layers that make it so")
    layers = noisiest_layers(compiled.int8.legalized.body, compiled.body, batches, compiled.program.heads)
    preprocess = compiled.deployment.preprocess
    scaled = preprocess is not None and decodes_scaled(preprocess.steps)
    others = ("`Decode(exact)`",) if scaled else ()
    poor = Poor(reasons, layers, (*remedies(quantize, comparison.images), *others))
    found = poor.to_diagnostic(quantize, strict=strict)
    if strict:
        raise ZoocError(found)
    context.warn([found])
    return poor


def _try_in_consumers(
    compiled: Compilation, goldens: Iterable[Golden], request: Request, context: Context
) -> list[Consumption]:
    """The goldens and some calibration images in the other runtimes that were asked for."""
    if not request.consumers:
        return []
    program = compiled.program
    more = record(program.prelude, compiled.body, program.postlude, _calibration_inputs(compiled))
    wanted = [answer.values for answer in (*goldens, *more)]
    tolerance = logits_tolerance(compiled.deployment.quantize.dtype)
    base = request.node_modules or Path.cwd()
    found = []
    for consumer in request.consumers:
        context.progress.note(f"trying the graph in {CONSUMERS[consumer]}")
        batch = compiled.facts.batch
        found.append(check_consumer(consumer, compiled.model, wanted, tolerance, batch, base))
    return found


def _calibration_inputs(compiled: Compilation) -> Iterator[npt.NDArray[Any]]:
    """A few calibration images as the prelude takes them; none where they are not at hand."""
    if compiled.images is not None and compiled.program.prelude is not None:
        some = compiled.images.sample(_WHOLE_IMAGES)
        decoded = (some.usable(path) for path in some.paths)
        yield from (as_image_input(compiled.program.prelude, image) for image in decoded if image is not None)
