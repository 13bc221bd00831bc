"""A model on its way to other processes: its weights apart, as arrays that a machine's processes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime
from onnx import numpy_helper

from zooc.ir.weights import large_weights, without_large_weights

__all__ = ["SentModel"]


@dataclass(frozen=True)
class SentModel:
    """A model of any size that can be pickled.

    Attributes:
        light: the model without its large weights, serialized.
        arrays: these by name.
    """

    light: bytes
    arrays: dict[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> SentModel:
        """Return a model as it is sent; the model is not changed."""
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in large_weights(model)}
        return cls(without_large_weights(model).SerializeToString(), arrays)

    def model(self) -> onnx.ModelProto:
        """Return the model without its large weights."""
        return onnx.load_model_from_string(self.light)

    def whole(self) -> onnx.ModelProto:
        """Return the model with its weights, for those who look into them."""
        model = self.model()
        for tensor in model.graph.initializer:
            if tensor.name in self.arrays:
                tensor.CopyFrom(numpy_helper.from_array(self.arrays[tensor.name], tensor.name))
        return model

    def weights(self) -> dict[str, onnxruntime.OrtValue]:
        """Return the large weights as `open_session` takes them, in the arrays' own memory."""
        take = onnxruntime.OrtValue.ortvalue_from_numpy
        return {name: take(array) for name, array in self.arrays.items()}
