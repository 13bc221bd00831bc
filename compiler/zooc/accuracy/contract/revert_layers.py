"""Returns layers to float, the most noise for the least work first, until the contract holds."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.accuracy.contract.images import ContractImages
from zooc.accuracy.contract.trial import FloatAnswers, Trial, run_trial
from zooc.accuracy.integer_graph import IntegerGraph
from zooc.accuracy.layer_statistics import compare_layers
from zooc.accuracy.sensitivity import LayerSensitivity, measure_sensitivity
from zooc.deployment import Requirement
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error
from zooc.ir.count import macs_of_nodes
from zooc.quantization.layers import Quantized
from zooc.support.progress import Progress
from zooc_runtime.package.heads import Head

__all__ = ["ContractResult", "RevertedLayer", "enforce"]

ALPHA = 0.01
"""Over all trials of a compile together: the probability, at most, that an early answer is a wrong one."""

MOST_FLOAT = 0.5
"""If more of the multiply-accumulates had to be float, int8 would not be worth having: the contract fails."""

_STEPS_TOLD = 8
_WORTH_TRYING = 0.01
"""Layers that make less of the noise come after all others, however cheap."""


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
        sensitivity_images: images that the noise was measured on.
    """

    requirement: Requirement
    labels: str
    trials: tuple[Trial, ...]
    returned: tuple[RevertedLayer, ...] = ()
    float_share: float = 0.0
    sensitivity_images: int = 0

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
        }


def enforce(
    requirement: Requirement,
    images: ContractImages,
    reference: onnx.ModelProto,
    quantized: Quantized,
    heads: tuple[Head, ...],
    requantize: Callable[[tuple[str, ...]], Quantized],
    sensitivity_batches: Callable[[], Sequence[npt.NDArray[Any]]],
    progress: Progress,
) -> tuple[Quantized, ContractResult]:
    """Try int8, then return layers to float one by one, until the contract holds.

    The order is that of noise over cost, both measured: the noise that a layer alone brings into the logits,
    and its multiply-accumulates. Trial `k` may err with a probability of `ALPHA / (k (k + 1))`, which sums up
    to `ALPHA` over any number of trials.

    Args:
        requirement: the contract.
        images: those of the contract.
        reference: the float body that was quantized.
        quantized: int8 as asked for.
        heads: what the logits mean.
        requantize: quantizes anew with further `keep` patterns.
        sensitivity_batches: a few calibration images for the noise; only asked for if int8 fails.
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

    if holds(quantized.model):
        return quantized, ContractResult(requirement, images.labels, tuple(trials))
    batches = sensitivity_batches()
    order, total = _by_sensitivity_over_cost(reference, quantized.model, batches, progress)
    returned: list[RevertedLayer] = []

    def result() -> tuple[Quantized, ContractResult]:
        share = sum(one.macs for one in returned) / max(total, 1)
        count = sum(len(batch) for batch in batches)
        done = ContractResult(requirement, images.labels, tuple(trials), tuple(returned), share, count)
        return _explained(quantized, returned), done

    for layer in order:
        share = sum(one.macs for one in [*returned, layer]) / max(total, 1)
        if share > MOST_FLOAT:
            continue
        progress.note(
            f"back to float: {layer.name} (alone {layer.sqnr_db:.1f} dB, {layer.macs / 1e6:.2f} M MACs)"
        )
        returned.append(layer)
        changed = requantize(tuple(glob.escape(one.name) for one in returned))
        if changed.model == quantized.model:  # its neighbours had taken it to float with them
            returned.pop()
            continue
        quantized = changed
        if holds(quantized.model):
            return result()
    with progress.track("contract, on all images", len(images)) as advance:
        trials[-1] = run_trial(images, answers, quantized.model, requirement.drop, None, advance)
    if trials[-1].verdict == "holds":  # the early answer was one of the few that are wrong
        return result()
    raise ZoocError(_broken(requirement, images, trials, returned))


def _explained(quantized: Quantized, returned: Sequence[RevertedLayer]) -> Quantized:
    """The records of the returned layers say why they are float."""
    names = {one.name for one in returned}
    layers = tuple(
        replace(layer, reason="returned to float for the accuracy contract") if layer.name in names else layer
        for layer in quantized.layers
    )
    return replace(quantized, layers=layers)


def _by_sensitivity_over_cost(
    reference: onnx.ModelProto,
    quantized: onnx.ModelProto,
    batches: Sequence[npt.NDArray[Any]],
    progress: Progress,
) -> tuple[list[RevertedLayer], int]:
    """The integer layers in the order in which they go back, and the network's multiply-accumulates."""
    graph = IntegerGraph(quantized)
    layers = [layer for layer in graph.layers if layer.int8]
    macs = macs_of_nodes(reference)
    statistics, _, count = compare_layers(reference, graph, layers, batches[:1])
    sizes = {layer.name: one.seen // max(count, 1) for layer, one in zip(layers, statistics, strict=True)}
    with progress.track("noise of each layer alone", len(layers)) as advance:
        found = measure_sensitivity(reference, graph, layers, batches, advance)
    candidates = [_candidate(one, macs, sizes) for one in found]
    everything = float(np.sum([one.noise for one in candidates]))
    place = {one.name: index for index, one in enumerate(candidates)}

    def order(one: RevertedLayer) -> tuple[bool, float, int]:
        return one.noise < _WORTH_TRYING * everything, -one.noise / one.cost, place[one.name]

    return sorted((one for one in candidates if one.noise > 0), key=order), sum(macs.values())


def _candidate(found: LayerSensitivity, macs: dict[str, int], sizes: dict[str, int]) -> RevertedLayer:
    layer = found.layer
    own = macs.get(layer.name, 0)
    cost = max(own or sizes[layer.name], 1)
    return RevertedLayer(layer.name, layer.op, found.noise, found.agreement.sqnr_db, own, cost)


def _describe(trial: Trial) -> str:
    early = f"clear after {trial.images} of {trial.drawn} images" if trial.early else f"{trial.images} images"
    lost = f"{trial.lost} lost" + (f", {trial.won} won" if trial.right is not None else " (other top-1)")
    return f"{trial.verdict}: drop {trial.drop:.2%} ({lost}; {early})"


def _broken(
    requirement: Requirement, images: ContractImages, trials: list[Trial], returned: list[RevertedLayer]
) -> Diagnostic:
    reached = trials[-1]
    what = "disagreement with float" if images.truth is None else "top-1 lost against float"
    notes = [f"int8 as asked for {_describe(trials[0])}"]
    steps = list(zip(returned, trials[1:], strict=True))
    if len(steps) > _STEPS_TOLD:
        notes.append(f"{len(steps) - _STEPS_TOLD} more layers went back to float before these")
    for layer, trial in steps[-_STEPS_TOLD:]:
        notes.append(f"then with {layer.name} in float (alone {layer.sqnr_db:.1f} dB) {_describe(trial)}")
    notes.append(f"no further layer helps: at most {MOST_FLOAT:.0%} of the multiply-accumulates may be float")
    return error(
        "Z0492",
        f"the contract cannot be met: {what} {reached.drop:.2%}, {100 * requirement.drop:g}% allowed",
        requirement.span,
        notes=tuple(notes),
        hint="`zooc analyze` shows which layers make most of the noise; change the calibration, raise the "
        "limit, or use fp16",
    )
