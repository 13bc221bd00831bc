"""Models without their large weights: to copy, hash or open a network without copying those."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import onnx

__all__ = ["large_weights", "without_large_weights"]

_LARGE = 1024
"""Values; sizes, axes and other small constants on which shapes depend have fewer."""


def large_weights(model: onnx.ModelProto) -> Iterable[onnx.TensorProto]:
    """The stored tensors that `without_large_weights` leaves out, in order."""
    return (tensor for tensor in model.graph.initializer if _is_large(tensor))


def without_large_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large weights have a name, a shape and a type only: marked as stored elsewhere.

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
            elsewhere = light.graph.initializer.add(name=tensor.name, data_type=tensor.data_type)
            elsewhere.dims.extend(tensor.dims)
            elsewhere.data_location = onnx.TensorProto.EXTERNAL
            elsewhere.external_data.add(key="location", value="elsewhere")
    return light


def _is_large(tensor: onnx.TensorProto) -> bool:
    return bool(math.prod(tensor.dims) >= _LARGE) and tensor.data_location != onnx.TensorProto.EXTERNAL


def _copy_fields(source: Any, target: Any, all_but: str) -> None:
    for field, value in source.ListFields():
        if field.name == all_but:
            continue
        if isinstance(value, (int, str)):
            setattr(target, field.name, value)
        else:
            getattr(target, field.name).extend(value)
