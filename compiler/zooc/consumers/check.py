"""Whether another runtime answers with `model.onnx` what the package answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zooc.consumers.in_node import run_in_node
from zooc.consumers.in_openvino import run_in_openvino
from zooc.consumers.refusal import RuntimeRefusal
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc_runtime.package.stages import Graph
from zooc_runtime.support.arrays import AnyArray, fill_batch

__all__ = ["CONSUMERS", "Consumption", "check_consumer"]

CONSUMERS = {"web": "onnxruntime-web", "node": "onnxruntime-node", "openvino": "openvino"}
"""What `--for` takes, and the runtime that is meant."""

_GREY_LEVELS = {"web": 0, "node": 0, "openvino": 2}
"""The most that a pixel may differ: OpenVINO resizes in float32, so each of two passes may be off by one."""


@dataclass(frozen=True)
class Consumption:
    """What a runtime made of the golden inputs.

    Attributes:
        consumer: `web`, `node` or `openvino`.
        version: of the runtime.
        pixels_differing, pixels: how many of all pixels the prelude gives otherwise; `None` without prelude.
        grey_levels: the most by which a pixel differs.
        logits: the relative L2 distance of the logits of all images together; of a single one it may be more:
            engines round int8 at different places.
        output: the most by which a value of the graph's own output differs.
        default_logits: `logits` at OpenVINO's default precision, bf16 on CPUs that have it; all the other
            figures are of float32.
    """

    consumer: str
    version: str
    pixels_differing: int | None
    pixels: int
    grey_levels: int
    logits: float
    output: float
    default_logits: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the manifest and `--format json`."""
        return {
            "for": self.consumer,
            "runtime": CONSUMERS[self.consumer],
            "version": self.version,
            "pixels": self.pixels,
            "pixels_differing": self.pixels_differing,
            "grey_levels": self.grey_levels,
            "logits_distance": float(f"{self.logits:.2g}"),
            "output_difference": float(f"{self.output:.2g}"),
            **(
                {} if self.default_logits is None else {"default_logits": float(f"{self.default_logits:.2g}")}
            ),
        }

    def in_words(self) -> str:
        """Return one line for people."""
        runtime = f"{CONSUMERS[self.consumer]} {self.version}"
        words = f"in {runtime}: logits within {self.logits:.1e} of the package's"
        if self.pixels_differing is not None:
            by = f" by {self.grey_levels}" if self.pixels_differing else ""
            words += f", {self.pixels_differing} of {self.pixels} pixels differ{by}"
        if self.default_logits is not None:
            words += f"; at its default precision logits within {self.default_logits:.1e}"
        return words


def check_consumer(
    consumer: str,
    model: bytes,
    goldens: Sequence[Mapping[str, AnyArray]],
    tolerance: float,
    batch: int | None,
    base: Path,
) -> Consumption:
    """Run the golden inputs through the whole graph in another runtime.

    Args:
        consumer: a key of `CONSUMERS`.
        model: the bytes of `model.onnx`.
        goldens: for each golden the arrays at the boundaries by name, the graph's input first.
        tolerance: the relative L2 distance that logits may have.
        batch: the network's fixed batch, `None` where it is free.
        base: the folder from which Node looks packages up.

    Raises:
        ZoocError: Z0703, the runtime is not installed; Z0704, it refuses the graph; Z0705, it answers
            otherwise.
    """
    inputs = [next(iter(golden.values())) for golden in goldens]
    if "image" not in goldens[0]:
        inputs = [fill_batch(value, batch) for value in inputs]
    inner = [name for name in list(goldens[0])[1:] if name in ("pixels", "logits")]
    exposed = Graph(model).exposing(inner)
    try:
        answers = _run(consumer, model, inputs, base)[1]  # the file as it is; then its inner tensors, too
        version, runs = _run(consumer, exposed, inputs, base)
    except RuntimeRefusal as refusal:
        raise _refused(consumer, refusal) from None
    merged = [{**run, **answer} for run, answer in zip(runs, answers, strict=True)]
    found = _compare(consumer, version, goldens, merged)
    if consumer == "openvino":
        runs = run_in_openvino(exposed, inputs, precision=None)[1]
        default = _compare(consumer, version, goldens, runs)
        levels = max(found.grey_levels, default.grey_levels)
        found = replace(found, grey_levels=levels, default_logits=default.logits)
    if found.grey_levels > _GREY_LEVELS[consumer] or not found.logits <= tolerance:
        raise ZoocError(
            error(
                "Z0705",
                f"{CONSUMERS[consumer]} {version} gives other results for this graph than the package",
                notes=(found.in_words(), f"logits may differ by at most {tolerance:.0e}"),
                hint=f"try another version of {CONSUMERS[consumer]}, or leave out --for {consumer} to "
                "compile without this check",
            )
        )
    return found


def _run(
    consumer: str, model: bytes, inputs: Sequence[AnyArray], base: Path
) -> tuple[str, list[dict[str, AnyArray]]]:
    if consumer == "openvino":
        return run_in_openvino(model, inputs)
    return run_in_node(CONSUMERS[consumer], model, inputs, base)


def _compare(
    consumer: str,
    version: str,
    goldens: Sequence[Mapping[str, AnyArray]],
    runs: Sequence[Mapping[str, AnyArray]],
) -> Consumption:
    differing, pixels, levels, most = None, 0, 0, 0.0
    noise = signal = 0.0
    last = list(goldens[0])[-1]
    for golden, run in zip(goldens, runs, strict=True):
        wanted = golden["logits"].astype(np.float64)
        noise += float(np.square(run["logits"][:1] - wanted).sum())
        signal += float(np.square(wanted).sum())
        most = max(most, float(np.abs(run[last][:1] - golden[last]).max()))
        if "pixels" in run:
            difference = np.abs(run["pixels"].astype(int) - golden["pixels"].astype(int))
            differing = (differing or 0) + int(np.count_nonzero(difference))
            pixels += difference.size
            levels = max(levels, int(difference.max()))
    distance = float(np.sqrt(noise / max(signal, 1e-24)))
    return Consumption(consumer, version, differing, pixels, levels, distance, most)


def _refused(consumer: str, refusal: RuntimeRefusal) -> ZoocError:
    about = f" because of {refusal.operator}" if refusal.operator else ""
    return ZoocError(
        error(
            "Z0704",
            f"{refusal.runtime} refuses this graph{about}",
            notes=(refusal.message,),
            hint=f"try another version of {CONSUMERS[consumer]}, or replace the operator in the network",
        )
    )
