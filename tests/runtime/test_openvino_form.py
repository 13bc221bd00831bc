"""The form in which OpenVINO is given an int8 body: where pairs go, where they stay, what it gains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from zooc_runtime.errors import PackageError
from zooc_runtime.inference.openvino_form import fuse_activations

Build = Callable[["Network", str], str]
ALONE = ("Elu", "Gelu", "HardSwish", "Mish", "Sigmoid", "Tanh")


class Network:
    """A small network, written with its pairs or, in `float_model`, without."""

    def __init__(self, build: Build, outputs: Sequence[str] = ()) -> None:
        self._rng = np.random.default_rng(1)
        self._nodes: list[onnx.NodeProto] = []
        self._stored: dict[str, NDArray[Any]] = {}
        self._outputs = [*outputs]
        self._outputs.append(build(self, self.pair("pixels", 1 / 255)))

    def node(self, operator: str, *inputs: str, result: str = "", **attrs: Any) -> str:
        """Adds a node; returns its result."""
        result = result or f"{operator}{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [result], result, **attrs))
        return result

    def store(self, value: float | NDArray[Any]) -> str:
        """Adds a stored tensor of float32."""
        name = f"stored{len(self._stored)}"
        self._stored[name] = np.asarray(value, np.float32)
        return name

    def level(self, value: int, scale: float) -> str:
        """Adds a constant that is stored as a level, as zooc stores it."""
        names = f"level{len(self._stored)}", f"scale{len(self._stored)}", f"zero{len(self._stored)}"
        self._stored |= zip(names, (np.uint8(value), np.float32(scale), np.uint8(0)), strict=True)
        return self.node("DequantizeLinear", *names)

    def pair(self, tensor: str, scale: float = 1 / 16, zero: int = 128, again: float | None = None) -> str:
        """Adds QuantizeLinear and DequantizeLinear (its scale is `again`)."""
        if tensor == "pixels":
            zero = 0
        point = f"{tensor}/zero"
        self._stored[point] = np.uint8(zero)
        scales = [self.store(s) for s in (scale, *([again] if again else []))]
        levels = self.node("QuantizeLinear", tensor, scales[0], point, result=f"{tensor}/levels")
        return self.node("DequantizeLinear", levels, scales[-1], point, result=f"{tensor}/rounded")

    def conv(self, tensor: str, result: str = "") -> str:
        """Adds a convolution of 4 to 4 channels with integer weights."""
        weights = self.weights((4, 4, 1, 1))
        return self.node("Conv", tensor, weights, result=result)

    def weights(self, shape: tuple[int, ...]) -> str:
        """Adds int8 weights."""
        names = f"w{len(self._stored)}", self.store(0.02), f"w{len(self._stored)}/zero"
        self._stored |= {names[0]: self._rng.integers(-127, 128, shape).astype(np.int8), names[2]: np.int8(0)}
        return self.node("DequantizeLinear", *names)

    @property
    def model(self) -> bytes:
        """The network as it is."""
        return self._model(self._nodes)

    @property
    def float_model(self) -> bytes:
        """The network without its pairs."""
        made = {node.output[0]: node for node in self._nodes}
        return self._model(
            [
                helper.make_node("Identity", [made[node.input[0]].input[0]], node.output)
                if node.op_type == "DequantizeLinear" and node.input[0] in made
                else node
                for node in self._nodes
                if node.op_type != "QuantizeLinear"
            ]
        )

    def _model(self, nodes: list[onnx.NodeProto]) -> bytes:
        shape = ["n", 4, 6, 6]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self._outputs],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in self._stored.items()],
        )
        opsets = [helper.make_opsetid("", 20)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return model.SerializeToString()


def alone(operator: str) -> Build:
    """The pattern: Conv, pair, f, pair, Conv."""
    return lambda net, x: net.conv(net.pair(net.node(operator, net.pair(net.conv(x))), 1 / 32))


def silu(net: Network, x: str) -> str:
    x = net.pair(net.conv(x))
    gate = net.pair(net.node("Sigmoid", x), 1 / 255, 0)
    return net.conv(net.pair(net.node("Mul", x, gate)))


def hard_swish(
    net: Network, x: str, *, shift: int = 3, top: float = 1 / np.float32(1 / 6), slope: bool = True
) -> str:
    x = net.pair(net.conv(x))
    moved = net.node("Add", x, net.level(shift * 50, 1 / 50))
    gate = net.pair(net.node("Clip", moved, net.store(0), net.store(top)), top / 255, 0)
    product = net.pair(net.node("Mul", gate, x), 1 / 4)
    if slope:
        product = net.pair(net.node("Mul", product, net.level(255, 1 / 6 / 255)))
    return net.conv(product)


def excite(net: Network, x: str) -> str:
    """A gate of squeeze-excite: the product's other operand is the feature map."""
    pooled = net.pair(net.node("GlobalAveragePool", x), 1 / 255, 0)
    gate = net.pair(net.node("Sigmoid", net.pair(net.conv(pooled))), 1 / 255, 0)
    return net.conv(net.pair(net.node("Mul", x, gate)))


