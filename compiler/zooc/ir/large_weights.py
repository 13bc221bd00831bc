"""Models without their large weights: to copy, hash or open a network without copying those."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import onnx

__all__ = ["is_large", "large_weights", "placeholder", "without_large_weights"]

_LARGE = 1024
"""Values; sizes, axes and other small constants on which shapes depend have fewer."""


def large_weights(model: onnx.ModelProto) -> Iterable[onnx.TensorProto]:
    """Return the stored tensors that `without_large_weights` leaves out, in order."""
    return (tensor for tensor in model.graph.initializer if _is_large(tensor))


def without_large_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose large weights have a name, a shape and a type only: marked as stored elsewhere.

    Protobuf would copy all weights with a model, and again in each conversion to bytes, of which it allows 2
    GiB; every 100 MB of them take a tenth of a second or two.
    """
    light = onnx.ModelProto()
    _copy_fields(model, light, all_but="graph")
    _copy_fields(model.graph, light.graph, all_but="initializer")
    for tensor in model.graph.initializer:
        if not _is_large(tensor):
            light.graph.initializer.append(tensor)
        else:
            light.graph.initializer.append(placeholder(tensor.name, tensor.dims, tensor.data_type))
    return light


def is_large(shape: Iterable[int]) -> bool:
    """Tell whether a stored tensor of this shape counts as a large weight."""
    return math.prod(shape) >= _LARGE


def placeholder(name: str, shape: Iterable[int], data_type: int) -> onnx.TensorProto:
    """Return a stored tensor without content: marked as stored elsewhere."""
    tensor = onnx.TensorProto(name=name, data_type=data_type, dims=shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="elsewhere")
    return tensor


def _is_large(tensor: onnx.TensorProto) -> bool:
    return is_large(tensor.dims) and tensor.data_location != onnx.TensorProto.EXTERNAL


def _copy_fields(source: Any, target: Any, all_but: str) -> None:
    for field, value in source.ListFields():
        if field.name == all_but:
            continue
        if isinstance(value, (int, str)):
            setattr(target, field.name, value)
        else:
            getattr(target, field.name).extend(value)
