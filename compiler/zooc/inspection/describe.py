"""Describes one ONNX model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import onnx

from zooc.ir.count import count_convolutions, count_macs, count_operators, count_parameters
from zooc.ir.interface import Port, inputs_of, opset_of, outputs_of

__all__ = ["Inspection", "inspect_model"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `zooc inspect` shows.

    Attributes:
        kind: what was inspected.
        name: the file's or package's name.
        facts: further facts in words, in the order to show them (`source`, `weights`, `version`).
        inputs: the graph's inputs.
        outputs: the graph's outputs.
        opset: version of the default domain.
        operators: operators and how often each occurs, the most frequent first.
        parameters: trained parameters of the network.
        macs: multiply-accumulates of the network for one image; `None` where shapes are unknown.
        convolutions: number of convolutions.
        quantized_convolutions: how many of them compute with integers, or do once the engine has fused.
        files: sizes in bytes.
    """

    kind: str
    name: str
    facts: Mapping[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: int
    operators: Mapping[str, int]
    parameters: int
    macs: int | None
    convolutions: int
    quantized_convolutions: int
    files: Mapping[str, int] = field(default_factory=dict)

    @property
    def flops(self) -> int | None:
        """Two floating-point (or integer) operations for each multiply-accumulate."""
        return None if self.macs is None else 2 * self.macs

    def to_json(self) -> dict[str, Any]:
        """Return every field under its own name, and `flops`; ready for `json.dumps`."""
        plain = asdict(self)
        for ports in ("inputs", "outputs"):
            plain[ports] = [{**port, "shape": [s or "?" for s in port["shape"]]} for port in plain[ports]]
        return {**plain, "flops": self.flops}


def inspect_model(
    model: onnx.ModelProto,
    *,
    kind: str,
    name: str,
    facts: Mapping[str, str] | None = None,
    files: Mapping[str, int] | None = None,
    parameters: int | None = None,
) -> Inspection:
    """Describe `model`; `parameters`, where known better than from the graph, replaces the count."""
    convolutions, quantized = count_convolutions(model)
    return Inspection(
        kind=kind,
        name=name,
        facts=dict(facts or {}),
        inputs=inputs_of(model),
        outputs=outputs_of(model),
        opset=opset_of(model),
        operators=count_operators(model),
        parameters=count_parameters(model) if parameters is None else parameters,
        macs=_macs(model),
        convolutions=convolutions,
        quantized_convolutions=quantized,
        files=dict(files or {}),
    )


def _macs(model: onnx.ModelProto) -> int | None:
    try:
        return count_macs(model)
    except (ValueError, onnx.shape_inference.InferenceError):
        return None
