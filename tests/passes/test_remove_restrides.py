from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.passes.simplify.simplify import simplify


def restrided(*, step=5, order=range(5), batch="batch"):
    """A mean over space, taken from the flat tensor at `step * image + order`, as exporters spell it."""
    stored = {"axes": [2, 3], "flat": [-1], "zero": 0, "one": 1, "step": step, "new": [1, 2, 3]}
    stored["order"] = np.reshape(order, (1, -1, 1, 1))
    nodes = [
        ("ReduceMean", ["input", "axes"], "mean", {"keepdims": 1}),
        ("Reshape", ["mean", "flat"], "elements", {}),
        ("Shape", ["input"], "sizes", {"start": 0, "end": 1}),
        ("Squeeze", ["sizes"], "count", {}),
        ("Range", ["zero", "count", "one"], "image", {}),
        ("Mul", ["image", "step"], "begin", {}),
        ("Unsqueeze", ["begin", "new"], "begins", {}),
        ("Add", ["begins", "order"], "indices", {}),
        ("Gather", ["elements", "indices"], "taken", {"axis": 0}),
        ("Relu", ["taken"], "logits", {}),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, i, [o], name=f"{o}/{op}", **options) for op, i, o, options in nodes],
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 5, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 5, 1, 1])],
        [numpy_helper.from_array(np.asarray(values, np.int64), name) for name, values in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model, batch):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(7).standard_normal((batch, 5, 4, 4)).astype(np.float32)
    return session.run(None, {"input": image})[0]


@pytest.mark.parametrize("batch", ["batch", 3])
def test_taking_all_elements_in_order_is_nothing(batch) -> None:
    before = restrided(batch=batch)
    after = simplify(before)
    assert [node.op_type for node in after.graph.node] == ["ReduceMean", "Relu"]
    np.testing.assert_array_equal(run(after, 3), run(before, 3))


@pytest.mark.parametrize("change", [{"order": [1, 0, 2, 3, 4]}, {"step": 0}, {"step": 2}], ids=str)
def test_other_orders_stay(change) -> None:
    before = restrided(**change)
    after = simplify(before)
    assert "Gather" in {node.op_type for node in after.graph.node}
    np.testing.assert_array_equal(run(after, 3), run(before, 3))
