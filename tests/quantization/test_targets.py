"""What accelerators take, by the rules of their documentation, which `quantization/targets.py` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from zooc.deployment import CalibrationMethod, Quantize
from zooc.ir.graph import Constant, Graph, Node, Tensor, maker, read_graph, values_of
from zooc.passes.legalize.legalize import legalize
from zooc.passes.simplify.simplify import simplify
from zooc.quantization.layers import Quantized
from zooc.quantization.target_form import for_target
from zooc.verification.agreement import sqnr_db

INT8 = Quantize(dtype="int8", calibrate=CalibrationMethod("max"))
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
WEIGHTED = ("Conv", "Gemm", "MatMul")


def residual(n: Any) -> None:
    x = n.add("Relu", n.conv(n.begin(mask=True), 4, 8, name="stem", strides=[2, 2]), name="stem_act")
    x = n.add("MaxPool", x, name="maxpool", kernel_shape=[2, 2], strides=[2, 2])
    for block in ("one", "two"):
        y = n.add("Relu", n.conv(x, 8, 8, name=f"{block}.conv1"), name=f"{block}.act")
        y = n.add("Add", n.conv(y, 8, 8, name=f"{block}.conv2"), x, name=block)
        x = n.add("Relu", y, name=f"{block}.out")
    n.head(x, 8)


def downsampling(n: Any) -> None:
    """Both operands of the sum come from a convolution."""
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="stem_act")
    y = n.conv(n.add("Relu", n.conv(x, 8, 8, name="conv1"), name="act"), 8, 8, name="conv2")
    n.head(n.add("Relu", n.add("Add", y, n.conv(x, 8, 8, k=1, name="skip"), name="sum"), name="out"), 8)


def squeeze_excite(n: Any) -> None:
    x = n.conv(n.begin(), 3, 8, name="stem")
    x = n.add("Mul", x, n.add("Sigmoid", x, name="gate"), name="silu")
    x = n.add("Mul", n.conv(x, 8, 8, name="mid"), n.store("minus", -0.5), name="half")
    s = n.add("GlobalAveragePool", x, name="squeeze")
    s = n.add("Sigmoid", n.conv(s, 8, 8, k=1, name="excite"), name="excite_gate")
    n.head(n.conv(n.add("Mul", x, s, name="scale"), 8, 8, name="last"), 8)


def product(n: Any) -> None:
    """A MatMul at the end, without a bias."""
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act")
    x = n.add("Flatten", n.add("GlobalAveragePool", n.conv(x, 8, 8, name="c"), name="pool"), name="flat")
    n.finish(n.add("MatMul", x, n.store("fc.weight", n.random.normal(0, 1, (8, 10))), name="fc"))


NETWORKS = (residual, downsampling, squeeze_excite, product)

Made = Callable[[Any, str], tuple[Quantized, onnx.ModelProto, np.ndarray]]


@pytest.fixture
def made(net: Callable[..., Any], quantized: Callable[..., Quantized]) -> Made:
    """The body in a target's form, its float body, and images."""

    def make(build: Any, target: str) -> tuple[Quantized, onnx.ModelProto, np.ndarray]:
        n = net()
        build(n)
        quantize = replace(INT8, target=target)
        body, images = legalize(n.model()), n.images()
        result = for_target(quantized(body, images, quantize), quantize)
        onnx.checker.check_model(result.model, full_check=True)
        return result, body, images

    return make


def _pairs(graph: Graph) -> Iterator[Node]:
    return (node for node in graph.nodes if node.op in ("QuantizeLinear", "DequantizeLinear"))


def _levels(tensor: Tensor) -> Node | None:
    """The DequantizeLinear that makes a tensor."""
    return maker(tensor, "DequantizeLinear")


def _weighted(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op in WEIGHTED and _levels(node.inputs[1])]


@pytest.mark.parametrize("build", NETWORKS)
def test_tensorrt_gets_signed_levels_of_zero_point_0_and_float_biases(made: Made, build: Any) -> None:
    result, *_ = made(build, "tensorrt")
    graph = read_graph(result.model)
    for node in _pairs(graph):
        zero = values_of(node.inputs[2])
        assert zero is not None and zero.dtype == np.int8 and not zero.any(), node.name
        data = values_of(node.inputs[0])
        assert data is None or data.dtype == np.int8, node.name
    layers = _weighted(graph)
    assert layers
    for node in layers:
        assert _levels(node.inputs[0]) is not None, f"{node.name}: all inputs of weighted operations"
        if len(node.inputs) > 2:
            bias = node.inputs[2]
            assert isinstance(bias, Constant) and bias.dtype == np.float32, node.name
        if node.op == "Conv":
            weight = _levels(node.inputs[1])
            assert weight is not None and weight.attrs["axis"] == 0
    assert {layer.zero_point for layer in result.layers} <= {None, 0}


