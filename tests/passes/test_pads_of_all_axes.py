"""A Pad that names its axes gets the pads of all; what it computes stays."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.ir.rewriter import Refusals
from zooc.passes.simplify.simplify import simplify


def names_of_axes_left(graph: onnx.GraphProto) -> list[str]:
    """The names of the Pads that name their axes, those inside of subgraphs too."""
    inner = [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    own = [n.name for n in graph.node if n.op_type == "Pad" and len(n.input) > 3 and n.input[3]]
    return own + [name for part in inner for name in names_of_axes_left(part)]


def network(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], inputs: list[onnx.ValueInfoProto]):
    graph = helper.make_graph(
        nodes,
        "net",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 5])
VALUE = np.float32(7)


def run(model: onnx.ModelProto, **feed: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    result: np.ndarray = session.run(None, feed)[0]
    return result


@pytest.mark.parametrize(
    ("axes", "pads"), [([1], [0, 1]), ([-1, -2], [1, 2, 3, 4]), ([0, 1, 2, 3], [0] * 7 + [1])]
)
@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_constant_pads(axes: list[int], pads: list[int], mode: str) -> None:
    node = helper.make_node("Pad", ["x", "pads", "value", "axes"], ["y"], "pad", mode=mode)
    model = network([node], {"pads": np.array(pads), "value": VALUE, "axes": np.array(axes)}, [X])
    rewritten = simplify(model)
    (pad,) = rewritten.graph.node
    assert len(pad.input) == 3
    assert names_of_axes_left(model.graph) == ["pad"]
    assert not names_of_axes_left(rewritten.graph)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(rewritten, x=x), run(model, x=x))


def test_computed_pads() -> None:
    node = helper.make_node("Pad", ["x", "pads", "value", "axes"], ["y"], "pad")
    given = helper.make_tensor_value_info("pads", TensorProto.INT64, [4])
    model = network([node], {"value": VALUE, "axes": np.array([3, 2])}, [X, given])
    rewritten = simplify(model)
    assert not names_of_axes_left(rewritten.graph)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    pads = np.array([0, 1, 2, 0])
    np.testing.assert_array_equal(run(rewritten, x=x, pads=pads), run(model, x=x, pads=pads))


def test_computed_axes_stay_and_are_told() -> None:
    node = helper.make_node("Pad", ["x", "pads", "value", "axes"], ["y"], "pad")
    given = helper.make_tensor_value_info("axes", TensorProto.INT64, [1])
    model = network([node], {"value": VALUE, "pads": np.array([0, 1])}, [X, given])
    refusals: Refusals = {}
    assert names_of_axes_left(simplify(model, refusals).graph) == ["pad"]
    assert refusals["pads_of_all_axes"] == {"pad": "its axes are computed"}


def test_an_empty_name_of_the_axes_is_dropped() -> None:
    node = helper.make_node("Pad", ["x", "pads", "value", ""], ["y"], "pad")
    model = network([node], {"value": VALUE, "pads": np.array([0, 0, 0, 0, 0, 1, 0, 0])}, [X])
    (pad,) = simplify(model).graph.node
    assert list(pad.input)[:3] == ["x", "pads", "value"]
    assert len(pad.input) == 3


def test_pads_inside_of_a_branch() -> None:
    def branch(name: str, axis: int) -> onnx.GraphProto:
        nodes = [helper.make_node("Pad", ["x", "pads", "value", f"axes{axis}"], [name], f"{name}/pad")]
        return helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )

    node = helper.make_node("If", ["c"], ["y"], "if", then_branch=branch("t", 2), else_branch=branch("e", 3))
    given = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    constants = {"value": VALUE, "pads": np.array([0, 1]), "axes2": np.array([2]), "axes3": np.array([3])}
    model = network([node], constants, [X, given])
    assert len(names_of_axes_left(model.graph)) == 2
    rewritten = simplify(model)
    assert not names_of_axes_left(rewritten.graph)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    for c in (True, False):
        np.testing.assert_array_equal(run(rewritten, x=x, c=np.array(c)), run(model, x=x, c=np.array(c)))
