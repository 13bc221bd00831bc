from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from zooc.ir.graph import Node
from zooc.quantization.corrections.layer_inputs import mean_inputs


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]:
    """Attributes, the input's shape, the weights' shape."""
    rank = draw(st.sampled_from([1, 2, 2, 2]))
    each = [st.integers(1, 3) for _ in range(rank)]
    kernel, strides, dilations = (list(draw(st.tuples(*each))) for _ in range(3))
    sizes = [draw(st.integers(1, 9)) for _ in range(rank)]
    group, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": group}
    kind = draw(st.sampled_from(["pads", "SAME_UPPER", "SAME_LOWER"]))
    if kind == "pads":
        pads = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
        attributes["pads"] = pads
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        assume(all(s + pads[i] + pads[i + rank] >= reach[i] for i, s in enumerate(sizes)))
    else:
        # ONNX Runtime knows these of convolutions without dilation only.
        attributes |= {"auto_pad": kind, "dilations": [1] * rank}
    batch, outputs = draw(st.integers(1, 3)), group * draw(st.integers(1, 2))
    return attributes, (batch, group * per_group, *sizes), (outputs, per_group, *kernel)


@settings(max_examples=150, deadline=None)
@given(convolutions(), st.integers(0, 99))
def test_the_weights_times_the_mean_inputs_are_the_mean_of_the_result(
    case: tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]], seed: int
) -> None:
    attributes, shape, weight_shape = case
    random = np.random.default_rng(seed)
    values, weight = (random.normal(size=s).astype(np.float32) for s in (shape, weight_shape))
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    result = convolve(node, values, weight)
    exact = result.mean(axis=tuple(range(2, result.ndim)))
    inputs = mean_inputs(Node("Conv", attrs=attributes), weight_shape[2:], values)
    groups = attributes["group"]
    assert inputs.shape == (shape[0], groups, int(np.prod(weight_shape[1:])))
    rows = weight.reshape(groups, -1, inputs.shape[-1])
    found = np.einsum("goi,ngi->ngo", rows, inputs).reshape(shape[0], -1)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


def convolve(node: onnx.NodeProto, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    source = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, values.shape)
    answer = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [source], [answer], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return np.asarray(ort.InferenceSession(model.SerializeToString()).run(None, {"x": values})[0])


@pytest.mark.parametrize("op", ["Conv", "Gemm"])
def test_the_result_shares_no_memory_with_the_values(op: str) -> None:
    """They are overwritten by the next batch."""
    values = np.ones((2, 4) if op == "Gemm" else (2, 4, 1, 1), np.float32)
    inputs = mean_inputs(Node(op), () if op == "Gemm" else (1, 1), values)
    values[:] = 7
    assert (inputs == 1).all()
