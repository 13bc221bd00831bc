"""Files that are quantized already: brought to pairs with the file's own scales, or refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.deployment import Model, ModelSource
from zooc.diagnostics.diagnostic import Diagnostic, SourceFile, Span, ZoocError
from zooc.networks.load import load_network
from zooc.networks.network import HeadFacts, Network
from zooc.support.cache import Cache

RNG = np.random.default_rng(0)
FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
MICROSOFT = {"domain": "com.microsoft"}

CONSTANTS: dict[str, np.ndarray] = {
    "xs": np.float32(0.02),
    "xz": np.uint8(110),
    "w": RNG.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8),
    "ws": RNG.uniform(0.001, 0.005, 8).astype(np.float32),
    "wz": np.zeros(8, np.int8),
    "b": RNG.integers(-3000, 3000, 8).astype(np.int32),
    "ys": np.float32(0.02),
    "yz": np.uint8(100),
    "as": np.float32(0.03),
    "az": np.uint8(90),
    "v": RNG.integers(-127, 128, (8, 5)).astype(np.int8),
    "vs": np.float32(0.004),
    "vz": np.int8(0),
    "bias": RNG.integers(-3000, 3000, 5).astype(np.int32),
    "zs": np.float32(0.01),
    "zz": np.uint8(128),
    "ps": np.float32(1 / 255),
    "pz": np.uint8(0),
}


def quantize(source: str, result: str, of: str, **options: Any) -> onnx.NodeProto:
    return helper.make_node(
        "QuantizeLinear", [source, f"{of}s", f"{of}z"], [result], f"{result}/Q", **options
    )


def dequantize(source: str, result: str, of: str, **options: Any) -> onnx.NodeProto:
    return helper.make_node(
        "DequantizeLinear", [source, f"{of}s", f"{of}z"], [result], f"{result}/D", **options
    )


def begin() -> list[onnx.NodeProto]:
    """The image to the levels `c_q` of a convolution's result."""
    conv = ["x_q", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    strides = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    return [quantize("x", "x_q", "x"), helper.make_node("QLinearConv", conv, ["c_q"], "conv", **strides)]


def end(source: str, of: str = "y") -> list[onnx.NodeProto]:
    """Levels `[n, 8, h, w]` to the logits, in floats."""
    pool = helper.make_node("GlobalAveragePool", ["e_d"], ["e_p"], "pool")
    flat = helper.make_node("Flatten", ["e_p"], ["e_f"], "flat")
    last = helper.make_node("MatMul", ["e_f", "v_d"], ["logits"], "fc")
    return [dequantize(source, "e_d", of), dequantize("v", "v_d", "v"), pool, flat, last]


def pairs(opset: int = 20) -> list[onnx.NodeProto]:
    axis = {"axis": 0} if opset >= 13 else {}
    conv = helper.make_node("Conv", ["x_d", "w_d"], ["c"], "conv", strides=[2, 2])
    first = [quantize("x", "x_q", "x"), dequantize("x_q", "x_d", "x"), dequantize("w", "w_d", "w", **axis)]
    return [*first, conv, quantize("c", "c_q", "y"), *end("c_q")]


def file(nodes: list[onnx.NodeProto], opset: int = 20, image: int = FLOAT, **changed: Any) -> onnx.ModelProto:
    constants = {**CONSTANTS, **changed}
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", image, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", FLOAT, ["n", 5])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items() if name in read],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def load(model: onnx.ModelProto, folder: Path) -> Network:
    onnx.save(model, folder / "net.onnx")
    span = Span(SourceFile("net.zoo", "source"), 0, 6)
    return load_network(
        Model(ModelSource("onnx", str(folder / "net.onnx"), span), None, None, None), Cache(None)
    )


def refused(model: onnx.ModelProto, folder: Path) -> Diagnostic:
    with pytest.raises(ZoocError) as caught:
        load(model, folder)
    found = caught.value.diagnostics[0]
    assert found.hint
    assert found.span is not None
    return found


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: images})[0]
    return result


def images() -> np.ndarray:
    return RNG.standard_normal((4, 3, 16, 16)).astype(np.float32)


