from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from zooc.ir.weights import StoredTensors


@pytest.mark.parametrize("shape", [(), (1,), (3, 2)])
def test_a_tensor_is_replaced_with_its_shape(shape: tuple[int, ...]) -> None:
    model = onnx.ModelProto()
    model.graph.initializer.append(numpy_helper.from_array(np.float32([1, 2]), "one"))
    stored = StoredTensors(model)
    stored["one"] = values = np.full(shape[::-1], 3.0).T
    assert stored["one"].shape == shape
    assert np.array_equal(stored["one"], values)
