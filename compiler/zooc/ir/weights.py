"""A model's stored tensors: left out where they are large, read and replaced one by one.

Protobuf would copy all weights with a model, and again in each conversion to bytes, of which it allows 2 GiB;
every 100 MB of them take a tenth of a second or two. So networks are copied, hashed, opened and given shapes
without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

__all__ = [
    "StoredTensors",
    "inferred_graph",
    "is_large",
    "large_weights",
    "placeholder",
    "record_shapes",
    "without_large_weights",
]

_LARGE = 1024
"""Values; sizes, axes and other small constants on which shapes depend have fewer."""


def large_weights(model: onnx.ModelProto) -> Iterable[onnx.TensorProto]:
    """Return the stored tensors that `without_large_weights` leaves out, in order."""
    return (tensor for tensor in model.graph.initializer if _is_large(tensor))


def without_large_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose large weights have a name, a shape and a type only: marked as stored elsewhere."""
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


def inferred_graph(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return the graph with what ONNX's shape inference found in its `value_info` and `output`.

    Its large weights have no content.
    """
    return onnx.shape_inference.infer_shapes(without_large_weights(model), data_prop=True).graph


def record_shapes(model: onnx.ModelProto) -> None:
    """Put the shapes and types that inference finds into the model's `value_info` and outputs, in place."""
    inferred = inferred_graph(model)
    del model.graph.value_info[:]
    del model.graph.output[:]
    model.graph.value_info.extend(inferred.value_info)
    model.graph.output.extend(inferred.output)


class StoredTensors(MutableMapping[str, npt.NDArray[Any]]):
    """The initializers of a model by name; setting one changes the model in place."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Index the initializers of `model`."""
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a tensor's values, read anew each time."""
        return np.asarray(numpy_helper.to_array(self._tensors[name]))

    def __setitem__(self, name: str, values: npt.NDArray[Any]) -> None:
        """Replace a tensor's values, shape and type."""
        self._tensors[name].CopyFrom(numpy_helper.from_array(np.asarray(values, order="C"), name))

    def __delitem__(self, name: str) -> None:
        """Refuse: a tensor that nodes read cannot go."""
        raise TypeError("stored tensors can be replaced, not removed")

    def __iter__(self) -> Iterator[str]:
        """Yield the names in the model's order."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._tensors)


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