def operators(model: onnx.ModelProto) -> set[str]:
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    return {node.op_type for node in model.graph.node} - {"QuantizeLinear", "DequantizeLinear"}


def scales(model: onnx.ModelProto) -> set[float]:
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    rounding = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return {float(stored[node.input[1]]) for node in rounding}


def with_operator(op: str, inputs: str, **attributes: Any) -> list[onnx.NodeProto]:
    node = helper.make_node(op, inputs.split(), ["o_q"], "it", **MICROSOFT, **attributes)
    return [*begin(), node, *end("o_q", "a")]


@pytest.mark.parametrize(
    "nodes, op",
    [
        (with_operator("QLinearAdd", "c_q ys yz c_q ys yz as az"), "Add"),
        (with_operator("QLinearMul", "c_q ys yz c_q ys yz as az"), "Mul"),
        (with_operator("QLinearSigmoid", "c_q ys yz as az"), "Sigmoid"),
        (with_operator("QLinearLeakyRelu", "c_q ys yz as az", alpha=0.2), "LeakyRelu"),
        (with_operator("QLinearSoftmax", "c_q ys yz as az", axis=1, opset=13), "Softmax"),
        (with_operator("QLinearGlobalAveragePool", "c_q ys yz as az"), "GlobalAveragePool"),
        (
            with_operator("QLinearAveragePool", "c_q ys yz as az", kernel_shape=[2, 2], strides=[2, 2]),
            "AveragePool",
        ),
    ],
)
def test_an_integer_operator_is_the_float_one_between_pairs(
    tmp_path: Path, nodes: list[onnx.NodeProto], op: str
) -> None:
    model, x = file(nodes), images()
    network = load(model, tmp_path).model
    assert operators(network) == {"Conv", "GlobalAveragePool", "Flatten", "MatMul", op}
    assert scales(network) == {float(CONSTANTS[name]) for name in ("xs", "ys", "as")}
    assert "it" in {node.name for node in network.graph.node if node.op_type == op}
    np.testing.assert_allclose(run(network, x), run(model, x), atol=5e-3)


def test_joined_tensors_keep_their_scales(tmp_path: Path) -> None:
    join = helper.make_node(
        "QLinearConcat",
        ["as", "az", "c_q", "ys", "yz", "c_q", "ys", "yz"],
        ["o_q"],
        "it",
        axis=2,
        **MICROSOFT,
    )
    model, x = file([*begin(), join, *end("o_q", "a")]), images()
    network = load(model, tmp_path).model
    assert "Concat" in operators(network)
    np.testing.assert_allclose(run(network, x), run(model, x), atol=5e-3)


LAST = ["f_q", "as", "az", "v", "vs", "vz"]


def ending(*last: onnx.NodeProto) -> list[onnx.NodeProto]:
    pool = helper.make_node(
        "QLinearGlobalAveragePool", ["c_q", "ys", "yz", "as", "az"], ["p_q"], "pool", **MICROSOFT
    )
    return [*begin(), pool, helper.make_node("Flatten", ["p_q"], ["f_q"], "flat"), *last]


@pytest.mark.parametrize(
    "last",
    [
        [helper.make_node("QGemm", [*LAST, "bias"], ["logits"], "fc", **MICROSOFT)],
        [helper.make_node("QGemm", [*LAST, "bias"], ["logits"], "fc", alpha=0.5, **MICROSOFT)],
        [
            helper.make_node("QGemm", [*LAST, "bias", "zs", "zz"], ["l_q"], "fc", **MICROSOFT),
            dequantize("l_q", "logits", "z"),
        ],
        [
            helper.make_node("QLinearMatMul", [*LAST, "zs", "zz"], ["l_q"], "fc"),
            dequantize("l_q", "logits", "z"),
        ],
    ],
)
def test_products_of_integers(tmp_path: Path, last: list[onnx.NodeProto]) -> None:
    model, x = file(ending(*last)), images()
    network = load(model, tmp_path).model
    assert operators(network) <= {"Conv", "GlobalAveragePool", "Flatten", "Gemm", "MatMul"}
    np.testing.assert_allclose(run(network, x), run(model, x), atol=1.1e-2)  # a step of the result