@pytest.mark.parametrize("build", NETWORKS)
def test_tensorrt_reads_pixels_by_a_cast_and_convolves_them_in_float(made: Made, build: Any) -> None:
    result, *_ = made(build, "tensorrt")
    graph = read_graph(result.model)
    (pixels,) = graph.inputs
    assert [node.op for node in pixels.outputs] == ["Cast"]
    stem = next(node for node in graph.nodes if node.name == "stem/Conv")
    assert isinstance(stem.inputs[1], Constant) and stem.inputs[1].dtype == np.float32


@pytest.mark.parametrize("build", [residual, downsampling])
def test_tensorrt_can_fuse_each_sum_into_one_convolution(made: Made, build: Any) -> None:
    result, *_ = made(build, "tensorrt")
    sums = [node for node in read_graph(result.model).nodes if node.op == "Add"]
    assert sums
    for node in sums:
        made_by = sorted(before.op for t in node.inputs if (before := maker(t)) is not None)
        assert made_by == ["Conv", "DequantizeLinear"], node.name


@pytest.mark.parametrize("build", NETWORKS)
def test_qnn_gets_every_layer_quantized_on_both_sides(made: Made, build: Any) -> None:
    result, *_ = made(build, "qnn")
    graph = read_graph(result.model)
    (pixels,) = graph.inputs
    assert [node.op for node in pixels.outputs] == ["DequantizeLinear"]
    for node in _weighted(graph):
        assert _levels(node.inputs[0]) is not None, node.name
        (reader,) = node.outputs[0].outputs
        if reader.op == "Relu":
            (reader,) = reader.outputs[0].outputs
        assert reader.op == "QuantizeLinear", node.name
        weight = _levels(node.inputs[1])
        assert weight is not None
        scale = values_of(weight.inputs[1])
        assert scale is not None and scale.ndim == (1 if node.op == "Conv" else 0), node.name


def test_qnn_pads_between_levels_and_not_plain_bytes(made: Made) -> None:
    result, *_ = made(residual, "qnn")
    (pad,) = (node for node in read_graph(result.model).nodes if node.op == "Pad")
    assert _levels(pad.inputs[0]) is not None
    assert [node.op for node in pad.outputs[0].outputs] == ["QuantizeLinear"]


@pytest.mark.parametrize("build", NETWORKS)
def test_openvino_npu_gets_one_scale_for_the_operands_of_a_sum(made: Made, build: Any) -> None:
    result, *_ = made(build, "openvino_npu")
    for node in read_graph(result.model).nodes:
        operands = [levels for tensor in node.inputs if (levels := _levels(tensor)) is not None]
        if node.op != "Add":
            continue
        scales = {tuple(tensor.name for tensor in levels.inputs[1:]) for levels in operands}
        assert len(scales) == 1, node.name
    for node in _weighted(read_graph(result.model)):
        weight = _levels(node.inputs[1])
        zero = None if weight is None else values_of(weight.inputs[2])
        assert zero is not None and zero.dtype == np.int8 and not zero.any()


@pytest.mark.parametrize("target", ["tensorrt", "qnn"])
@pytest.mark.parametrize("build", NETWORKS)
def test_the_form_computes_what_the_body_computed(
    net: Callable[..., Any], quantized: Callable[..., Quantized], build: Any, target: str
) -> None:
    n = net()
    build(n)
    quantize = replace(INT8, target=target)
    before = quantized(legalize(n.model()), n.images(), quantize)
    after = for_target(before, quantize)
    images = n.images(seed=5)
    np.testing.assert_array_equal(_as_written(before.model, images), _as_written(after.model, images))


def _as_written(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """Run the operators of the file, which no optimizer has fused."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: images})[0]
    return result


@pytest.mark.parametrize("target", ["tensorrt", "qnn", "openvino_npu"])
@pytest.mark.parametrize("build", NETWORKS)
def test_a_target_costs_little_noise(
    made: Made, run: Callable[[onnx.ModelProto, np.ndarray], np.ndarray], build: Any, target: str
) -> None:
    noise = {}
    for name in ("vnni", target):
        result, body, images = made(build, name)
        noise[name] = sqnr_db(run(body, images), run(result.model, images))
    print(f"{build.__name__}: cpu(vnni) {noise['vnni']:.1f} dB, {target} {noise[target]:.1f} dB")
    assert noise[target] > noise["vnni"] - 6  # QNN rounds the logits


@pytest.mark.parametrize("network", ["resnest", "iresnet", "wide_resnet"])
@pytest.mark.parametrize("target", ["tensorrt", "qnn", "openvino_npu"])
def test_whole_networks_take_the_form(network: str, target: str) -> None:
    from zooc.quantization.placement import tensors_to_observe
    from zooc.quantization.qdq import quantize_body

    body = legalize(simplify(onnx.load(DIGITS / f"digits_{network}.onnx")))
    quantize = replace(INT8, target=target)
    ranges = dict.fromkeys(tensors_to_observe(body, quantize), (-1.0, 3.0))
    result = for_target(quantize_body(body, ranges, quantize), quantize)
    onnx.checker.check_model(result.model, full_check=True)
    onnxruntime.InferenceSession(result.model.SerializeToString(), providers=["CPUExecutionProvider"])
