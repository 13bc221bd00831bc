"""A class token becomes padding and an addition, to the bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.passes.simplify.simplify import simplify

RNG = np.random.default_rng(0)


def network(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def embedding(order: list[str], axis: int = 1, position: bool = True, token: tuple[int, ...] = (1, 1, 4)):
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "ones"], ["shape"], axis=0),
    ]
    names = [name for name in order if name != "x"]
    nodes += [helper.make_node("Expand", [f"{name}_value", "shape"], [name]) for name in names]
    nodes.append(helper.make_node("Concat", order, ["tokens"], "join", axis=axis))
    constants = {f"{name}_value": RNG.normal(size=token).astype(np.float32) for name in names}
    constants |= {"ones": np.array([1, 1])}
    last = "tokens"
    if position:
        constants["position"] = RNG.normal(size=(1, 5 + len(names), 4)).astype(np.float32)
        nodes.append(helper.make_node("Add", ["tokens", "position"], ["embedded"], "add"))
        last = "embedded"
    nodes.append(helper.make_node("Tanh", [last], ["y"]))
    return network(nodes, constants)


def run(model: onnx.ModelProto, batch: int) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(batch, 5, 4)).astype(np.float32)
    result: np.ndarray = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("position", [True, False])
@pytest.mark.parametrize(
    "order", [["cls", "x"], ["cls", "distilled", "x"], ["x", "cls"], ["cls", "x", "reg"]]
)
def test_the_same_to_the_bit(order: list[str], position: bool) -> None:
    model = embedding(order, position=position)
    rewritten = simplify(model)
    assert Counter(node.op_type for node in rewritten.graph.node) == {"Pad": 1, "Add": 1, "Tanh": 1}
    for batch in (1, 3):
        np.testing.assert_array_equal(run(rewritten, batch), run(model, batch))


def test_two_tensors_are_left_alone() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Concat", ["r", "x"], ["c"], axis=1),
        helper.make_node("Tanh", ["c"], ["y"]),
    ]
    assert "Concat" in {node.op_type for node in simplify(network(nodes, {})).graph.node}


def test_a_concat_that_is_the_output_is_left_alone() -> None:
    model = embedding(["cls", "x"], position=False)
    model.graph.node[-1].CopyFrom(helper.make_node("Identity", ["tokens"], ["y"]))
    rewritten = simplify(model)
    np.testing.assert_array_equal(run(rewritten, 2), run(model, 2))