def test_operators_that_hand_levels_on_stand_between_pairs(tmp_path: Path) -> None:
    pool = helper.make_node("MaxPool", ["c_q"], ["o_q"], "max", kernel_shape=[2, 2])
    model, x = file([*begin(), pool, *end("o_q")]), images()
    network = load(model, tmp_path).model
    (node,) = (node for node in network.graph.node if node.op_type == "MaxPool")
    makers = {name: other.op_type for other in network.graph.node for name in other.output}
    assert makers[node.input[0]] == "DequantizeLinear"
    np.testing.assert_array_equal(run(network, x), run(model, x))


@pytest.mark.parametrize("opset", [10, 12, 13, 19, 21])
def test_every_opset_of_pairs(tmp_path: Path, opset: int) -> None:
    one = {"ws": np.float32(0.003), "wz": np.int8(0)} if opset < 13 else {}
    model, x = file(pairs(opset), opset, **one), images()
    np.testing.assert_array_equal(run(load(model, tmp_path).model, x), run(model, x))


def test_pairs_of_onnx_runtimes_domain(tmp_path: Path) -> None:
    nodes = pairs()
    for node in nodes:
        if node.op_type.endswith("Linear"):
            node.domain = "com.microsoft"
    model, x = file(nodes), images()
    network = load(model, tmp_path).model
    assert all(not node.domain for node in network.graph.node)
    np.testing.assert_array_equal(run(network, x), run(model, x))


def test_an_image_of_levels(tmp_path: Path) -> None:
    model = file(pairs()[1:], image=UINT8)
    model.graph.node[0].input[0] = "x"
    network = load(model, tmp_path).model
    x = RNG.integers(0, 256, (2, 3, 16, 16)).astype(np.uint8)
    np.testing.assert_array_equal(run(network, x.astype(np.float32)), run(model, x))


def test_a_zero_point_that_is_left_out_is_zero_of_the_levels_type(tmp_path: Path) -> None:
    nodes = pairs()
    for node in nodes[:2]:
        del node.input[2]
    model, x = file(nodes), images()
    network = load(model, tmp_path).model
    assert all(len(node.input) == 3 for node in network.graph.node if node.op_type.endswith("izeLinear"))
    np.testing.assert_array_equal(run(network, x), run(model, x))


def test_rounded_probabilities_are_taken_off_with_their_softmax(tmp_path: Path) -> None:
    nodes = pairs()
    nodes[-1].output[0] = "l"
    softmax = helper.make_node("Softmax", ["l"], ["p"], "softmax", axis=1)
    model, x = file([*nodes, softmax, quantize("p", "p_q", "p"), dequantize("p_q", "logits", "p")]), images()
    network = load(model, tmp_path)
    assert network.heads == (HeadFacts(5, "softmax"),)
    logits = run(network.model, x).astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, run(model, x), atol=0.51 / 255)


@pytest.mark.parametrize("scale", [0.0, -0.02, np.nan, np.inf, 1e35, 1e-40])
def test_a_scale_that_is_none_is_named_with_its_node(tmp_path: Path, scale: float) -> None:
    found = refused(file(pairs(), xs=np.float32(scale)), tmp_path)
    assert found.code == "Z0485"
    assert "QuantizeLinear x_q/Q of net.onnx has the scale" in found.message


def test_one_bad_scale_of_a_channel(tmp_path: Path) -> None:
    bad = CONSTANTS["ws"].copy()
    bad[3] = -1
    found = refused(file(pairs(), ws=bad), tmp_path)
    assert found.code == "Z0485"
    assert "w_d/D" in found.message
    assert "-1 (1 of 8 scales)" in found.message


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"xz": np.int8(0)}, None),
        ({"wz": np.zeros(8, np.uint8)}, "has a zero point of uint8 for levels of int8"),
        ({"wz": np.zeros(7, np.int8)}, "has 8 scales, but 7 zero points"),
        ({"ws": np.ones(7, np.float32), "wz": np.zeros(7, np.int8)}, "has 7 scales along axis 0"),
        ({"xs": np.int32(1)}, "has a scale of 1 int32 values"),
    ],
)
def test_zero_points_and_scales_that_do_not_fit(
    tmp_path: Path, changed: dict[str, Any], message: str | None
) -> None:
    model = file(pairs(), **changed)
    if message is None:  # both ends of the pair agree: int8 activations
        load(model, tmp_path)
        return
    found = refused(model, tmp_path)
    assert found.code == "Z0485"
    assert message in found.message


