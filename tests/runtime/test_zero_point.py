"""Weights with another zero point give the same bits."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc_runtime.inference.amx_weights import move_zero_points


def convolution(weight, *, groups=1, shared=False):
    """An integer convolution by `weight`, of pixels, as QDQ."""
    channels = len(weight)
    stored = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "w": weight,
        "w_scale": np.linspace(0.01, 0.02, channels, dtype=np.float32),
        "w_zero": np.zeros(channels, np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["pixels", "one", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["dw"], axis=0),
        helper.make_node("Conv", ["x", "dw"], ["y"], group=groups),
        helper.make_node("QuantizeLinear", ["y", "one", "zero"], ["q"]),
    ]
    outputs = [helper.make_tensor_value_info("q", TensorProto.UINT8, None)]
    if shared:
        nodes.append(helper.make_node("Identity", ["w_zero"], ["also"]))
        outputs.append(helper.make_tensor_value_info("also", TensorProto.INT8, None))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", weight.shape[1] * groups, 9, 9])],
        outputs,
        [numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def levels(model: bytes, name: str):
    return next(
        numpy_helper.to_array(t) for t in onnx.load_from_string(model).graph.initializer if t.name == name
    )


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("channels", [1 + 3, 64])
def test_the_result_keeps_its_bits(groups: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    model = convolution(rng.integers(-127, 128, (channels, 4, 3, 3), dtype=np.int8), groups=groups)
    before = model.SerializeToString()
    after = move_zero_points(before)
    assert levels(after, "w_zero").tolist() == [-1] * channels
    np.testing.assert_array_equal(levels(after, "w"), levels(before, "w").astype(int) - 1)
    pixels = rng.integers(0, 256, (2, 4 * groups, 9, 9), dtype=np.uint8)
    sessions = [onnxruntime.InferenceSession(m) for m in (before, after)]
    wanted, found = (s.run(None, {"pixels": pixels})[0] for s in sessions)
    assert np.unique(wanted).size > 30
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "model",
    [
        convolution(np.full((4, 1, 3, 3), 5, np.int8), groups=4),
        convolution(np.full((4, 4, 3, 3), -128, np.int8)),
        convolution(np.full((4, 4, 3, 3), 5, np.int8), shared=True),
    ],
    ids=["depthwise", "holds -128", "zero point read elsewhere"],
)
def test_what_cannot_or_need_not_move_stays(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    assert move_zero_points(before) == before
