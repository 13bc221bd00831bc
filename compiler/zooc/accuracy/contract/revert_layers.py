"""Returns layers to float, the most noise for the least time first, until the contract holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt
import onnx

from zooc.accuracy.contract.cost import CostModel
from zooc.accuracy.contract.front import FrontPoint, climb
from zooc.accuracy.contract.images import ContractImages
from zooc.accuracy.contract.trial import FloatAnswers, Trial, run_trial
from zooc.accuracy.search.output_noise import hold_back
from zooc.accuracy.sensitivity import LayerSensitivity
from zooc.deployment import FloatLimits, Requirement
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error
from zooc.ir.count import macs_of_nodes
from zooc.quantization.layers import Quantized
from zooc.support.progress import Progress
from zooc_runtime.package.heads import Head

__all__ = ["ContractResult", "RevertedLayer", "enforce"]

ALPHA = 0.01
"""Over all trials of a compile together: the probability, at most, that an early answer is a wrong one."""

_STEPS_TOLD = 8


@dataclass(frozen=True, slots=True)
class RevertedLayer:
    """A layer that went back to float.

    Attributes:
        name, op: its node's.
        noise: in the logits when it alone is quantized, as a share of the signal's power.
        sqnr_db: the same in decibels.
        macs: its multiply-accumulates; for a layer without weights 0.
        cost: `macs`, or the elements of its result.
    """

    name: str
    op: str
    noise: float
    sqnr_db: float
    macs: int
    cost: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data for manifests and `--format json`."""
        return {
            "name": self.name,
            "op": self.op,
            "harm": float(f"{self.noise:.4g}"),
            "sqnr_db": round(min(self.sqnr_db, 999.0), 2),
            "macs": self.macs,
            "cost": self.cost,
        }


@dataclass(frozen=True, slots=True)
class ContractResult:
    """A contract that holds.

    Attributes:
        requirement: what was required.
        labels: where the classes come from, `none` for disagreement with float.
        trials: of int8 as it was asked for, then with one layer more in float each; the last holds.
        returned: those layers in that order.
        float_share: of the network's multiply-accumulates, what they do.
        noise_images: images that the noise was measured on.
        front: what was reached in each step.
    """

    requirement: Requirement
    labels: str
    trials: tuple[Trial, ...]
    returned: tuple[RevertedLayer, ...] = ()
    float_share: float = 0.0
    noise_images: int = 0
    front: tuple[FrontPoint, ...] = ()

    @property
    def error_rate(self) -> float:
        """Bound on the probability that an early answer is wrong."""
        return ALPHA

    def in_words(self) -> str:
        """Return one line for summary and report."""
        last = self.trials[-1]
        what = "other top-1 than float" if last.right is None else "top-1 lost against float"
        text = f"contract held: {last.drop:.2%} {what}, {100 * self.requirement.drop:g}% allowed"
        seen = f"clear after {last.images} of {last.drawn}" if last.early else f"all {last.images}"
        back = f"; {len(self.returned)} layers returned to float" if self.returned else ""
        return f"{text} ({seen} images){back}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for manifests and `--format json`."""
        return {
            "require_drop": self.requirement.drop,
            "labels": self.labels,
            **self.trials[-1].to_json(),
            "error_rate": ALPHA,
            "trials": [trial.to_json() for trial in self.trials],
            "returned_to_float": [layer.to_json() for layer in self.returned],
            "returned_macs_share": round(self.float_share, 6),
            "front": [point.to_json() for point in self.front],
        }


