"""The assembled graph answers what its stages answer one after the other."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from zooc.deployment import Normalize, Preprocess
from zooc.ir.stages import assemble, build_postlude
from zooc.preprocessing.prelude import build_prelude
from zooc_runtime.package.heads import Head
from zooc_runtime.preprocessing.steps import ECenterCrop

HEADS = (Head(5, activation="softmax"),)
LOGITS = (Head(5, activation="none"),)
PREPROCESS = Preprocess((ECenterCrop(48),), Normalize())


def body(node_prefix: str = "", batch: int | str = "batch") -> onnx.ModelProto:
    weight = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT, name=f"{node_prefix}cast"),
            helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0, name=f"{node_prefix}mean"),
            helper.make_node("MatMul", ["m", f"{node_prefix}w"], ["logits"], name=f"{node_prefix}fc"),
        ],
        "body",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [batch, 3, 48, 48])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 5])],
        [
            numpy_helper.from_array(weight, f"{node_prefix}w"),
            numpy_helper.from_array(np.array([2, 3]), "axes"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model, feed):  # type: ignore[no-untyped-def]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {model.graph.input[0].name: feed})[0]


def test_the_whole_equals_its_stages() -> None:
    stages = [build_prelude(PREPROCESS, 48, 48, "pillow-13"), body(), build_postlude(HEADS)]
    image = np.random.default_rng(1).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    whole = run(assemble(*stages, HEADS), image)
    step = image
    for stage in stages:
        step = run(stage, step)
    np.testing.assert_array_equal(whole, step)
    np.testing.assert_allclose(whole.sum(), 1, rtol=1e-6)


def test_boundary_tensors_are_recorded() -> None:
    model = assemble(build_prelude(PREPROCESS, 48, 48, "pillow-13"), body(), build_postlude(HEADS), HEADS)
    assert [v.name for v in model.graph.value_info] == ["pixels", "logits"]
    alone = assemble(None, body(), None, LOGITS)
    assert [v.name for v in alone.graph.value_info] == []
    assert alone.graph.output[0].name == "logits"


def test_a_body_with_names_of_other_stages_is_renamed() -> None:
    model = assemble(build_prelude(PREPROCESS, 48, 48, "pillow-13"), body("prelude/"), None, LOGITS)
    names = [n.name for n in model.graph.node]
    assert "body/prelude/fc" in names
    assert "body/prelude/w" in [i.name for i in model.graph.initializer]


def test_a_fixed_batch_sees_the_image_in_every_row() -> None:
    stages = [build_prelude(PREPROCESS, 48, 48, "pillow-13"), body(batch=3), build_postlude(HEADS)]
    image = np.random.default_rng(1).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    pixels = np.repeat(run(stages[0], image), 3, axis=0)
    whole = run(assemble(*stages, HEADS), image)
    np.testing.assert_array_equal(whole, run(stages[2], run(stages[1], pixels)))
    assert whole.shape == (3, 5)


def test_named_heads_are_further_outputs_and_parts_of_the_first() -> None:
    heads = (Head(2, name="age", activation="softmax"), Head(3, name="m", begin=2, activation="sigmoid"))
    whole = assemble(build_prelude(PREPROCESS, 48, 48, "pillow-13"), body(), build_postlude(heads), heads)
    assert [out.name for out in whole.graph.output] == ["probabilities", "age", "m"]
    image = np.random.default_rng(1).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(whole.SerializeToString())
    joined, age, rest = session.run(None, {whole.graph.input[0].name: image})
    np.testing.assert_array_equal(joined, np.concatenate([age, rest], axis=1))
    np.testing.assert_allclose(age.sum(), 1, rtol=1e-6)
    assert rest.shape == (1, 3)
