"""What is required: the file's own contract, or the default of `keep fp32 auto`."""

from __future__ import annotations

from zooc.deployment import Quantize, Requirement

__all__ = ["effective_requirement"]

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
