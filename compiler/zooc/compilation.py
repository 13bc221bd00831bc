"""What a compile is asked for, and what it has made so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import onnx

from zooc.accuracy.contract.revert_layers import ContractResult
from zooc.calibration.activations import ActivationReader
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.images import CalibrationImages
from zooc.calibration.ranges import Ranges
from zooc.consumers.check import Consumption
from zooc.deployment import Deployment
from zooc.diagnostics.diagnostic import Diagnostic
from zooc.networks.network import Network
from zooc.preprocessing.fold_normalization import Folded
from zooc.quantization.corrections.bias import bias_inputs
from zooc.quantization.layers import Quantized
from zooc.quantization.placement import tensors_to_observe
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import Agreement
from zooc.verification.engine_view import FloatLayer
from zooc.verification.goldens import Golden

if TYPE_CHECKING:
    from zooc.verification.speed import Speed


__all__ = ["Compilation", "Request", "agreement_json"]


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        file: the `.zoo` file.
        output: the package's folder; `None` means `build/NAME`.
        stop_before: a stage's name, or `None` to run them all.
        measure: also time the result on this machine, for the report.
        ranges: a `.calib` file or a table of ranges, in place of calibrating.
        consumers: other runtimes that must take the graph, of `zooc.consumers.CONSUMERS`.
        node_modules: the folder from which Node.js looks packages up; by default the current one.
    """

    file: Path
    output: Path | None = None
    variant: str | None = None
    overrides: tuple[str, ...] = ()
    force: bool = False
    stop_before: str | None = None
    measure: bool = False
    ranges: Path | None = None
    consumers: tuple[str, ...] = ()
    node_modules: Path | None = None


@dataclass
class Compilation:
    """One compile: the request, and what the stages so far have made."""

    request: Request
    cache: Cache
    progress: Progress
    warnings: list[Diagnostic] = field(default_factory=list)
    deployment: Deployment = field(init=False)
    network: Network = field(init=False)
    float_body: onnx.ModelProto = field(init=False)
    folded: Folded | None = None
    prelude: onnx.ModelProto | None = None
    postlude: onnx.ModelProto | None = None
    prepared_body: onnx.ModelProto = field(init=False)
    equalized: tuple[str, ...] = ()
    images: CalibrationImages | None = None
    sketches: ActivationHistograms | None = None
    correction_batches: Sequence[npt.NDArray[Any]] | None = None
    opened: ActivationReader | None = None
    ranges: Ranges | None = None
    imported_ranges: bool = False
    quantized: Quantized | None = None
    contract: ContractResult | None = None
    body: onnx.ModelProto = field(init=False)
    agreement: Agreement | None = None
    images_agreed_on: int = 0
    float_nodes: Sequence[FloatLayer] = ()
    images_compared: int = 0
    model: bytes = b""
    goldens: list[Golden] = field(default_factory=list)
    consumptions: list[Consumption] = field(default_factory=list)
    speed: Speed | None = None
    package: Path | None = None

    @property
    def output(self) -> Path:
        """Where the package goes."""
        return self.request.output or Path("build") / self.deployment.package.name

    @cached_property
    def observed(self) -> list[str]:
        """The tensors of the prepared body that need a range (int8 only)."""
        return list(tensors_to_observe(self.prepared_body, self.deployment.quantize))

    def observer(self) -> ActivationReader:
        """The prepared body, open for calibration and for the correction of biases; opened once."""
        if self.opened is None:
            tensors: Sequence[str] = self.observed
            if "bias" in self.deployment.quantize.corrections:
                tensors = list(dict.fromkeys([*tensors, *bias_inputs(self.prepared_body)]))
            self.opened = ActivationReader(self.prepared_body, tensors)
        return self.opened


def agreement_json(c: Compilation) -> dict[str, Any]:
    """How close int8 is to float, rounded so that it does not depend on the order of additions."""
    assert c.agreement is not None
    return {
        "images": c.images_agreed_on,
        "sqnr_db": round(min(c.agreement.sqnr_db, 999.0), 2),
        "cosine": round(c.agreement.cosine, 5),
        "top1_agreement": round(c.agreement.top1, 4),
    }
