"""The accuracy contract of a network that is quantized already: no layer can go back to float."""

from __future__ import annotations

import onnx

from zooc.accuracy.contract.images import ContractImages
from zooc.accuracy.contract.revert_layers import ALPHA, ContractResult
from zooc.accuracy.contract.trial import FloatAnswers, run_trial
from zooc.deployment import Requirement
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.support.progress import Progress
from zooc_runtime.package.heads import Head

__all__ = ["check_contract"]


def check_contract(
    requirement: Requirement,
    images: ContractImages,
    reference: onnx.ModelProto,
    body: onnx.ModelProto,
    heads: tuple[Head, ...],
    progress: Progress,
) -> ContractResult:
    """Hold a body to its contract against its float twin.

    Raises:
        ZoocError: Z0492, it loses more; Z0493, Z0495, the images do not do.
    """
    answers = FloatAnswers(reference, heads)
    with progress.track("contract", len(images)) as advance:
        trial = run_trial(images, answers, body, requirement.drop, ALPHA, advance)
    if trial.verdict == "holds":
        return ContractResult(requirement, images.labels, (trial,))
    what = "disagreement with float" if images.truth is None else "top-1 lost against float"
    raise ZoocError(
        error(
            "Z0492",
            f"the contract is not met: {what} {trial.drop:.2%}, {100 * requirement.drop:g}% allowed",
            requirement.span,
            notes=("the source is quantized already: its layers do not go back to float",),
            hint="raise the limit, or give the float32 network and let zooc quantize it",
        )
    )
