"""What a model takes and gives: names, element types and shapes of its input and its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

__all__ = ["Port", "input_of", "output_of"]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a model; free sizes are `None`."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    @property
    def batch(self) -> int:
        """The fixed batch size, 1 where it is free."""
        return self.shape[0] or 1 if self.shape else 1


def input_of(model: onnx.ModelProto) -> Port:
    """Return a model's first input that is no initializer."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return _port(next(value for value in model.graph.input if value.name not in stored))


def output_of(model: onnx.ModelProto) -> Port:
    """Return a model's first output."""
    return _port(model.graph.output[0])


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    shape = (size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
    return Port(value.name, dtype, tuple(shape))
