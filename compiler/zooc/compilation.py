"""What a compile is asked for, and what its stages make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from zooc.accuracy.contract.revert_layers import ContractResult
from zooc.accuracy.poor import Poor
from zooc.accuracy.search.search import SearchResult
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.images import CalibrationImages
from zooc.calibration.ranges import Ranges
from zooc.consumers.check import Consumption
from zooc.deployment import Correction, Deployment
from zooc.ir.rewriter import Refusals
from zooc.networks.network import Facts
from zooc.preprocessing.fold_normalization import Folded
from zooc.quantization.layers import Quantized
from zooc.quantization.placement_table import MeasuredPlacement
from zooc.tuning.required_speed import SpeedResult
from zooc.verification.agreement import Agreement
from zooc.verification.decoding import DecodingDifference
from zooc.verification.divergence import BodyComparison
from zooc.verification.engine_view import FloatLayer
from zooc.verification.goldens import Golden
from zooc_runtime.package.heads import Head

if TYPE_CHECKING:
    from zooc.verification.speed import Speed

__all__ = ["Calibrated", "Compilation", "Int8", "Legalized", "Program", "Request", "Verified"]


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        file: the `.zoo` file.
        output: the package's folder; `None` means `build/NAME`.
        measure: also time the result on this machine, for the report.
        ranges: a `.calib` file or a table of ranges, in place of calibrating.
        placement: a table of `zooc tune`: layers that stay in float beside those of the rules.
        save_ranges: where the ranges that were used go, as a table for `ranges`.
        strict: int8 that is called poor is an error.
        consumers: other runtimes that must take the graph, of `zooc.consumers.CONSUMERS`.
        node_modules: the folder from which Node.js looks packages up; by default the current one.
    """

    file: Path
    output: Path | None = None
    variant: str | None = None
    overrides: tuple[str, ...] = ()
    force: bool = False
    measure: bool = False
    ranges: Path | None = None
    placement: Path | None = None
    save_ranges: Path | None = None
    strict: bool = False
    consumers: tuple[str, ...] = ()
    node_modules: Path | None = None


@dataclass(frozen=True)
class Program:
    """The network in float on pixels, in three stages.

    Attributes:
        prelude: image to pixels, `None` in the tensor form.
        body: pixels (or the network's own input) to logits, simplified.
        postlude: logits to probabilities or embeddings, `None` without an activation.
        folded: how the normalization went into the body, `None` without a prelude.
        heads: what the scores mean.
        levels: the body with the source's own quantization, for `ranges source`; `body` is its float twin.
    """

    prelude: onnx.ModelProto | None
    body: onnx.ModelProto
    postlude: onnx.ModelProto | None
    folded: Folded | None
    heads: tuple[Head, ...]
    levels: onnx.ModelProto | None = None


@dataclass(frozen=True)
class Legalized:
    """The float body in operators that engines have in integers.

    Attributes:
        body: computes what the program's body does.
        equalized: the layers whose channels were scaled against each other.
        refusals: patterns that a rewrite was found for and that stayed, each with its reason.
    """

    body: onnx.ModelProto
    equalized: tuple[str, ...]
    refusals: Refusals


@dataclass(frozen=True)
class Calibrated:
    """The ranges of activations, and where they are from.

    Attributes:
        ranges: by tensor.
        images: the calibration images, `None` where ranges were given and the images are not at hand.
        histograms: what was measured, `None` for ranges that were given as such.
        search: how `calibrate auto` found them, `None` for other methods.
    """

    ranges: Ranges
    images: CalibrationImages | None
    histograms: ActivationHistograms | None
    search: SearchResult | None = None

    @property
    def imported(self) -> bool:
        """Whether the ranges were given and not measured."""
        return self.histograms is None


@dataclass(frozen=True)
class Int8:
    """How the body became int8.

    Attributes:
        correction_images: on how many images the corrections were measured.
        contract: how the accuracy contract ended, `None` without one.
        found: the correction that `auto` has added, and that is shipped.
        placement: the measured one that holds, `None` where the rules alone do.
    """

    legalized: Legalized
    calibrated: Calibrated
    correction_images: int
    contract: ContractResult | None
    found: Correction | None = None
    placement: MeasuredPlacement | None = None


@dataclass(frozen=True)
class Compilation:
    """A compiled graph and what it was made of.

    Attributes:
        quantized: the body in int8 or fp16, `None` in fp32.
        int8: how it became so, `None` for other data types and for `ranges source`.
        model: the bytes of the whole graph.
        contract: the accuracy contract that it holds, `None` without one.
        speed: how the required speed is held, `None` without a requirement. Where only float32 does,
            `deployment.quantize` says so, too.
    """

    deployment: Deployment
    facts: Facts
    program: Program
    quantized: Quantized | None
    int8: Int8 | None
    model: bytes
    contract: ContractResult | None = None
    speed: SpeedResult | None = None

    @property
    def body(self) -> onnx.ModelProto:
        """The body in the data type that was asked for."""
        return self.program.body if self.quantized is None else self.quantized.model

    @property
    def stages(self) -> dict[str, onnx.ModelProto | None]:
        """The stages of the graph by name, `None` for one that there is not."""
        return {"prelude": self.program.prelude, "body": self.body, "postlude": self.program.postlude}

    @property
    def images(self) -> CalibrationImages | None:
        """The calibration images, where there are any at hand."""
        return None if self.int8 is None else self.int8.calibrated.images


@dataclass(frozen=True)
class Verified:
    """What was checked and measured of a compiled graph.

    Attributes:
        goldens: inputs and what every stage makes of them.
        images_compared: on how many images the prelude equals Pillow.
        consumptions: how other runtimes took the graph.
        comparison: of the body with float, on the calibration images; `None` without any.
        poor: why int8 is called poor, `None` where it is not.
        float_layers: the convolutions and products that ONNX Runtime computes in float.
        speed: measured where asked for.
        decoding: what `Decode(scaled)` changes, `None` without it or without images.
    """

    goldens: tuple[Golden, ...]
    images_compared: int
    consumptions: tuple[Consumption, ...]
    comparison: BodyComparison | None
    poor: Poor | None
    float_layers: tuple[FloatLayer, ...]
    speed: Speed | None
    decoding: DecodingDifference | None = None

    @property
    def agreement(self) -> Agreement | None:
        """Of the body with float on the calibration images, `None` without any."""
        return None if self.comparison is None else self.comparison.agreement

    def agreement_json(self) -> dict[str, Any] | None:
        """Return how close int8 is to float, rounded so that the order of additions does not show."""
        if self.comparison is None:
            return None
        agreement, divergence = self.comparison.agreement, self.comparison.divergence
        top1 = agreement.top1
        return {
            "images": self.comparison.images,
            "sqnr_db": round(min(agreement.sqnr_db, 999.0), 2),
            "cosine": round(agreement.cosine, 5),
            "top1_agreement": None if top1 is None else round(top1, 4),
            "differ": self.comparison.parted_count,
            "kl_divergence": None
            if divergence is None
            else dict(zip(("mean", "worst"), (round(value, 5) for value in divergence), strict=True)),
        }
