from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.passes.simplify.simplify import simplify


def tensor(name, values):
    return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)


def ints(name, values):
    return numpy_helper.from_array(np.asarray(values, dtype=np.int64), name)


def model(nodes, constants=(), *, channels=3, size=8, output=("batch", None), opset=20):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", channels, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, output)],
        list(constants),
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def run(made, batch, channels=3, size=8):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content, providers = made.SerializeToString(), ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(content, options, providers=providers)
    image = np.random.default_rng(7).standard_normal((batch, channels, size, size)).astype(np.float32)
    return session.run(None, {"input": image})[0]


def operators(made):
    return Counter(node.op_type for node in made.graph.node)


def assert_same(before, after, batches=(1, 3)):
    for batch in batches:
        expected, got = run(before, batch), run(after, batch)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def batchnorm(name, source, result, channels, rng, epsilon=1e-3):
    constants = [
        tensor(f"{name}.weight", rng.uniform(0.5, 1.5, channels)),
        tensor(f"{name}.bias", rng.normal(size=channels)),
        tensor(f"{name}.running_mean", rng.normal(size=channels)),
        tensor(f"{name}.running_var", rng.uniform(0.5, 2, channels)),
    ]
    inputs = [source, *(c.name for c in constants)]
    return helper.make_node("BatchNormalization", inputs, [result], name=name, epsilon=epsilon), constants


def network():
    """Conv, BatchNorm, Relu, Identity, grouped Conv with bias, Mul and Add a channel, computed flatten."""
    rng = np.random.default_rng(1)
    bn, bn_constants = batchnorm("bn1", "c1", "b1", 4, rng)
    nodes = [
        helper.make_node("Conv", ["input", "conv1.weight"], ["c1"], name="conv1/Conv", pads=[1, 1, 1, 1]),
        bn,
        helper.make_node("Relu", ["b1"], ["r1"], name="act1/Relu"),
        helper.make_node("Identity", ["r1"], ["i1"], name="idle"),
        helper.make_node("Conv", ["i1", "conv2.weight", "conv2.bias"], ["c2"], name="conv2/Conv", group=2),
        helper.make_node("Mul", ["c2", "gamma"], ["m2"], name="mul"),
        helper.make_node("Add", ["beta", "m2"], ["a2"], name="add"),
        helper.make_node("Relu", ["a2"], ["r2"], name="act2/Relu"),
        helper.make_node("Shape", ["r2"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "zero"], ["n"], name="gather"),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"], name="unsqueeze"),
        helper.make_node("Concat", ["n1", "minus"], ["target"], name="concat", axis=0),
        helper.make_node("Reshape", ["r2", "target"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], name="fc/Gemm", transB=1),
    ]
    constants = [
        tensor("conv1.weight", rng.normal(size=(4, 3, 3, 3))),
        *bn_constants,
        tensor("conv2.weight", rng.normal(size=(6, 2, 3, 3))),
        tensor("conv2.bias", rng.normal(size=6)),
        tensor("gamma", rng.normal(size=(6, 1, 1))),
        tensor("beta", rng.normal(size=(1, 6, 1, 1))),
        ints("zero", 0),
        ints("axes", [0]),
        ints("minus", [-1]),
        tensor("fc.weight", rng.normal(size=(5, 6 * 36))),
        tensor("fc.bias", rng.normal(size=5)),
    ]
    return model(nodes, constants, output=("batch", 5))


def test_the_whole_network_becomes_its_layers_and_computes_the_same():
    before = network()
    after = simplify(before)
    assert operators(after) == {"Conv": 2, "Relu": 2, "Flatten": 1, "Gemm": 1}
    assert [n.name for n in after.graph.node if n.op_type == "Conv"] == ["conv1/Conv", "conv2/Conv"]
    assert_same(before, after)
    onnx.checker.check_model(after, full_check=True)


def test_the_folded_bias_is_named_after_its_weight():
    conv = simplify(network()).graph.node[0]
    assert list(conv.input) == ["input", "conv1.weight", "conv1.bias"]


def test_simplifying_leaves_its_argument_alone():
    before = network()
    bytes_before = before.SerializeToString(deterministic=True)
    simplify(before)
    assert before.SerializeToString(deterministic=True) == bytes_before


def test_equal_models_give_equal_bytes():
    assert simplify(network()).SerializeToString() == simplify(network()).SerializeToString()


def test_simplifying_twice_changes_nothing():
    once = simplify(network())
    assert simplify(once).SerializeToString() == once.SerializeToString()


def test_opset_ir_version_and_domains_are_those_of_the_source():
    after = simplify(network())
    assert [(o.domain, o.version) for o in after.opset_import] == [("", 20)]
    assert after.ir_version == 10


def test_batchnorm_stays_where_the_convolution_feeds_another_node_too():
    rng = np.random.default_rng(2)
    bn, constants = batchnorm("bn", "c", "b", 3, rng)
    before = model(
        [
            helper.make_node("Conv", ["input", "w"], ["c"], name="conv"),
            bn,
            helper.make_node("Add", ["b", "c"], ["sum"], name="sum"),
            helper.make_node("Flatten", ["sum"], ["logits"], name="flat"),
        ],
        [tensor("w", rng.normal(size=(3, 3, 1, 1))), *constants],
        output=("batch", 192),
    )
    after = simplify(before)
    assert operators(after)["BatchNormalization"] == 1
    assert_same(before, after)


