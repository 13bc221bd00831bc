"""What a model takes and gives: names, element types and shapes of its inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

__all__ = ["Port", "input_of", "inputs_of", "opset_of", "output_of", "outputs_of", "set_batch"]

_NAMES = {"float": "float32", "double": "float64"}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a model.

    Attributes:
        name: the tensor's.
        dtype: numpy's name of the element type, or ONNX's where numpy has none.
        shape: a free size is a name, or `None` without one.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """The shape, with `None` for free sizes."""
        return tuple(size if isinstance(size, int) else None for size in self.shape)

    @property
    def batch(self) -> int:
        """The fixed batch size, 1 where it is free."""
        return (self.sizes[0] or 1) if self.shape else 1

    def to_json(self) -> dict[str, Any]:
        """Return plain data for manifests."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.sizes)}


def inputs_of(model: onnx.ModelProto) -> tuple[Port, ...]:
    """Return a model's inputs that are no initializers."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return tuple(_port(value) for value in model.graph.input if value.name not in stored)


def outputs_of(model: onnx.ModelProto) -> tuple[Port, ...]:
    """Return a model's outputs."""
    return tuple(_port(value) for value in model.graph.output)


def input_of(model: onnx.ModelProto) -> Port:
    """Return a model's first input."""
    return inputs_of(model)[0]


def output_of(model: onnx.ModelProto) -> Port:
    """Return a model's first output."""
    return outputs_of(model)[0]


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the default domain, 0 without one."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def set_batch(model: onnx.ModelProto, batch: int) -> None:
    """Fix the batch size of the first input and the first output, in place."""
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = batch


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    name = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    # Paddle writes free sizes as -1.
    sizes = (s.dim_value if s.dim_value > 0 else s.dim_param or None for s in tensor.shape.dim)
    return Port(value.name, _NAMES.get(name, name), tuple(sizes))