def test_a_scale_that_is_missing(tmp_path: Path) -> None:
    nodes = pairs()
    nodes[0].input[1] = ""
    found = refused(file(nodes), tmp_path)
    assert found.code == "Z0485"
    assert "has no scale" in found.message


def test_a_scale_that_the_network_computes(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMax", ["x"], ["xs"], "largest", keepdims=0), *pairs()]
    model = file(nodes)
    del model.graph.initializer[[t.name for t in model.graph.initializer].index("xs")]
    found = refused(model, tmp_path)
    assert found.code == "Z0485"
    assert "ReduceMax largest" in found.message


def test_a_scale_that_is_computed_from_constants_is_stored(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["s1", "s2"], ["xs"], "product"), *pairs()]
    model, x = file(nodes, s1=np.float32(0.2), s2=np.float32(0.1)), images()
    del model.graph.initializer[[t.name for t in model.graph.initializer].index("xs")]
    np.testing.assert_array_equal(run(load(model, tmp_path).model, x), run(model, x))


def test_integers_of_16_bits_are_refused(tmp_path: Path) -> None:
    found = refused(file(pairs(21), 21, xz=np.uint16(0)), tmp_path)
    assert found.code == "Z0228"
    assert "uint16" in found.message


@pytest.mark.parametrize(
    "nodes, reason",
    [
        (with_operator("QLinearReduceMean", "c_q ys yz as az", axes=[2]), "QLinearReduceMean it"),
        (with_operator("QLinearGlobalAveragePool", "c_q ys yz as az", channels_last=1), "channels are last"),
        (with_operator("QLinearSoftmax", "c_q ys yz as az", axis=1, opset=11), "opset 12"),
    ],
)
def test_integer_operators_that_are_not_known_are_named(
    tmp_path: Path, nodes: list[onnx.NodeProto], reason: str
) -> None:
    found = refused(file(nodes), tmp_path)
    assert found.code == "Z0228"
    assert reason in found.message


def test_dynamic_quantization_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x_q", "s", "z"], "dynamic"),
        helper.make_node("ConvInteger", ["x_q", "w", "z"], ["i"], "conv"),
        helper.make_node("Cast", ["i"], ["c"], to=FLOAT),
        quantize("c", "c_q", "y"),
        *end("c_q"),
    ]
    found = refused(file(nodes), tmp_path)
    assert found.code == "Z0216"
    assert "DynamicQuantizeLinear dynamic" in found.message


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_network_of_pytorchs_export(tmp_path: Path) -> None:
    """PT2E's conversion leaves `quantized_decomposed` operators, which the exporter turns into pairs."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch.ao.quantization.fx._decomposed")
    decomposed = torch.ops.quantized_decomposed

    class Quantized(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.from_numpy(CONSTANTS["w"]))
            self.register_buffer("scales", torch.from_numpy(CONSTANTS["ws"]))
            self.register_buffer("zeros", torch.zeros(8, dtype=torch.int64))

        def round(self, x: Any, scale: float, zero: int) -> Any:
            limits = (scale, zero, 0, 255, torch.uint8)
            return decomposed.dequantize_per_tensor(decomposed.quantize_per_tensor(x, *limits), *limits)

        def forward(self, x: Any) -> Any:
            weight = decomposed.dequantize_per_channel(
                self.w, self.scales, self.zeros, 0, -127, 127, torch.int8
            )
            y = torch.nn.functional.conv2d(self.round(x, 0.02, 110), weight, padding=1)
            return self.round(torch.relu(y), 0.03, 0).mean((2, 3))

    program = torch.onnx.export(
        Quantized().eval(),
        (torch.zeros(2, 3, 16, 16),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("n")},),
        opset_version=20,
        verbose=False,
    )
    model, x = program.model_proto, images()
    network = load(model, tmp_path).model
    assert sorted(scales(network)) == pytest.approx([0.02, 0.03])
    np.testing.assert_array_equal(run(network, x), run(model, x))