def enforce(
    requirement: Requirement,
    images: ContractImages,
    reference: onnx.ModelProto,
    quantized: Quantized,
    heads: tuple[Head, ...],
    requantize: Callable[[tuple[str, ...]], Quantized],
    noise_batches: Callable[[], Sequence[npt.NDArray[Any]]],
    limits: FloatLimits,
    progress: Progress,
) -> tuple[Quantized, ContractResult]:
    """Try int8, then return layers to float, step by step, until the contract holds.

    Trial `k` may err with a probability of `ALPHA / (k (k + 1))`, which sums up to `ALPHA` over any number of
    trials.

    Args:
        requirement: the contract.
        images: those of the contract.
        reference: the float body that was quantized.
        quantized: int8 as asked for.
        heads: what the logits mean.
        requantize: quantizes anew with further `keep` patterns.
        noise_batches: calibration images for the logits' noise; only asked for if int8 fails.
        limits: how far to go.
        progress: told what is going on.

    Returns:
        The body to ship, and how it was found.

    Raises:
        ZoocError: Z0492, the contract cannot be met; Z0493, Z0495, the images do not do.
    """
    answers = FloatAnswers(reference, heads)
    trials: list[Trial] = []

    def holds(body: onnx.ModelProto) -> bool:
        number = len(trials) + 1
        with progress.track(f"contract, trial {number}", len(images)) as advance:
            alpha = ALPHA / (number * (number + 1))
            trials.append(run_trial(images, answers, body, requirement.drop, alpha, advance))
        progress.note(_describe(trials[-1]))
        return trials[-1].verdict == "holds"

    if holds(quantized.model) and limits.sqnr_db is None:
        return quantized, ContractResult(requirement, images.labels, tuple(trials))
    parts = hold_back(noise_batches())
    macs, sizes = macs_of_nodes(reference), CostModel(reference)
    returned: list[RevertedLayer] = []
    front: list[FrontPoint] = []

    def result() -> tuple[Quantized, ContractResult]:
        share = sum(one.macs for one in returned) / max(sum(macs.values()), 1)
        count = sum(map(len, parts.search)) + (sum(map(len, parts.held)) if parts.apart else 0)
        done = ContractResult(
            requirement, images.labels, tuple(trials), tuple(returned), share, count, tuple(front)
        )
        return _explained(quantized, returned), done

    climbing = climb(reference, quantized, parts, heads, requantize, 1.0 + limits.time, progress)
    for point, changed, alone in climbing:
        quantized = changed
        front.append(point)
        returned += [_reverted(one, macs, sizes) for one in alone if one.layer.name in point.layers]
        progress.note(f"back to float: {', '.join(point.layers)}: {point.in_words()}")
        if holds(quantized.model) and (limits.sqnr_db is None or point.sqnr_db >= limits.sqnr_db):
            return result()
    with progress.track("contract, on all images", len(images)) as advance:
        trials[-1] = run_trial(images, answers, quantized.model, requirement.drop, None, advance)
    reached = front[-1].sqnr_db if front else -math.inf
    if trials[-1].verdict == "holds" and (limits.sqnr_db is None or reached >= limits.sqnr_db):
        return result()  # the early answer was one of the few that are wrong
    raise ZoocError(_broken(requirement, images, trials, front, limits))


def _explained(quantized: Quantized, returned: Sequence[RevertedLayer]) -> Quantized:
    """The records of the returned layers say why they are float."""
    names = {one.name for one in returned}
    layers = tuple(
        replace(layer, reason="returned to float for the accuracy contract") if layer.name in names else layer
        for layer in quantized.layers
    )
    return replace(quantized, layers=layers)


def _reverted(found: LayerSensitivity, macs: Mapping[str, int], costs: CostModel) -> RevertedLayer:
    layer = found.layer
    own = macs.get(layer.name, 0)
    cost = max(own or costs.elements(layer.name), 1)
    return RevertedLayer(layer.name, layer.op, found.noise, found.agreement.sqnr_db, own, cost)


def _describe(trial: Trial) -> str:
    early = f"clear after {trial.images} of {trial.drawn} images" if trial.early else f"{trial.images} images"
    lost = f"{trial.lost} lost" + (f", {trial.won} won" if trial.right is not None else " (other top-1)")
    return f"{trial.verdict}: drop {trial.drop:.2%} ({lost}; {early})"


def _broken(
    requirement: Requirement,
    images: ContractImages,
    trials: Sequence[Trial],
    front: Sequence[FrontPoint],
    limits: FloatLimits,
) -> Diagnostic:
    reached = trials[-1]
    what = "disagreement with float" if images.truth is None else "top-1 lost against float"
    notes = [f"int8 as asked for {_describe(trials[0])}"]
    steps = list(zip(front, trials[1:], strict=False))
    if len(steps) > _STEPS_TOLD:
        notes.append(f"{len(steps) - _STEPS_TOLD} more steps were taken before these")
    for point, trial in steps[-_STEPS_TOLD:]:
        notes.append(f"then with {', '.join(point.layers)} in float ({point.in_words()}) {_describe(trial)}")
    wanted = "" if limits.sqnr_db is None else f", {limits.sqnr_db:g} dB wanted"
    notes.append(
        f"no further layer helps within {100 * limits.time:g}% more time than int8 "
        f"(`keep fp32 auto(time=...)`){wanted}"
    )
    return error(
        "Z0492",
        f"the contract cannot be met: {what} {reached.drop:.2%}, {100 * requirement.drop:g}% allowed",
        requirement.span,
        notes=tuple(notes),
        hint="allow more time, or a larger drop; `zooc analyze` shows which layers make most of the noise",
    )
