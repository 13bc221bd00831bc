"""`ceil_mode` goes where it has no effect, and stays where it has one."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from zooc.passes.simplify.simplify import simplify


def network(kind: str, size: int, **attributes) -> onnx.ModelProto:
    node = helper.make_node(kind, ["x"], ["y"], "pool", ceil_mode=1, **attributes)
    graph = helper.make_graph(
        [node],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    result: np.ndarray = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("kind", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize(
    "size, attributes, goes",
    [
        (8, {"kernel_shape": [2, 2], "strides": [2, 2]}, True),
        (7, {"kernel_shape": [2, 2], "strides": [2, 2]}, False),
        (7, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, True),
        (8, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, False),
        (9, {"kernel_shape": [3, 3], "strides": [2, 2], "dilations": [2, 2]}, True),
        (8, {"kernel_shape": [3, 3]}, True),
    ],
)
def test_it_goes_exactly_where_the_stride_divides(kind: str, size: int, attributes: dict, goes: bool) -> None:
    model = network(kind, size, **attributes)
    simplified = simplify(model)
    (pool,) = simplified.graph.node
    assert any(a.name == "ceil_mode" for a in pool.attribute) != goes
    x = np.random.default_rng(0).normal(size=(3, 2, size, size)).astype(np.float32)
    np.testing.assert_array_equal(run(simplified, x), run(model, x))
