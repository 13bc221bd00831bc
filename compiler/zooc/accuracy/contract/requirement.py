"""What is required: the file's own contract, or the default of `keep fp32 auto`."""

from __future__ import annotations

from dataclasses import replace

from zooc.deployment import Quantize, Requirement
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc_runtime.package.heads import Head

__all__ = ["effective_requirement", "suit_heads"]

_DEFAULT_DROP = 0.01


def effective_requirement(quantize: Quantize, calibration_images: int) -> Requirement | None:
    """Return the contract to hold, `None` if there is none.

    Without `require`, `keep fp32 auto` allows one in a hundred of the calibration images, or one of fewer, to
    be classified otherwise than by float.

    Args:
        quantize: the block.
        calibration_images: how many `data` stands for.
    """
    if quantize.require is not None:
        return quantize.require
    if not quantize.keep_auto or quantize.data is None:
        return None
    drop = max(_DEFAULT_DROP, 1.0 / max(calibration_images, 1))
    return Requirement(drop, quantize.data, "none", quantize.span)


def suit_heads(requirement: Requirement, heads: tuple[Head, ...]) -> Requirement:
    """Return the contract as the heads can keep it: labels are for a single head of one class an image.

    Otherwise an image is lost where int8 says anything else than float, in any head.

    Raises:
        ZoocError: Z0512, labels that the heads have no use for, or embeddings, which say nothing.
    """
    if any(head.embeds for head in heads):
        message = "a contract counts answers that change, and embeddings are no answers"
        hint = "leave out `require` and `keep fp32 auto`; the report tells how near int8 is to float"
        raise ZoocError(error("Z0512", message, requirement.span, hint=hint))
    if len(heads) == 1 and not heads[0].multi_label:
        return requirement
    if requirement.labels not in ("auto", "none"):
        what = "several heads" if len(heads) > 1 else "any number of classes an image"
        message = f"`labels` gives one class an image, but the network has {what}"
        hint = "write `labels=none`: an image is lost where int8 says anything else than float"
        raise ZoocError(error("Z0512", message, requirement.span, hint=hint))
    return replace(requirement, labels="none")
