"""The driver's stage that holds the accuracy contract: gathers what `zooc.accuracy.contract` needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from zooc.accuracy.contract.images import ContractImages
from zooc.accuracy.contract.ranges import complete_ranges
from zooc.accuracy.contract.requirement import effective_requirement
from zooc.accuracy.contract.revert_layers import ContractResult, enforce
from zooc.calibration.images import pixel_batches
from zooc.deployment import Requirement
from zooc_runtime.evaluation.ground_truth import Classes

if TYPE_CHECKING:
    from zooc.compilation import Compilation
    from zooc.quantization.layers import Quantized

__all__ = ["ContractResult", "check_contract_of", "hold_contract_of"]

_HARM_IMAGES = 16


def check_contract_of(c: Compilation) -> None:
    """Looks for the contract's images and labels, before the long work.

    Raises:
        ZoocError: Z0491, Z0493, Z0495.
    """
    if c.deployment.quantize.require is not None:
        _images(c, c.deployment.quantize.require)


def hold_contract_of(c: Compilation, requantize: Callable[[tuple[str, ...]], Quantized]) -> None:
    """Holds the compile's contract, if it has one: sets `contract`, and what it changes of the body.

    Args:
        c: after `quantize_network`.
        requantize: quantizes with these `keep` patterns.

    Raises:
        ZoocError: Z0491 to Z0495.
    """
    quantize = c.deployment.quantize
    if quantize.dtype != "int8" or c.prelude is None:
        return
    requirement = effective_requirement(quantize, len(c.images.paths) if c.images else 0)
    if requirement is None:
        return
    assert c.quantized is not None and c.ranges is not None
    images = _images(c, requirement)
    c.warnings += images.warnings
    c.ranges = complete_ranges(c.prepared_body, c.ranges, quantize)
    c.quantized, c.contract = enforce(
        requirement,
        images,
        c.prepared_body,
        c.quantized,
        lambda names: requantize((*quantize.keep, *names)),
        lambda: _harm_batches(c, images),
        c.progress,
    )
    c.warnings += images.skip_warnings()
    c.body = c.quantized.model


def _images(c: Compilation, requirement: Requirement) -> ContractImages:
    labels, preprocess = c.deployment.postprocess.labels, c.deployment.preprocess
    assert c.prelude is not None and preprocess is not None
    classes = Classes(c.network.classes, labels.names if labels else ())
    return ContractImages(requirement, c.prelude, classes, preprocess.to_json()["steps"])


def _harm_batches(c: Compilation, images: ContractImages) -> Sequence[npt.NDArray[Any]]:
    """A few calibration images; of the contract's, where those are not at hand (`--ranges`)."""
    assert c.prelude is not None
    size = c.network.batch or 1
    if c.images is not None:
        return list(pixel_batches(c.prelude, c.images.sample(_HARM_IMAGES), size))
    found = [images.pixels(index) for index in range(min(_HARM_IMAGES, len(images)))]
    usable = [pixels for pixels in found if pixels is not None]
    groups = [np.concatenate(usable[i : i + size]) for i in range(0, len(usable), size)]
    return [np.resize(group, (size, *group.shape[1:])) for group in groups]