def test_batchnorm_without_a_convolution_before_it_stays():
    bn, constants = batchnorm("bn", "input", "b", 3, np.random.default_rng(3))
    flatten = helper.make_node("Flatten", ["b"], ["logits"], name="f")
    before = model([bn, flatten], constants, output=("batch", 192))
    after = simplify(before)
    assert operators(after) == {"BatchNormalization": 1, "Flatten": 1}
    assert_same(before, after)


def test_weights_that_two_convolutions_share_are_folded_apart():
    rng = np.random.default_rng(4)
    first, constants = batchnorm("bn1", "c1", "b1", 3, rng)
    second, more = batchnorm("bn2", "c2", "b2", 3, rng)
    before = model(
        [
            helper.make_node("Conv", ["input", "w"], ["c1"], name="one"),
            first,
            helper.make_node("Conv", ["b1", "w"], ["c2"], name="two"),
            second,
            helper.make_node("Flatten", ["b2"], ["logits"], name="f"),
        ],
        [tensor("w", rng.normal(size=(3, 3, 1, 1))), *constants, *more],
        output=("batch", 192),
    )
    after = simplify(before)
    assert operators(after) == {"Conv": 2, "Flatten": 1}
    assert_same(before, after)


@pytest.mark.parametrize("transposed", [0, 1])
def test_batchnorm_after_a_gemm_is_folded(transposed):
    rng = np.random.default_rng(5)
    bn, constants = batchnorm("bn", "g", "logits", 4, rng)
    weight = rng.normal(size=(4, 192) if transposed else (192, 4))
    before = model(
        [
            helper.make_node("Flatten", ["input"], ["flat"], name="f"),
            helper.make_node("Gemm", ["flat", "w", "b"], ["g"], name="fc", transB=transposed),
            bn,
        ],
        [tensor("w", weight), tensor("b", rng.normal(size=4)), *constants],
        output=("batch", 4),
    )
    after = simplify(before)
    assert operators(after) == {"Flatten": 1, "Gemm": 1}
    assert after.graph.output[0].name == "logits"
    assert_same(before, after)


def test_a_constant_that_varies_over_pixels_is_not_folded():
    rng = np.random.default_rng(6)
    before = model(
        [
            helper.make_node("Conv", ["input", "w"], ["c"], name="conv"),
            helper.make_node("Mul", ["c", "map"], ["m"], name="mul"),
            helper.make_node("Flatten", ["m"], ["logits"], name="f"),
        ],
        [tensor("w", rng.normal(size=(8, 3, 1, 1))), tensor("map", rng.normal(size=8))],
        output=("batch", 512),
    )
    after = simplify(before)
    assert operators(after) == {"Conv": 1, "Mul": 1, "Flatten": 1}
    assert_same(before, after)


def test_equal_nodes_become_one_and_different_ones_stay():
    before = model(
        [
            helper.make_node("Relu", ["input"], ["r1"], name="relu1"),
            helper.make_node("Relu", ["input"], ["r2"], name="relu2"),
            helper.make_node("LeakyRelu", ["input"], ["r3"], name="leaky1", alpha=0.1),
            helper.make_node("LeakyRelu", ["input"], ["r4"], name="leaky2", alpha=0.2),
            helper.make_node("Sum", ["r1", "r2", "r3", "r4"], ["s"], name="sum"),
            helper.make_node("Flatten", ["s"], ["logits"], name="f"),
        ],
        output=("batch", 192),
    )
    after = simplify(before)
    assert operators(after) == {"Relu": 1, "LeakyRelu": 2, "Sum": 1, "Flatten": 1}
    assert_same(before, after)


def test_an_identity_at_the_output_goes_and_the_output_keeps_its_name():
    before = model(
        [
            helper.make_node("Flatten", ["input"], ["flat"], name="f"),
            helper.make_node("Dropout", ["flat"], ["dropped"], name="d"),
            helper.make_node("Identity", ["dropped"], ["logits"], name="i"),
        ],
        output=("batch", 192),
    )
    after = simplify(before)
    assert operators(after) == {"Flatten": 1}
    assert after.graph.output[0].name == "logits"
    assert_same(before, after)


def test_dead_nodes_go():
    before = model(
        [
            helper.make_node("Relu", ["input"], ["unused"], name="dead"),
            helper.make_node("Flatten", ["input"], ["logits"], name="f"),
        ],
        output=("batch", 192),
    )
    assert operators(simplify(before)) == {"Flatten": 1}


def test_constant_arithmetic_is_evaluated():
    before = model(
        [
            helper.make_node("Constant", [], ["two"], name="two", value_float=2.0),
            helper.make_node("Exp", ["two"], ["e"], name="exp"),
            helper.make_node("Flatten", ["input"], ["flat"], name="f"),
            helper.make_node("Mul", ["flat", "e"], ["logits"], name="mul"),
        ],
        output=("batch", 192),
    )
    after = simplify(before)
    assert operators(after) == {"Flatten": 1, "Mul": 1}
    assert_same(before, after)


def test_a_part_of_a_known_shape_becomes_a_constant_of_that_part():
    nodes = [
        helper.make_node("Shape", ["input"], ["sizes"], name="sizes", start=2, end=4),
        helper.make_node("Cast", ["sizes"], ["floats"], name="floats", to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats"], ["total"], name="total"),
        helper.make_node("Add", ["input", "total"], ["logits"], name="add"),
    ]
    before = model(nodes, output=("batch", 3, 8, 8))
    after = simplify(before)
    assert operators(after) == {"Add": 1}
    assert_same(before, after)
