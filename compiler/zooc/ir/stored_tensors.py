"""A model's stored tensors, read and replaced one by one without touching the others."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

__all__ = ["StoredTensors"]


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
        self._tensors[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))

    def __delitem__(self, name: str) -> None:
        """Refuse: a tensor that nodes read cannot go."""
        raise TypeError("stored tensors can be replaced, not removed")

    def __iter__(self) -> Iterator[str]:
        """Yield the names in the model's order."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._tensors)
