"""The compiled graph, held against Pillow, its own stages, float, and other runtimes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from zooc.calibration.images import pixel_batches
from zooc.compilation import Compilation, Request, Verified
from zooc.consumers.check import CONSUMERS, Consumption, check_consumer
from zooc.package.manifest import stage_boundaries
from zooc.pipeline.context import Context
from zooc.preprocessing.nv12 import as_image_input
from zooc.verification.agreement import Agreement, compare_bodies
from zooc.verification.engine_view import float_convolutions
from zooc.verification.goldens import Golden, check_against_pillow, logits_tolerance, make_goldens, record
from zooc.verification.whole_graph import check_whole

__all__ = ["verify"]

_WHOLE_IMAGES = 8
"""Calibration images on which the whole graph is compared with its stages."""


def verify(compiled: Compilation, request: Request, context: Context) -> Verified:
    """Return the goldens, and what was found by comparing.

    Raises:
        ZoocError: Z0901, Z0902: the graph is wrong; Z0703 to Z0705: another runtime does not take it.
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
        agreement, agreed_on = _compare_with_float(compiled, context)
        layers = compiled.quantized.layers if compiled.quantized else ()
        in_integers = agreement is not None or compiled.program.levels is not None
        in_float = float_convolutions(body.SerializeToString(), layers) if in_integers else ()
        speed = None
        if request.measure:
            from zooc.verification.speed import measure_speed

            speed = measure_speed(preprocess, compiled.program.body, body, prelude)
        verified = Verified(
            tuple(goldens), compared, tuple(consumptions), agreement, agreed_on, tuple(in_float), speed
        )
        if agreement is not None:
            context.facts["agreement"] = verified.agreement_json()
        if consumptions:
            context.facts["consumers"] = [consumption.to_json() for consumption in consumptions]
    return verified


def _compare_with_float(compiled: Compilation, context: Context) -> tuple[Agreement | None, int]:
    images, prelude = compiled.images, compiled.program.prelude
    if images is None or prelude is None:
        return None, 0
    with context.progress.track("comparing with float", len(images.paths)) as advance:
        batches = pixel_batches(prelude, images, compiled.facts.batch or 1)
        heads = compiled.program.heads
        return compare_bodies(compiled.program.body, compiled.body, batches, heads, advance)


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
