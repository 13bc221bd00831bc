"""`ranges source`: the network's own integers, scales and zero points, as the int8 body."""

from __future__ import annotations

from zooc.accuracy.contract.check import check_contract
from zooc.accuracy.contract.images import ContractImages
from zooc.accuracy.contract.revert_layers import ContractResult
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
) -> tuple[Quantized, ContractResult | None]:
    """Return the body that computes with the source's scales, and the contract that it holds, if any.

    No image is needed but those of the contract.

    Raises:
        ZoocError: Z0475, the request gives other ranges; Z0491 to Z0495, the contract does not hold.
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
    require = deployment.quantize.require
    images = None
    if require is not None and context.stop_before is None:
        # The images are looked for before the work; only an image form has a contract.
        assert program.prelude is not None and deployment.preprocess is not None
        images = ContractImages.for_heads(require, program.prelude, program.heads, deployment.preprocess)
    with context.stage("quantize_network"):
        release()
        quantized = keep_ranges(program.levels)
        context.facts |= quantized.summary()
    with context.stage("hold_contract"):
        if require is None or images is None:
            return quantized, None
        context.warn(images.warnings)
        contract = check_contract(
            require, images, program.body, quantized.model, program.heads, context.progress
        )
        context.warn(images.skip_warnings())
        context.facts["contract"] = contract.to_json()
    return quantized, contract
