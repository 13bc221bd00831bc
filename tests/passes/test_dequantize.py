"""A quantized network's float twin, and constants that are quantized when the network is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.passes.dequantize.dequantize import dequantize
from zooc.passes.simplify.simplify import simplify


def network(nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def pair(source: str, result: str, of: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [source, f"{of}s", f"{of}z"], [f"{result}_q"], f"{result}/Q"),
        helper.make_node("DequantizeLinear", [f"{result}_q", f"{of}s", f"{of}z"], [result], f"{result}/D"),
    ]


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


X = np.random.default_rng(0).normal(0, 2, (2, 3, 6, 6)).astype(np.float32)
SCALE = {"as": np.float32(0.01), "az": np.uint8(0)}
RNG = np.random.default_rng(1)
LEVELS = RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
CHANNELS = RNG.uniform(0.001, 0.01, 4).astype(np.float32)


def test_a_range_that_ends_at_zero_is_a_clip() -> None:
    """The Relu that the quantizer left out is still performed."""
    twin = dequantize(network(pair("x", "y", "a"), SCALE))
    assert operators(twin) == ["Clip"]
    np.testing.assert_array_equal(run(twin, X), np.clip(X, 0, np.float32(2.55)))


def test_a_relu_before_it_goes_into_the_clip() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), *pair("r", "y", "a")]
    assert operators(dequantize(network(nodes, SCALE))) == ["Clip"]


def test_a_range_is_kept_to_once() -> None:
    pool = helper.make_node("MaxPool", ["d"], ["p"], "pool", kernel_shape=[2, 2])
    last = helper.make_node("Neg", ["e"], ["y"])
    nodes = [*pair("x", "d", "a"), pool, *pair("p", "e", "a"), last]
    assert operators(dequantize(network(nodes, SCALE))) == ["Clip", "MaxPool", "Neg"]


def test_integers_read_with_another_scale_stay() -> None:
    nodes = pair("x", "y", "a")
    nodes[1].input[1] = "other"
    twin = dequantize(network(nodes, {**SCALE, "other": np.float32(0.02)}))
    assert operators(twin) == ["QuantizeLinear", "DequantizeLinear"]


@pytest.mark.parametrize("zero", [np.zeros(4, np.int8), np.array([1, -2, 3, 4], np.int8)])
def test_stored_levels_become_the_floats_that_onnx_runtime_makes_of_them(zero: np.ndarray) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], "w/D", axis=0),
        helper.make_node("Conv", ["x", "d"], ["y"], "conv"),
    ]
    model = network(nodes, {"w": LEVELS, "s": CHANNELS, "z": zero})
    twin = dequantize(model)
    assert operators(twin) == ["Conv"]
    np.testing.assert_array_equal(run(twin, X), run(model, X))


def test_floats_that_the_file_has_are_taken_before_their_integers() -> None:
    floats = (LEVELS * CHANNELS.reshape(4, 1, 1, 1) + np.float32(1e-4)).astype(np.float32)
    nodes = [*pair("w", "d", "w"), helper.make_node("Conv", ["x", "d"], ["y"], "conv")]
    for node in nodes[:2]:
        node.attribute.append(helper.make_attribute("axis", 0))
    model = network(nodes, {"w": floats, "ws": CHANNELS, "wz": np.zeros(4, np.int8)})
    twin = dequantize(model)
    assert operators(twin) == ["Conv"]
    (weight,) = twin.graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(weight), floats)


def test_simplifying_stores_integers_for_constants_that_are_quantized() -> None:
    floats = RNG.normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32)
    floats[0, 0, 0] = [100.0, -100.0, 0.0]  # beyond the levels
    nodes = [*pair("w", "d", "w"), helper.make_node("Conv", ["x", "d"], ["y"], "conv")]
    for node in nodes[:2]:
        node.attribute.append(helper.make_attribute("axis", 0))
    model = network(nodes, {"w": floats, "ws": CHANNELS, "wz": np.zeros(4, np.int8)})
    simplified = simplify(model)
    assert operators(simplified) == ["DequantizeLinear", "Conv"]
    assert {t.data_type for t in simplified.graph.initializer if len(t.dims) == 4} == {TensorProto.INT8}
    np.testing.assert_array_equal(run(simplified, X), run(model, X))
    assert simplify(simplified) == simplified
