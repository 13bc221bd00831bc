"""Ranges that look at what an activation function leaves of a tensor's error."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from zooc.accuracy.search.candidates import METHODS, candidate_ranges
from zooc.accuracy.search.elementwise import activation_of, least_error_behind
from zooc.calibration.histogram import ActivationHistograms, Histogram
from zooc.calibration.mse import mse_range
from zooc.ir.graph import read_graph

X = np.linspace(-6, 6, 41)


def model(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    scalars = {"three": 3.0, "zero": 0.0, "six": 6.0}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in outputs],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in scalars.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


HARD_SWISH = (
    helper.make_node("Add", ["x", "three"], ["moved"], name="add"),
    helper.make_node("Clip", ["moved", "zero", "six"], ["clipped"], name="clip"),
    helper.make_node("Mul", ["x", "clipped"], ["y"], name="mul"),
)


@pytest.mark.parametrize(
    "nodes, expected",
    [
        (HARD_SWISH, X * np.clip(X + 3, 0, 6)),
        ((helper.make_node("Sigmoid", ["x"], ["y"], name="sigmoid"),), 1 / (1 + np.exp(-X))),
        ((helper.make_node("HardSigmoid", ["x"], ["y"], name="h"),), np.clip(0.2 * X + 0.5, 0, 1)),
        ((helper.make_node("HardSwish", ["x"], ["y"], name="h"),), X * np.clip(X / 6 + 0.5, 0, 1)),
    ],
)
def test_a_function_of_one_or_several_nodes(nodes: tuple[onnx.NodeProto, ...], expected: np.ndarray) -> None:
    graph = read_graph(model(*nodes))
    function = activation_of(graph, graph.tensors()["x"])
    assert function is not None
    assert np.allclose(function(X), expected)


def test_a_tensor_that_something_else_reads_has_none() -> None:
    beside = helper.make_node("Softmax", ["x"], ["z"], name="softmax")
    graph = read_graph(model(*HARD_SWISH, beside, outputs=("y", "z")))
    assert activation_of(graph, graph.tensors()["x"]) is None


def histogram(values: np.ndarray) -> Histogram:
    result = Histogram()
    assert result.update(values.astype(np.float32))
    return result


def test_no_level_is_spent_where_the_function_is_flat() -> None:
    seen = histogram(np.random.default_rng(0).normal(0, 3, 20000))
    low, high = least_error_behind(seen, lambda x: x * np.clip(x + 3, 0, 6))
    assert -3.6 < low <= -2.6
    assert high > 8
    assert mse_range(seen)[0] < -8


def test_every_tensor_has_every_candidate() -> None:
    histograms = ActivationHistograms(["x", "y"])
    rng = np.random.default_rng(1)
    histograms.update("x", rng.normal(0, 3, 5000).astype(np.float32))
    histograms.update("y", np.abs(rng.normal(0, 3, 5000)).astype(np.float32))
    found = candidate_ranges(model(*HARD_SWISH), histograms)
    assert set(METHODS) < set(found)
    assert all(list(ranges) == ["x", "y"] for ranges in found.values())
    assert all(low <= 0 <= high for ranges in found.values() for low, high in ranges.values())
    assert found["mse behind the activation"]["x"][0] > found["mse"]["x"][0]
    assert found["mse behind the activation"]["y"] == found["mse"]["y"]
