"""The estimate of time: what is counted, what int8 costs small networks, and who is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.accuracy.contract.cost import CONVERSION, FLOAT, INT8, CostModel, over_float32
from zooc.compilation import Request
from zooc.pipeline.compile import compile_graph, compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress


def network(channels: int, size: int, blocks: int) -> onnx.ModelProto:
    """Blocks of a 3 x 3 convolution, Relu, and a product with a gate of one number a channel."""
    weights = np.zeros((channels, channels, 3, 3), np.float32)
    gate = np.zeros((channels, channels, 1, 1), np.float32)
    nodes, last = [], "x"
    for b in range(blocks):
        nodes += [
            helper.make_node("Conv", [last, "w"], [f"c{b}"], f"conv{b}", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{b}"], [f"r{b}"], f"relu{b}"),
            helper.make_node("GlobalAveragePool", [f"r{b}"], [f"p{b}"], f"pool{b}"),
            helper.make_node("Conv", [f"p{b}", "g"], [f"s{b}"], f"squeeze{b}"),
            helper.make_node("Mul", [f"r{b}", f"s{b}"], [f"m{b}"], f"mul{b}"),
        ]
        last = f"m{b}"
    shape = ["batch", channels, size, size]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(gate, "g")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_is_counted() -> None:
    model = CostModel(network(8, 10, 1))
    assert model.work["conv0"].macs == 8 * 8 * 9 * 100
    assert "relu0" not in model.work  # part of the convolution
    conv = FLOAT.mac * 57600 + FLOAT.result * 800
    squeeze = FLOAT.mac * 64 + FLOAT.result * 8
    rest = FLOAT.element * (800 + 808)  # the pool reads 800; the product reads 800 and 8
    assert model.all_in_float() == pytest.approx(conv + squeeze + rest)


def test_conversions_stand_where_int8_meets_float() -> None:
    model = CostModel(network(8, 10, 1))
    everything = set(model.work)
    assert model.converted(set()) == model.converted(everything) == 0
    assert model.converted({"conv0"}) == 800 + 800  # to the pool and to the product
    changed = model.time({"conv0"}) - model.time(set())
    own = model.work["conv0"].time(FLOAT) - model.work["conv0"].time(INT8)
    assert changed == pytest.approx(own + CONVERSION * 1600)


def test_int8_is_worth_it_for_large_maps_and_not_for_many_small_ones() -> None:
    large, small = network(64, 56, 4), network(8, 16, 100)
    fast, slow = over_float32(large, large, set()), over_float32(small, small, set())
    assert fast is not None and slow is not None
    assert fast < 0.6
    assert slow > 1.1


def test_nothing_is_said_of_the_smallest() -> None:
    assert over_float32(network(8, 4, 2), network(8, 4, 2), set()) is None


@pytest.mark.parametrize("statement, told", [("", True), ("warn none", False), ("target cpu(avx2)", False)])
def test_the_user_is_told(
    digits: Any, monkeypatch: pytest.MonkeyPatch, statement: str, told: bool, tmp_path: Path
) -> None:
    monkeypatch.setattr("zooc.pipeline.verify.over_float32", lambda *_: 1.39)
    context = Context(Cache(None), Progress())

    compile_package(Request(digits.describe(statement, file="slow.zoo"), tmp_path / "out"), context)
    found = [one for one in context.warnings if one.code == "Z0444"]
    assert len(found) == told
    assert all("1.39 times as long" in one.message and "quantize fp32" in (one.hint or "") for one in found)


def test_a_fast_network_is_not_warned_of(digits: Any) -> None:
    context = Context(Cache(None), Progress())
    compile_graph(Request(digits.describe("", file="fast.zoo")), context)
    assert [one.code for one in context.warnings] == []
