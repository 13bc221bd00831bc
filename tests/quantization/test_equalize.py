from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from zooc.quantization.corrections.equalization import equalize
from zooc.verification.agreement import sqnr_db


def chain(net: Callable[..., Any], kind: str, factor: float = 128.0) -> onnx.ModelProto:
    """Two convolutions with something between them; three channels are `factor` times as large as others."""
    n = net()
    x = n.conv(n.begin(), 3, 16, name="first")
    x = n.add("Relu", x) if kind != "sigmoid" else n.add("Sigmoid", x)
    if kind == "pool":
        x = n.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    groups = {"depthwise": 16, "grouped": 4}.get(kind, 1)
    y = n.conv(x, 16, 16, name="second", groups=groups)
    if kind == "shared":
        y = n.add("Add", y, n.conv(x, 16, 16, name="third"))
        n.nodes[-2].input[1] = "second.weight"
    n.head(n.add("Relu", y), 16)
    channels = [1, 6, 11]
    n.weights["first.weight"][channels] *= factor
    n.weights["first.bias"][channels] *= factor
    second = n.weights["second.weight"]
    for channel in channels:
        if groups == 1:
            second[:, channel] /= factor
        else:
            width = 16 // groups
            second[channel // width * width : (channel // width + 1) * width, channel % width] /= factor
    return n.model()


@pytest.mark.parametrize("kind", ["plain", "pool", "depthwise", "grouped"])
def test_unlike_channels_are_scaled_back_without_changing_a_bit(
    kind: str, net: Callable[..., Any], run: Callable[..., np.ndarray]
) -> None:
    body, images = chain(net, kind), net().images()
    equal, layers = equalize(body)
    assert layers[0] == "first/Conv"
    (weight,) = (t for t in equal.graph.initializer if t.name == "first.weight")
    ranges = np.abs(onnx.numpy_helper.to_array(weight)).max(axis=(1, 2, 3))
    assert ranges.max() / ranges.min() < 16
    assert np.array_equal(run(body, images), run(equal, images))


@pytest.mark.parametrize("kind", ["plain", "depthwise", "grouped"])
def test_int8_of_a_hard_network_is_as_good_as_of_an_ordinary_one(
    kind: str, net: Callable[..., Any], run: Callable[..., np.ndarray], quantized: Callable[..., Any]
) -> None:
    images = net().images()
    easy, hard = chain(net, kind, 1.0), chain(net, kind)
    exact = run(easy, images)
    ordinary = sqnr_db(exact, run(quantized(easy, images).model, images))
    lost = sqnr_db(exact, run(quantized(hard, images).model, images))
    kept = sqnr_db(exact, run(quantized(equalize(hard)[0], images).model, images))
    assert lost < ordinary - 10
    assert kept > ordinary - 2


def test_ordinary_networks_stay_as_they_are(net: Callable[..., Any]) -> None:
    body = chain(net, "plain", 1.0)
    equal, layers = equalize(body)
    assert layers == ()
    assert equal == body


@pytest.mark.parametrize("kind", ["sigmoid", "shared"])
def test_channels_that_meet_anything_else_stay_as_they_are(kind: str, net: Callable[..., Any]) -> None:
    assert "first/Conv" not in equalize(chain(net, kind))[1]


def test_dead_channels_do_not_matter(net: Callable[..., Any], run: Callable[..., np.ndarray]) -> None:
    body, images = chain(net, "plain"), net().images()
    for tensor in body.graph.initializer:
        if tensor.name in ("first.weight", "first.bias"):
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[4] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    equal, layers = equalize(body)
    assert layers[0] == "first/Conv"
    assert np.array_equal(run(body, images), run(equal, images))