def dense(net: Network, x: str) -> str:
    flat = net.node("Flatten", net.pair(net.node("GlobalAveragePool", x), 1 / 255, 0))
    return net.node("Gelu", net.pair(net.node("Gemm", flat, net.weights((4, 4)))))


def plain(net: Network, x: str) -> str:
    first = net.pair(net.node("Relu", net.conv(x)))
    return net.pair(net.node("Add", net.pair(net.conv(first)), first))


TAKEN = {
    **{operator: (alone(operator), 1, operator) for operator in ALONE},
    "SiLU": (silu, 2, "Mul"),
    "hard-swish": (hard_swish, 3, "HardSwish"),
    "hard-swish, slope folded": (lambda net, x: hard_swish(net, x, slope=False), 2, "HardSwish"),
    "gate of squeeze-excite": (excite, 1, "Sigmoid"),
    "Gemm": (dense, 1, "Gelu"),
}


def operators(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


def run(model: bytes) -> NDArray[np.float32]:
    pixels = np.random.default_rng(0).random((2, 4, 6, 6), dtype=np.float32)
    session = ReferenceEvaluator(onnx.load_from_string(model))
    result: NDArray[np.float32] = session.run(None, {"pixels": pixels})[-1]
    return result


@pytest.mark.parametrize(("build", "pairs", "_"), TAKEN.values(), ids=TAKEN)
def test_the_pairs_of_a_pattern_go_and_the_result_comes_nearer_to_float(
    build: Build, pairs: int, _: str
) -> None:
    network = Network(build)
    before, after = network.model, fuse_activations(network.model)
    assert operators(before)["QuantizeLinear"] - operators(after)["QuantizeLinear"] == pairs
    exact, was, now = map(run, (network.float_model, before, after))
    assert 0 < np.linalg.norm(now - exact) < np.linalg.norm(was - exact)


def test_a_hard_swish_is_written_as_such() -> None:
    after = operators(fuse_activations(Network(hard_swish).model))
    assert (after["HardSwish"], after["Mul"], after["Clip"], after["Add"]) == (1, 2, 0, 0)


@pytest.mark.parametrize(("shift", "top"), [(2, 6), (3, 5)])
def test_another_line_is_no_hard_swish(shift: int, top: float) -> None:
    network = Network(lambda net, x: hard_swish(net, x, shift=shift, top=top))
    after = fuse_activations(network.model)
    assert operators(after) - operators(network.model) == Counter()
    assert (operators(after)["Clip"], operators(after)["QuantizeLinear"]) == (1, 2)
    exact, was, now = map(run, (network.float_model, network.model, after))
    assert np.linalg.norm(now - exact) < np.linalg.norm(was - exact)


def _read_twice(net: Network, x: str) -> str:
    x = net.pair(net.conv(x))
    return net.node("Add", net.pair(net.node("Gelu", x)), x)


def _read_unrounded(net: Network, x: str) -> str:
    x = net.conv(x)
    return net.node("Add", net.pair(net.node("Gelu", net.pair(x))), x)


def _levels_read(net: Network, x: str) -> str:
    x = net.pair(net.conv(x, "y"))
    levels = net.node("DequantizeLinear", "y/levels", net.store(1))
    return net.node("Add", net.pair(net.node("Gelu", x)), levels)


def _two_scales(net: Network, x: str) -> str:
    return net.pair(net.node("Gelu", net.pair(net.conv(x), again=1 / 8)))


def _other_product(net: Network, x: str) -> str:
    gate = net.pair(net.node("Sigmoid", net.pair(net.node("Relu", net.conv(x)))), 1 / 255, 0)
    return net.pair(net.node("Mul", net.pair(net.conv(x)), gate))


def _in_a_branch(net: Network, x: str) -> str:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["y/rounded"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    y = net.node("Gelu", net.pair(net.conv(x, "y")))
    flag = net.node("Cast", net.store(1), to=TensorProto.BOOL)
    return net.node("Add", net.node("If", flag, then_branch=branch, else_branch=branch), y)


LEFT = {
    "nothing to fuse": plain,
    "the rounded tensor is read elsewhere": _read_twice,
    "the unrounded tensor is read elsewhere": _read_unrounded,
    "the levels are read elsewhere": _levels_read,
    "it is rescaled": _two_scales,
    "a gate of something else, no convolution before it": _other_product,
    "a branch reads it": _in_a_branch,
}


@pytest.mark.parametrize("build", LEFT.values(), ids=LEFT)
def test_what_does_not_match_exactly_keeps_its_bytes(build: Build) -> None:
    model = Network(build).model
    assert fuse_activations(model) is model


@pytest.mark.parametrize("output", ["y", "y/rounded"])
def test_an_output_of_the_graph_stays(output: str) -> None:
    def build(net: Network, x: str) -> str:
        return net.pair(net.node("Gelu", net.pair(net.conv(x, "y"))))

    model = Network(build, [output]).model
    assert fuse_activations(model) is model


def test_operators_of_other_domains_are_none_of_onnx() -> None:
    model = onnx.load_from_string(Network(alone("Gelu")).model)
    next(node for node in model.graph.node if node.op_type == "Gelu").domain = "example.com"
    stored = model.SerializeToString()
    assert fuse_activations(stored) is stored


@pytest.mark.parametrize("build", [alone("Gelu"), silu, hard_swish], ids=["GELU", "SiLU", "hard-swish"])
def test_a_graph_that_lacks_inputs_or_outputs_is_no_crash(build: Build) -> None:
    model = onnx.load_from_string(Network(build).model)
    for i, node in enumerate(model.graph.node):
        for field in ("input", "output"):
            odd = onnx.ModelProto()
            odd.CopyFrom(model)
            names = getattr(odd.graph.node[i], field)
            while names:
                names.pop()
                fuse_activations(odd.SerializeToString())
            assert node.input


def test_a_truncated_model_is_an_error() -> None:
    with pytest.raises(PackageError, match="truncated"):
        fuse_activations(Network(silu).model[:-3])


@pytest.mark.parametrize(("build", "_", "activation"), TAKEN.values(), ids=TAKEN)
def test_openvino_makes_the_activation_part_of_the_product_before(
    build: Build, _: int, activation: str
) -> None:
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")

    model = fuse_activations(Network(build).model)
    wanted = {node.name for node in onnx.load_from_string(model).graph.node if node.op_type == activation}
    network = openvino.Core().read_model(model, b"")
    network.reshape([1, 4, 6, 6])
    compiled = openvino.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = {}
    for operator in compiled.get_runtime_model().get_ordered_ops():
        facts = {name: fact.astype(str) for name, fact in operator.get_rt_info().items()}
        for name in wanted.intersection(facts["originalLayersNames"].split(",")):
            found[name] = facts["layerType"]
    assert found.keys() == wanted
    assert wanted
    assert set(found.values()) < {"Convolution", "FullyConnected"}
