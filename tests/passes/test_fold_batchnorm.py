"""BatchNormalization folded forward into what reads it, and back through a residual stream."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from zooc.passes.simplify.simplify import simplify

CHANNELS, SIZE = 4, 8


class Net:
    """A network of one input `[batch, 4, 8, 8]` and flat logits, written node by node."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def op(self, kind, *inputs, **attributes):
        """Adds a node, arrays as constants; returns its output, which has its name."""
        name = f"{kind.lower()}{len(self.nodes)}"
        stored = {p: f"{name}.{p}" for p, value in enumerate(inputs) if not isinstance(value, str)}
        self.constants += [numpy_helper.from_array(np.float32(inputs[p]), n) for p, n in stored.items()]
        names = [stored.get(place, value) for place, value in enumerate(inputs)]
        self.nodes.append(helper.make_node(kind, names, [name], name=name, **attributes))
        return name

    def conv(self, source, kernel=1, bias=True, inputs=CHANNELS, outputs=CHANNELS, **attributes):
        weight = self.rng.normal(size=(outputs, inputs // attributes.get("group", 1), kernel, kernel))
        more = [self.rng.normal(size=outputs)] if bias else []
        return self.op("Conv", source, weight, *more, **attributes)

    def norm(self, source, gamma=None):
        gamma = self.rng.uniform(0.8, 1.2, CHANNELS) if gamma is None else gamma
        shift, mean = self.rng.normal(size=(2, CHANNELS))
        return self.op("BatchNormalization", source, gamma, shift, mean, self.rng.uniform(0.5, 2, CHANNELS))

    def branch(self, state, normed=True):
        """What a block adds to the stream: BatchNorm, ReLU, a 3 x 3 and a 1 x 1 convolution."""
        hidden = self.op("Relu", self.norm(state) if normed else state)
        return self.conv(self.op("Relu", self.conv(hidden, 3, pads=[1, 1, 1, 1])), bias=False)

    def stage(self, blocks=2, gamma=None):
        """A residual stream behind a convolution; returns it normalized."""
        state = self.conv("input")
        for block in range(blocks):
            state = self.op("Add", state, self.branch(state, normed=block > 0))
        return self.norm(state, gamma)

    def model(self, result):
        nodes = [*self.nodes, helper.make_node("Flatten", [result], ["logits"], name="flat")]
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", CHANNELS, SIZE, SIZE])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", None])],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(made, full_check=True)
        return made


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(7).normal(size=(2, CHANNELS, SIZE, SIZE)).astype(np.float32)
    return session.run(None, {"input": images})[0]


def norms_left(net, result):
    """How many BatchNormalizations stay, after a check that the network computes the same."""
    before = net.model(result)
    after = simplify(before)
    expected = run(before)
    np.testing.assert_allclose(run(after), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert simplify(after) == after
    return Counter(node.op_type for node in after.graph.node)["BatchNormalization"]


@pytest.mark.parametrize("group", [1, 2])
def test_a_batchnorm_before_convolutions_without_padding_is_folded_into_all_of_them(group):
    net = Net()
    normed = net.norm(net.op("Relu", "input"))
    total = net.op("Add", net.conv(normed, 3, group=group), net.conv(normed, 3, bias=False))
    assert norms_left(net, net.op("Relu", total)) == 0


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_batchnorm_before_a_gemm_is_folded(transposed):
    net = Net()
    normed = net.norm(net.op("Flatten", net.op("GlobalAveragePool", net.op("Relu", "input"))))
    weight = net.rng.normal(size=(6, CHANNELS) if transposed else (CHANNELS, 6))
    assert norms_left(net, net.op("Gemm", normed, weight, net.rng.normal(size=6), transB=transposed)) == 0


@pytest.mark.parametrize("attributes", [{"pads": [0, 1, 0, 0]}, {"auto_pad": "SAME_UPPER"}])
def test_a_shift_before_padding_stays_and_a_mere_scale_does_not(attributes):
    net = Net()
    assert norms_left(net, net.conv(net.norm(net.op("Relu", "input")), 3, **attributes)) == 1
    net = Net()
    scaled = net.op("Mul", net.op("Relu", "input"), net.rng.normal(size=(CHANNELS, 1, 1)))
    after = simplify(net.model(net.conv(scaled, 3, **attributes)))
    assert "Mul" not in {node.op_type for node in after.graph.node}
    np.testing.assert_allclose(run(after), run(net.model("conv2")), rtol=1e-4, atol=1e-4)


def test_a_batchnorm_that_something_else_reads_too_stays():
    net = Net()
    normed = net.norm(net.op("Relu", "input"))
    assert norms_left(net, net.op("Add", net.conv(normed), net.op("Sigmoid", normed))) == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), blocks=st.integers(1, 4))
def test_the_batchnorm_that_ends_a_stream_is_folded_and_those_of_its_branches_stay(seed, blocks):
    net = Net(seed)
    ended = net.op("Relu", net.stage(blocks, gamma=np.ones(CHANNELS)))
    assert norms_left(net, net.conv(ended, 3, pads=[1, 1, 1, 1])) == blocks - 1


def test_a_stream_may_begin_with_a_batchnorm_and_pass_a_pool_and_weights_may_be_shared():
    net = Net()
    state = net.op("MaxPool", net.norm(net.op("Sigmoid", "input")), kernel_shape=[2, 2], strides=[2, 2])
    weight = "shared"
    net.constants.append(numpy_helper.from_array(np.float32(net.rng.normal(size=(4, 4, 1, 1))), weight))
    state = net.op("Add", state, net.op("Conv", net.op("LeakyRelu", state), weight))
    state = net.op("Add", state, net.op("Conv", net.op("Relu", state), weight))
    assert norms_left(net, net.op("Relu", net.norm(state))) == 1


@pytest.mark.parametrize("gamma", [[1, 1, -1, 1], [1, 1, 0, 1], [1, 1, 1, 0.01]])
def test_a_stream_stays_where_a_channel_would_flip_vanish_or_lose_its_levels(gamma):
    net = Net()
    assert norms_left(net, net.op("Relu", net.stage(gamma=np.array(gamma)))) == 2


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "HardSwish"])
def test_a_stream_stays_where_something_reads_it_that_is_not_linear(kind):
    net = Net()
    state = net.conv("input")
    end = net.op("Relu", net.norm(net.op("Add", state, net.branch(state, normed=False))))
    assert norms_left(net, net.op("Add", end, net.op(kind, state))) == 1


def test_a_stream_stays_where_the_sum_or_the_last_branch_is_read_besides():
    net = Net()
    state = net.conv("input")
    total = net.op("Add", state, net.branch(state, normed=False))
    assert norms_left(net, net.op("Add", net.op("Relu", net.norm(total)), net.op("Relu", total))) == 1
    net = Net()
    first, second = net.conv("input"), net.conv("input", 3, pads=[1, 1, 1, 1])
    ended = net.op("Relu", net.norm(net.op("Add", first, second)))
    assert norms_left(net, net.op("Mul", net.op("Mul", ended, first), second)) == 1


def test_a_stream_stays_where_it_is_the_images_themselves():
    net = Net()
    assert norms_left(net, net.op("Relu", net.norm(net.op("Add", "input", net.conv("input"))))) == 1
