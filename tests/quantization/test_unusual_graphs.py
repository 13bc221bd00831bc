"""Graphs that few exporters write compute the same through every stage, and are quantized."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from zooc.ir.graph import read_graph, write_graph
from zooc.passes.legalize.legalize import legalize
from zooc.passes.simplify.simplify import simplify
from zooc.quantization.corrections.adaptive_rounding import round_weights
from zooc.quantization.corrections.bias import correct_biases
from zooc.quantization.corrections.equalization import equalize
from zooc.verification.agreement import sqnr_db

Run = Callable[[onnx.ModelProto, np.ndarray], np.ndarray]


def norm(n: Any, x: str) -> str:
    stored = [n.store(f"bn.{k}", n.random.uniform(0.5, 1.5, 8)) for k in ("gamma", "beta", "mean", "var")]
    return n.add("BatchNormalization", x, *stored, name="bn")


def one_bias_for_two_convolutions(n: Any) -> None:
    x = n.add("Sigmoid", norm(n, n.conv(n.begin(), 3, 8, name="first")))
    n.head(n.conv(x, 8, 8, name="second"), 8)
    n.nodes[-3].input[2] = "first.bias"


def one_bias_for_two_folds(n: Any) -> None:
    one_bias_for_two_convolutions(n)
    end = n.nodes[-3]
    assert end.name == "second/Conv"
    doubled = helper.make_node("Mul", ["second_raw", "two"], [end.output[0]], name="doubled/Mul")
    n.store("two", np.full((8, 1, 1), 2.0))
    end.output[0] = "second_raw"
    n.nodes.insert(-2, doubled)


def bias_added_apart_and_read_again(n: Any) -> None:
    weight = n.store("conv.weight", n.random.normal(0, 0.2, (8, 3, 3, 3)))
    bias = n.store("conv.bias", n.random.normal(0, 1, (8, 1, 1)))
    x = n.add("Sigmoid", n.add("Add", n.add("Conv", n.begin(), weight, name="conv"), bias))
    n.head(n.add("Sigmoid", n.add("Mul", n.add("Mul", x, x), bias)), 8)


def one_channel_times_eight(n: Any) -> None:
    x = n.add("Sigmoid", n.conv(n.begin(), 3, 1, name="stem"))
    x = n.add("Mul", x, n.store("factors", n.random.normal(0, 1, (8, 1, 1))))
    n.head(n.add("Sigmoid", x), 8)


def one_channel_times_eight_before_a_convolution(n: Any) -> None:
    x = n.add("Sigmoid", n.conv(n.begin(), 3, 1, name="stem"))
    x = n.add("Mul", x, n.store("factors", n.random.normal(0, 1, (8, 1, 1))))
    n.head(n.conv(x, 8, 8, name="next"), 8)


def no_operands(n: Any) -> None:
    random = n.add("RandomUniform", shape=[1], low=1.0, high=1.0000001)
    n.head(n.conv(n.add("Mul", n.conv(n.begin(), 3, 8), random), 8, 8), 8)


def one_name_is_like_an_operator_with_a_number(n: Any) -> None:
    n.head(n.conv(n.conv(n.begin(), 3, 8), 8, 8), 8)
    n.nodes[0].name, n.nodes[1].name = "Conv_1", ""


def matrix_made_by_a_convolution(n: Any) -> None:
    x = n.conv(n.begin(), 3, 8)
    x = n.add("MatMul", n.add("Sigmoid", x), n.conv(x, 8, 8))
    n.head(n.conv(x, 8, 8), 8)


def nested(n: Any) -> None:
    """A sum read in an If, whose branches read outer weights of any size and hold Constants."""
    x = n.conv(n.begin(), 3, 8)
    x = n.add("Add", x, n.conv(x, 8, 8))
    n.store("large", n.random.normal(0, 0.1, (8, 8, 5, 5)))
    n.store("shared", n.random.uniform(1, 2, (1, 8, 16, 16)))
    then = [helper.make_node("Conv", [x, "large"], ["then"], name="then/Conv", pads=[2] * 4)]
    otherwise = [
        helper.make_node("Constant", [], ["half"], name="half", value_float=0.5),
        helper.make_node("Mul", [x, "shared"], ["product"], name="product"),
        helper.make_node("Mul", ["product", "half"], ["otherwise"], name="otherwise"),
    ]
    graphs = [
        helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])
        for nodes, name in ((then, "then"), (otherwise, "otherwise"))
    ]
    brightest = n.add("ReduceMax", "pixels", keepdims=0)
    bright = n.add("Greater", brightest, n.store("five", 5, np.uint8))
    x = n.add("If", bright, then_branch=graphs[0], else_branch=graphs[1])
    n.head(n.conv(n.add("Sub", x, "shared"), 8, 8), 8)


@pytest.mark.parametrize(
    "make",
    [
        one_bias_for_two_convolutions,
        one_bias_for_two_folds,
        bias_added_apart_and_read_again,
        one_channel_times_eight,
        one_channel_times_eight_before_a_convolution,
        no_operands,
        one_name_is_like_an_operator_with_a_number,
        matrix_made_by_a_convolution,
        nested,
    ],
)
def test_every_stage_computes_the_same(
    make: Callable[[Any], None], net: Callable[..., Any], run: Run, quantized: Callable[..., Any]
) -> None:
    n = net()
    make(n)
    body, images = n.model(), n.images()
    expected = run(body, images)
    simple = simplify(body)
    for same in (write_graph(read_graph(body)), simple, legalize(body), legal := legalize(simple)):
        onnx.checker.check_model(same, full_check=True)
        assert sqnr_db(expected, run(same, images)) > 90
    for exact in (body, legal):
        integer = quantized(exact, images).model
        assert sqnr_db(expected, run(integer, images)) > 15
        round_weights(exact, integer, [images])
        correct_biases(exact, integer, [images])
        assert sqnr_db(expected, run(integer, images)) > 15


def test_a_bias_that_is_left_out_by_an_empty_name_is_none(net: Callable[..., Any], run: Run) -> None:
    n = net()
    weights = n.random.normal(0, 1, (8, 3, 3, 3)), n.random.normal(0, 1, (8, 8, 3, 3))
    weights[0][0] *= 1024
    weights[1][:, 0] /= 1024
    x = n.add("Conv", n.begin(), n.store("first.weight", weights[0]), "", name="first")
    x = n.add("Conv", n.add("Relu", x), n.store("second.weight", weights[1]), "", name="second")
    n.head(n.add("Relu", norm(n, x)), 8)
    body, images = n.model(), n.images()
    equal, layers = equalize(body)
    assert layers == ("first/Conv",)
    simple = simplify(body)
    assert "BatchNormalization" not in {node.op_type for node in simple.graph.node}
    for same in (equal, simple):
        assert sqnr_db(run(body, images), run(same, images)) > 90
