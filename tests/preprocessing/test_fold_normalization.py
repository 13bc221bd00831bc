"""Folding normalization changes what the network eats, not what it answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.deployment import Normalize
from zooc.preprocessing.fold_normalization import fold_normalization

IMAGENET = Normalize(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Array = npt.NDArray[Any]


def network(nodes: list[onnx.NodeProto], constants: dict[str, Array]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 9, 11])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def conv(bias: bool = True, **attributes: Any) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(5, 3, 3, 3)), "b": rng.normal(size=5)}
    inputs = ["input", "w", "b"] if bias else ["input", "w"]
    return network([helper.make_node("Conv", inputs, ["logits"], name="stem/Conv", **attributes)], constants)


def answers(model: onnx.ModelProto, feed: Array) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    result: Array = session.run(None, {model.graph.input[0].name: feed})[0]
    return result


def assert_same_answers(model: onnx.ModelProto, normalize: Normalize) -> Any:
    folded = fold_normalization(model, normalize)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 9, 11), dtype=np.uint8)
    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in (normalize.mean, normalize.std))
    normalized = ((pixels / normalize.divisor - mean) / std).astype(np.float32)
    before, after = answers(model, normalized), answers(folded.model, pixels)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=2e-5 * np.abs(before).max())
    assert folded.model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    pads = [node for node in folded.model.graph.node if node.op_type == "Pad"]
    assert all(len(node.input) < 4 for node in pads), "engines pad other axes than those named"
    return folded


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_without_padding_takes_the_mean_into_its_bias(bias: bool) -> None:
    folded = assert_same_answers(conv(bias), IMAGENET)
    assert folded.folded
    assert not folded.mask_channel
    assert [n.op_type for n in folded.model.graph.node] == ["Cast", "Conv"]


@pytest.mark.parametrize(
    "attributes",
    [{"pads": [1, 1, 1, 1]}, {"pads": [0, 2, 1, 0], "strides": [2, 2]}, {"auto_pad": "SAME_UPPER"}],
)
@pytest.mark.parametrize("bias", [True, False])
def test_zero_padding_stays_exact_at_the_border(attributes: dict[str, Any], bias: bool) -> None:
    folded = assert_same_answers(conv(bias, **attributes), IMAGENET)
    assert folded.folded
    assert folded.mask_channel
    assert [n.op_type for n in folded.model.graph.node] == ["Pad", "Cast", "Conv"]


def test_padding_needs_no_mask_where_the_mean_is_zero() -> None:
    folded = assert_same_answers(conv(pads=[1, 1, 1, 1]), Normalize(127.5))
    assert not folded.mask_channel


def test_a_border_pixel_would_be_wrong_without_the_mask() -> None:
    """The test above can fail: dropping the mask channel's weights changes the border and nothing else."""
    model = conv(pads=[1, 1, 1, 1])
    folded = fold_normalization(model, IMAGENET).model
    weight = next(i for i in folded.graph.initializer if i.name.endswith("folded_weight"))
    values = numpy_helper.to_array(weight).copy()
    taps = values[:, 3].sum(axis=(1, 2))
    values[:, 3] = 0
    bias = next(i for i in folded.graph.initializer if i.name == "b")
    corrected = numpy_helper.to_array(bias) + 255 * taps
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    bias.CopyFrom(numpy_helper.from_array(corrected.astype(np.float32), "b"))
    pixels = np.random.default_rng(1).integers(0, 256, (1, 3, 9, 11), dtype=np.uint8)
    right, wrong = answers(fold_normalization(model, IMAGENET).model, pixels), answers(folded, pixels)
    np.testing.assert_allclose(wrong[..., 1:-1, 1:-1], right[..., 1:-1, 1:-1], atol=1e-4)
    assert np.abs(wrong - right).max() > 0.1


@pytest.mark.parametrize(
    "nodes, reason",
    [
        ([helper.make_node("Relu", ["input"], ["logits"])], "begins with Relu"),
        (
            [
                helper.make_node("Conv", ["input", "w"], ["c"], pads=[1, 1, 1, 1]),
                helper.make_node("ReduceMean", ["input"], ["m"]),
                helper.make_node("Add", ["c", "m"], ["logits"]),
            ],
            "goes to 2 operators",
        ),
        ([helper.make_node("Conv", ["input", "g"], ["logits"], group=3)], "grouped"),
        ([helper.make_node("Identity", ["input"], ["logits"])], "begins with Identity"),
    ],
)
def test_another_beginning_keeps_the_arithmetic_and_says_why(nodes: list[Any], reason: str) -> None:
    rng = np.random.default_rng(0)
    model = network(nodes, {"w": rng.normal(size=(5, 3, 3, 3)), "g": rng.normal(size=(3, 1, 3, 3))})
    folded = assert_same_answers(model, IMAGENET)
    assert not folded.folded
    assert reason in folded.reason


def test_the_given_model_is_left_as_it_was() -> None:
    model = conv(pads=[1, 1, 1, 1])
    before = model.SerializeToString(deterministic=True)
    fold_normalization(model, IMAGENET)
    assert model.SerializeToString(deterministic=True) == before
