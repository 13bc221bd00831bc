"""Cutting stages out of an ONNX file with no onnx at hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from zooc_runtime.errors import PackageError
from zooc_runtime.package.protobuf import encode_bytes_field, fields
from zooc_runtime.package.stages import Graph


@pytest.fixture(scope="module")
def model_bytes(package: Path) -> bytes:
    return (package / "model.onnx").read_bytes()


def test_each_stage_is_a_valid_model_with_its_own_nodes_only(model_bytes: bytes) -> None:
    graph = Graph(model_bytes)
    for stage, source, target in (
        ("prelude", "image", "pixels"),
        ("body", "pixels", "logits"),
        ("postlude", "logits", "probabilities"),
    ):
        cut = onnx.load_from_string(graph.cut(stage, [source], [target]))  # type: ignore[arg-type]
        onnx.checker.check_model(cut, full_check=True)
        prefixes = {n.name.split("/")[0] for n in (*cut.graph.node, *cut.graph.initializer)}
        assert prefixes == {stage} if stage != "body" else not prefixes & {"prelude", "postlude"}
        assert [v.name for v in cut.graph.input] == [source]
        assert [v.name for v in cut.graph.output] == [target]
        assert cut.ir_version == 10 and cut.opset_import[0].version == 20


def test_the_stages_in_a_row_equal_the_whole(model_bytes: bytes) -> None:
    graph = Graph(model_bytes)
    image = np.random.default_rng(0).integers(0, 256, (20, 11, 3), dtype=np.uint8)
    value = image
    for stage, source, target in (
        ("prelude", "image", "pixels"),
        ("body", "pixels", "logits"),
        ("postlude", "logits", "probabilities"),
    ):
        cut = graph.cut(stage, [source], [target])  # type: ignore[arg-type]
        value = onnxruntime.InferenceSession(cut).run(None, {source: value})[0]
    whole = onnxruntime.InferenceSession(model_bytes).run(None, {"image": image})[0]
    np.testing.assert_array_equal(value, whole)


def test_big_payloads_and_local_functions_survive() -> None:
    weight = np.arange(300_000, dtype=np.float32).reshape(1, -1)
    info = helper.make_tensor_value_info
    double = helper.make_function(
        "own",
        "Double",
        ["x"],
        ["y"],
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_opsetid("", 20)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["input", "w"], ["a"], "add"),
            helper.make_node("Double", ["a"], ["logits"], "d", domain="own"),
            helper.make_node("Softmax", ["logits"], ["probabilities"], "postlude/Softmax"),
        ],
        "g",
        [info("input", TensorProto.FLOAT, [1, 1])],
        [info("probabilities", TensorProto.FLOAT, [1, 300_000])],
        [numpy_helper.from_array(weight, "w")],
        value_info=[info("logits", TensorProto.FLOAT, [1, 300_000])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=[double], ir_version=10)
    body = Graph(model.SerializeToString()).cut("body", ["input"], ["logits"])
    got = onnxruntime.InferenceSession(body).run(None, {"input": np.ones((1, 1), np.float32)})[0]
    np.testing.assert_array_equal(got, 2 * (weight + 1))


def test_a_missing_stage_and_an_unknown_boundary_are_named(pristine: Callable[..., Path]) -> None:
    graph = Graph((pristine(softmax=False) / "model.onnx").read_bytes())
    with pytest.raises(PackageError, match="has no postlude"):
        graph.cut("postlude", ["logits"], ["probabilities"])
    with pytest.raises(PackageError, match='does not describe the tensor "nowhere"'):
        graph.cut("body", ["nowhere"], ["logits"])


def test_every_truncation_is_refused_or_harmless(model_bytes: bytes) -> None:
    for end in range(0, len(model_bytes) - 1, 7):
        try:
            Graph(model_bytes[:end]).cut("body", ["pixels"], ["logits"])
        except PackageError as error:
            assert "compile the package again" in str(error)
        else:
            # What follows the graph (the opset) is missing; ONNX Runtime tells that one.
            assert onnx.load_from_string(model_bytes[:end]).HasField("graph")


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    try:
        Graph(data).cut("body", ["pixels"], ["logits"])
    except PackageError:
        return


@given(st.integers(1, 5000), st.binary(max_size=400))
def test_a_field_written_is_the_field_read(number: int, payload: bytes) -> None:
    written = b"".join(encode_bytes_field(number, [payload[:100], payload[100:]]))
    (field,) = fields(memoryview(written))
    assert (field.number, bytes(field.payload), bytes(field.whole)) == (number, payload, written)


def test_the_runtime_needs_no_onnx() -> None:
    import zooc_runtime.package.stages

    assert "onnx" not in vars(sys.modules[zooc_runtime.package.stages.__name__])
