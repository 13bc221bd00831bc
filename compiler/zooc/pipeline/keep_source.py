"""`ranges source`: the network's own integers, scales and zero points, as the int8 body."""

from __future__ import annotations

from zooc.compilation import Program, Request
from zooc.deployment import Deployment
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.networks.network import Facts
from zooc.pipeline.context import Context
from zooc.quantization.layers import Quantized
from zooc.quantization.source_ranges import keep_ranges
from zooc.support.memory import release

__all__ = ["keep_source"]


def keep_source(
    deployment: Deployment, facts: Facts, program: Program, request: Request, context: Context
) -> Quantized:
    """Return the body that computes with the source's scales; no image is needed.

    Raises:
        ZoocError: Z0475, the request gives other ranges.
    """
    if request.ranges is not None:
        raise ZoocError(
            error(
                "Z0475",
                f"{facts.origin} has ranges of its own, so {request.ranges} would be ignored",
                deployment.quantize.ranges_span,
                hint="leave out --ranges, or quantize a float network without `ranges source`",
            )
        )
    assert program.levels is not None
    with context.stage("quantize_network"):
        release()
        quantized = keep_ranges(program.levels)
        context.facts |= quantized.summary()
    return quantized
