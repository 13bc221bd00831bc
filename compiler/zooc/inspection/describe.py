"""Describes one ONNX model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import onnx
from onnx import TensorProto

from zooc.ir.count import count_macs, count_parameters

__all__ = ["Inspection", "Port", "inspect_model"]

_CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: its element type, and its shape, where a free dimension is a name or `?`."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


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
        """Every field under its own name, and `flops`; ready for `json.dumps`."""
        plain = asdict(self)
        for ports in ("inputs", "outputs"):
            plain[ports] = [{**port, "shape": list(port["shape"])} for port in plain[ports]]
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
    """Describes `model`; `parameters`, where known better than from the graph, replaces the count."""
    constants = {tensor.name for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type in _CONVOLUTIONS]
    producers = {output: node.op_type for node in model.graph.node for output in node.output}
    operators = Counter(f"{n.domain}.{n.op_type}" if n.domain else n.op_type for n in model.graph.node)
    return Inspection(
        kind=kind,
        name=name,
        facts=dict(facts or {}),
        inputs=tuple(_port(v) for v in model.graph.input if v.name not in constants),
        outputs=tuple(_port(v) for v in model.graph.output),
        opset=max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0),
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        parameters=count_parameters(model) if parameters is None else parameters,
        macs=_macs(model),
        convolutions=len(convolutions),
        quantized_convolutions=sum(_is_quantized(node, producers) for node in convolutions),
        files=dict(files or {}),
    )


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    name = TensorProto.DataType.Name(tensor.elem_type).lower()
    dtype = {"float": "float32", "double": "float64"}.get(name, name)
    dims = (d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim)
    return Port(value.name, dtype, tuple(dims))


def _is_quantized(node: onnx.NodeProto, producers: Mapping[str, str]) -> bool:
    if node.op_type != "Conv":
        return True
    return all(producers.get(name) == "DequantizeLinear" for name in node.input[:2])


def _macs(model: onnx.ModelProto) -> int | None:
    try:
        return count_macs(model)
    except ValueError:
        return None
