"""The float program in the data type asked for: legalized, calibrated, quantized, held to its contract."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.accuracy.contract.images import ContractImages
from zooc.accuracy.contract.ranges import complete_ranges
from zooc.accuracy.contract.requirement import effective_requirement
from zooc.accuracy.contract.revert_layers import enforce
from zooc.calibration.activations import ActivationReader
from zooc.calibration.file import Identity
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.images import CalibrationImages, pixel_batches
from zooc.calibration.imported import load_ranges, refuse_ranges
from zooc.calibration.ranges import Ranges, choose_ranges
from zooc.calibration.run import calibration_identity, run_calibration
from zooc.compilation import Calibrated, Int8, Legalized, Program, Request
from zooc.deployment import Correction, Deployment, Quantize
from zooc.diagnostics.diagnostic import ZoocError
from zooc.ir.count import count_macs
from zooc.ir.rewriter import Refusals
from zooc.networks.network import Facts
from zooc.passes.legalize.legalize import legalize
from zooc.pipeline.context import Context
from zooc.pipeline.search import another_correction, find_ranges, is_no_worse, without_images
from zooc.quantization.corrections.apply import CORRECTED, correct, correction_batches, left_out
from zooc.quantization.corrections.bias import bias_inputs
from zooc.quantization.corrections.equalization import equalize
from zooc.quantization.fp16 import to_fp16
from zooc.quantization.layers import Quantized
from zooc.quantization.placement import tensors_to_observe
from zooc.quantization.placement_table import MeasuredPlacement, read_placement
from zooc.quantization.qdq import quantize_body
from zooc.quantization.target_form import for_target
from zooc.support.memory import release
from zooc_runtime.support.shards import WHOLE, Shard

__all__ = ["Int8Quantizer", "quantize_program"]

_NOISE_IMAGES = 64

Batches = Sequence[npt.NDArray[Any]]


def quantize_program(
    deployment: Deployment, facts: Facts, program: Program, request: Request, context: Context
) -> tuple[Quantized | None, Int8 | None]:
    """Return the body in the data type asked for (`None` in fp32), and how it became int8.

    Raises:
        ZoocError: it cannot be calibrated or quantized, or the contract does not hold.
    """
    quantize = deployment.quantize
    if quantize.dtype == "int8":
        quantizer = Int8Quantizer(deployment, facts, program, context, request.placement)
        if context.stop_before is None:
            quantizer.find_contract_images()
        calibrated = quantizer.calibrate(request)
        shipped, int8 = quantizer.hold_contract(calibrated, quantizer.quantize(calibrated))
        return for_target(shipped, quantize), int8
    refuse_ranges(request.ranges, quantize)
    with context.stage("quantize_network"):
        release()
        quantized = to_fp16(program.body, quantize) if quantize.dtype == "fp16" else None
        if quantized is not None:
            context.facts |= quantized.summary()
    return quantized, None


class Int8Quantizer:
    """Takes a float program to int8, step by step.

    Attributes:
        legalized: the body that is calibrated and quantized.
        observed: its tensors that need a range.
        found: the correction that `auto` has added.
    """

    def __init__(
        self,
        deployment: Deployment,
        facts: Facts,
        program: Program,
        context: Context,
        placement: Path | None = None,
    ) -> None:
        """Legalize the program's body: exact rewrites into operators that engines have in integers.

        Raises:
            ZoocError: Z0410, a `keep` pattern matches no node; Z0431 to Z0434, the placement does not do.
        """
        assert deployment.preprocess is not None and program.prelude is not None
        self._deployment, self._preprocess = deployment, deployment.preprocess
        self._quantize = deployment.quantize
        self._prelude = program.prelude
        self._facts, self._context, self._heads = facts, context, program.heads
        self._batches: Batches | None = None
        self.found: Correction | None = None
        with context.stage("prepare_for_int8"):
            refusals: Refusals = {}
            body, equalized = legalize(program.body, refusals), tuple[str, ...]()
            if "equalization" in self._quantize.corrections:
                body, equalized = equalize(body)
            self.legalized = Legalized(body, equalized, refusals)
            context.facts["refused"] = {rule: found for rule, found in refusals.items() if found}
            self._placement = None if placement is None else self._placed(placement)
            self.observed = tensors_to_observe(body, self._quantize)

    def _placed(self, path: Path) -> MeasuredPlacement:
        """The table in a file, which holds from here on."""
        found = read_placement(path)
        name = self._deployment.package.name
        self._context.warn(found.check(path, name, self.legalized.body))
        self._quantize = replace(self._quantize, placed=found.layers)
        self._context.facts["placement"] = found.to_json()
        return found

    def calibrate(self, request: Request) -> Calibrated:
        """Return the ranges that the request gives, or those that the calibration images show.

        Raises:
            ZoocError: the images or the given ranges cannot be used.
        """
        with self._context.stage("calibrate_ranges"):
            release()
            if request.ranges is not None:
                return self._given(
                    load_ranges(request.ranges, self.legalized.body, self.identity(), self.observed)
                )
            images = self.images()
            self._context.warn(images.warnings)
            histograms = self.measure(images)
            self._context.warn(images.skip_warnings())
            chosen = self._chosen(histograms, images)
            if "_reader" in vars(self):  # not where the histograms are from the cache
                self._reader.drop_memory()
            return chosen

    def images(self, shard: Shard = WHOLE) -> CalibrationImages:
        """Return the calibration images, or a shard of them.

        Raises:
            ZoocError: see `CalibrationImages.find`.
        """
        assert self._quantize.data is not None
        return CalibrationImages.find(
            self._quantize.data,
            self._preprocess.steps,
            self._preprocess.source,
            shard,
            verify=self._context.verify_images,
        )

    def measure(self, images: CalibrationImages) -> ActivationHistograms:
        """Run the images, and return the histograms of the observed tensors.

        Raises:
            ZoocError: see `run_calibration`.
        """
        context = self._context
        return run_calibration(
            self.legalized.body,
            self._prelude,
            images,
            self.observed,
            lambda: self._reader,
            context.cache,
            context.progress,
            context.workers,
        )

    def identity(self, images: CalibrationImages | None = None) -> Identity:
        """Return what a calibration of this network on these images is known by."""
        return calibration_identity(self.legalized.body, self._prelude, self._preprocess.to_json(), images)

    def quantize(self, calibrated: Calibrated) -> Quantized:
        """Return the body in int8, corrected as asked for.

        Raises:
            ZoocError: see `quantize_body`.
        """
        with self._context.stage("quantize_network"):
            release()
            batches = self._batches_for(calibrated.images)
            self._context.warn(left_out(self._quantize, batches))
            quantized = self._corrected(self._quantize, calibrated.ranges, batches)
            if self._quantize.calibrate.name == "auto" and calibrated.images is not None:
                quantized = self._corrected_if_no_worse(quantized, calibrated.ranges, calibrated.images)
            self._context.facts |= quantized.summary()
            return quantized

    def _corrected_if_no_worse(
        self, quantized: Quantized, ranges: Ranges, images: CalibrationImages
    ) -> Quantized:
        """With `auto`: the body with one more correction, unless the output's noise is more by it."""
        body, size = self.legalized.body, self._facts.batch or 1
        macs, count = count_macs(body, size) // size, len(images.sample(CORRECTED).paths)
        correction = another_correction(self._quantize, macs, count)
        if correction is None:
            return quantized
        settings = replace(self._quantize, corrections=(*self._quantize.corrections, correction))
        batches = correction_batches(settings, images, self._prelude, size)
        other = self._corrected(settings, ranges, batches)
        if not is_no_worse(body, quantized.model, other.model, images, self._prelude):
            return quantized
        self._context.progress.note(f"{correction} of the weights lowers the noise")
        self.found = correction
        return other

    def find_contract_images(self) -> None:
        """Look for the contract's images and labels, before the long work.

        Raises:
            ZoocError: Z0491, Z0493, Z0495.
        """
        if self._quantize.require is not None:
            ContractImages.for_heads(self._quantize.require, self._prelude, self._heads, self._preprocess)

    def hold_contract(self, calibrated: Calibrated, quantized: Quantized) -> tuple[Quantized, Int8]:
        """Return the body that holds the contract, layers back in float where it needs them.

        Raises:
            ZoocError: Z0491 to Z0495.
        """
        context, batches = self._context, self._batches_for(calibrated.images)
        counted = sum(map(len, batches))
        with context.stage("hold_contract"):
            images_of = calibrated.images
            requirement = effective_requirement(self._quantize, len(images_of.paths) if images_of else 0)
            if requirement is None:
                return quantized, Int8(self.legalized, calibrated, counted, None, self.found, self._placement)
            images = ContractImages.for_heads(requirement, self._prelude, self._heads, self._preprocess)
            context.warn(images.warnings)
            ranges = complete_ranges(self.legalized.body, calibrated.ranges, self._quantize)
            quantized, contract = enforce(
                requirement,
                images,
                self.legalized.body,
                quantized,
                self._heads,
                lambda names: self._requantize(ranges, batches, (*self._quantize.keep, *names)),
                lambda: self._noise_batches(calibrated, images),
                self._quantize.limits,
                context.progress,
            )
            context.warn(images.skip_warnings())
            context.facts |= {**quantized.summary(), "contract": contract.to_json()}
            found = None if contract.returned else self.found  # layers go back without it
            return quantized, Int8(
                self.legalized,
                replace(calibrated, ranges=ranges),
                counted,
                contract,
                found,
                self._placement,
            )

    @cached_property
    def _reader(self) -> ActivationReader:
        """The legalized body, opened once for calibration and for the correction of biases."""
        tensors = self.observed
        if "bias" in self._quantize.corrections:
            tensors = list(dict.fromkeys([*tensors, *bias_inputs(self.legalized.body)]))
        return ActivationReader(self.legalized.body, tensors)

    def _given(self, found: ActivationHistograms | Ranges) -> Calibrated:
        images = None
        with suppress(ZoocError):  # they only serve to compare with float; they may be elsewhere
            images = self.images()
        if isinstance(found, ActivationHistograms):
            return self._chosen(found, images)
        return Calibrated(found, images, None)

    def _chosen(self, histograms: ActivationHistograms, images: CalibrationImages | None) -> Calibrated:
        """The ranges by the description's method."""
        method = self._quantize.calibrate
        if method.name != "auto":
            return Calibrated(choose_ranges(histograms, method), images, histograms)
        if images is None:
            self._context.warn([without_images(self._quantize)])
            return Calibrated(choose_ranges(histograms, method), None, histograms)
        found = find_ranges(
            self.legalized.body,
            histograms,
            self._quantize,
            self._prelude,
            images,
            self._batches_for(images),
            lambda: self._reader,
            self._context,
        )
        self._context.facts["search"] = found.to_json()
        return Calibrated(found.ranges, images, histograms, found)

    def _batches_for(self, images: CalibrationImages | None) -> Batches:
        """What the corrections are measured on."""
        if self._batches is None:
            self._batches = correction_batches(self._quantize, images, self._prelude, self._facts.batch or 1)
        return self._batches

    def _requantize(self, ranges: Ranges, batches: Batches, keep: tuple[str, ...]) -> Quantized:
        """The body in int8 with these `keep` patterns in place of the description's; nothing is learned."""
        corrections = tuple(name for name in self._quantize.corrections if name != "reconstruction")
        return self._corrected(replace(self._quantize, keep=keep, corrections=corrections), ranges, batches)

    def _corrected(self, settings: Quantize, ranges: Ranges, batches: Batches) -> Quantized:
        """The body in int8 with these settings."""
        body, context = self.legalized.body, self._context
        quantized = quantize_body(body, ranges, settings)
        correct(settings, quantized, body, batches, lambda: self._reader, context.progress, context.cache)
        return quantized

    def _noise_batches(self, calibrated: Calibrated, images: ContractImages) -> Batches:
        """A few calibration images; of the contract's, where those are not at hand (`--ranges`)."""
        size = self._facts.batch or 1
        if calibrated.images is not None:
            return list(pixel_batches(self._prelude, calibrated.images.sample(_NOISE_IMAGES), size))
        found = [images.pixels(index) for index in range(min(_NOISE_IMAGES, len(images)))]
        usable = [pixels for pixels in found if pixels is not None]
        groups = [np.concatenate(usable[i : i + size]) for i in range(0, len(usable), size)]
        return [np.resize(group, (size, *group.shape[1:])) for group in groups]
