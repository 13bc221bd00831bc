from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from zooc.calibration.file import model_sha256
from zooc.ir.session import open_session
from zooc.ir.weights import large_weights, record_shapes, without_large_weights


@pytest.fixture
def model() -> onnx.ModelProto:
    """A Gemm with a large and a small weight, another one inside an If, and one that nothing reads."""
    random = np.random.default_rng(0)
    stored = {
        "large": random.normal(size=(64, 64)).astype(np.float32),
        "inside": random.normal(size=(64, 64)).astype(np.float32),
        "small": random.normal(size=64).astype(np.float32),
        "unread": random.normal(size=(64, 64)).astype(np.float32),
        "yes": np.array(True),
    }

    def info(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 64])

    branches = {
        f"{which}_branch": helper.make_graph(
            [helper.make_node(op, ["hidden", "inside"], [which])], which, [], [info(which)]
        )
        for which, op in (("then", "MatMul"), ("else", "Gemm"))
    }
    nodes = [
        helper.make_node("Gemm", ["input", "large", "small"], ["hidden"]),
        helper.make_node("If", ["yes"], ["logits"], **branches),
    ]
    tensors = [numpy_helper.from_array(values, name) for name, values in stored.items()]
    graph = helper.make_graph(nodes, "body", [info("input")], [info("logits")], tensors, doc_string="words")
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="someone")


def test_shapes_are_recorded_beside_weights_that_stay(model: onnx.ModelProto) -> None:
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    expected = onnx.shape_inference.infer_shapes(model, data_prop=True)
    stored = [tensor.SerializeToString() for tensor in model.graph.initializer]
    record_shapes(model)
    assert [tensor.SerializeToString() for tensor in model.graph.initializer] == stored
    assert model.graph.value_info == expected.graph.value_info
    assert model.graph.output == expected.graph.output


def test_all_but_the_content_of_large_weights_is_copied(model: onnx.ModelProto) -> None:
    light = without_large_weights(model)
    assert [t.name for t in large_weights(model)] == ["large", "inside", "unread"]
    assert light.ByteSize() < 4096 < model.ByteSize()
    restored = onnx.ModelProto()
    restored.CopyFrom(light)
    for tensor, original in zip(restored.graph.initializer, model.graph.initializer, strict=True):
        assert (tensor.name, tensor.dims, tensor.data_type) == (
            original.name,
            original.dims,
            original.data_type,
        )
        tensor.CopyFrom(original)
    assert restored == model


def test_a_session_answers_as_that_of_the_serialized_model(model: onnx.ModelProto) -> None:
    before = model.SerializeToString(deterministic=True)
    feed = {"input": np.random.default_rng(1).normal(size=(1, 64)).astype(np.float32)}
    expected = ort.InferenceSession(before).run(None, feed)[0]
    session = open_session(model, outputs=["hidden"])
    assert model.SerializeToString(deterministic=True) == before
    model.Clear()  # the session has its own
    answer, hidden = session.run(None, feed)
    np.testing.assert_array_equal(answer, expected)
    assert hidden.shape == (1, 64)


def test_the_hash_sees_every_weight_and_node(model: onnx.ModelProto) -> None:
    changed = []
    for place in range(len(model.graph.initializer)):
        other = onnx.ModelProto()
        other.CopyFrom(model)
        tensor = other.graph.initializer[place]
        values = numpy_helper.to_array(tensor).copy()
        values.reshape(-1)[-1:] = ~values.reshape(-1)[-1:] if values.dtype == bool else 3.5
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        changed.append(other)
    renamed = onnx.ModelProto()
    renamed.CopyFrom(model)
    renamed.graph.node[0].name = "another"
    assert len({model_sha256(m) for m in (model, renamed, *changed)}) == 2 + len(changed)
