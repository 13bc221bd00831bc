"""What is said of saturation where the weights are a source's own, in uint8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.quantization.saturation import packed_layers


@pytest.mark.parametrize("levels, worst", [([128, 130, 100], 30), ([0, 255, 128], 255)])
def test_weights_in_uint8_count_from_their_zero_point(levels: list[int], worst: int) -> None:
    constants = {
        "w": np.array(levels, np.uint8).reshape(1, 3, 1, 1),
        "s": np.float32(0.1),
        "z": np.uint8(128),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], "w/D"),
        helper.make_node("Conv", ["x", "d"], ["y"], "conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (layer,) = packed_layers(onnx.shape_inference.infer_shapes(model))
    assert layer.worst_pair == worst
