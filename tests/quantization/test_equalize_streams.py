"""Equalization where several convolutions write to, and read, the channels that are scaled alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from zooc.ir.channels import scale_inputs, scale_outputs
from zooc.ir.graph import read_graph, write_graph
from zooc.quantization.corrections.channel_flow import UNSCALED, follow
from zooc.quantization.corrections.equalization import equalize
from zooc.verification.agreement import sqnr_db

Build = Callable[[Any, float], None]


def part(n: Any, factor: float, *writers: str, channels: slice = slice(None)) -> None:
    """Make channels of some convolutions `factor` times as large."""
    for name in writers:
        n.weights[f"{name}.weight"][channels] *= factor
        n.weights[f"{name}.bias"][channels] *= factor


def reads(n: Any, factor: float, channels: slice, *readers: str) -> None:
    """Let some convolutions read channels that are `factor` times as large as what they expect."""
    for name in readers:
        n.weights[f"{name}.weight"][:, channels] /= factor


def concat(n: Any, factor: float) -> None:
    x = n.begin()
    large, small = (n.add("Relu", n.conv(x, 3, 8, name=name)) for name in ("large", "small"))
    n.head(n.add("Relu", n.conv(n.add("Concat", large, small, axis=1), 16, 16, name="last")), 16)
    part(n, factor, "large")
    reads(n, factor, slice(0, 8), "last")


def dense(n: Any, factor: float) -> None:
    """Concatenations of concatenations, each read by a convolution of its own, one also read twice."""
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"))
    for index in range(3):
        y = n.add("Relu", n.conv(x, 8 * (index + 1), 8, name=f"grow{index}"))
        x = n.add("Concat", x, y, axis=1, name=f"join{index}")
    y = n.add("Add", n.conv(x, 32, 16, name="one"), n.conv(x, 32, 16, 1, name="two"))
    n.head(n.add("Relu", y), 16)
    part(n, factor, "grow0")
    reads(n, factor, slice(8, 16), "grow1", "grow2", "one", "two")


def split(n: Any, factor: float) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 16, name="first"))
    n.nodes.append(onnx.helper.make_node("Split", [x], ["a", "b"], "split/Split", axis=1, num_outputs=2))
    back = n.add("Concat", "b", "a", axis=1)
    n.head(n.add("Relu", n.conv(back, 16, 16, name="last")), 16)
    part(n, factor, "first", channels=slice(0, 8))
    reads(n, factor, slice(8, 16), "last")


def cut(n: Any, factor: float) -> None:
    """Slices and an order of channels by Gather."""
    x = n.add("Relu", n.conv(n.begin(), 3, 16, name="first"))
    axis, zero, eight, end = (n.store(f"at{i}", [i], np.int64) for i in (1, 0, 8, 2**31))
    parts = [n.add("Slice", x, *ends, axis) for ends in ((eight, end), (zero, eight))]
    order = n.store("order", [*range(8, 16), *range(8)], np.int64)
    y = n.add("Gather", n.add("Concat", *parts, axis=1), order, axis=1)
    n.head(n.add("Relu", n.conv(y, 16, 16, name="last")), 16)
    part(n, factor, "first", channels=slice(0, 8))
    reads(n, factor, slice(0, 8), "last")


def shuffle(n: Any, factor: float) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 16, name="first"))
    apart = n.store("apart", [0, 2, 8, 16, 16], np.int64)
    together = n.store("together", [0, 16, 16, 16], np.int64)
    x = n.add("Transpose", n.add("Reshape", x, apart), perm=[0, 2, 1, 3, 4])
    n.head(n.add("Relu", n.conv(n.add("Reshape", x, together), 16, 16, name="last")), 16)
    part(n, factor, "first", channels=slice(0, 8))
    reads(n, factor, slice(0, 16, 2), "last")


def residual(n: Any, factor: float) -> None:
    """Two blocks add to a stream; each reads it, and so does what follows."""
    x = n.add("MaxPool", n.add("Relu", n.conv(n.begin(), 3, 16, name="stem")), kernel_shape=[1, 1])
    for block in ("a", "b"):
        y = n.add("Relu", n.conv(x, 16, 16, name=f"{block}.in"))
        x = n.add("Relu", n.add("Add", x, n.conv(y, 16, 16, name=f"{block}.out")))
    n.head(n.add("Relu", n.conv(x, 16, 16, name="last")), 16)
    part(n, factor, "stem", "a.out", "b.out", channels=slice(0, 4))
    reads(n, factor, slice(0, 4), "a.in", "b.in", "last")


def squeeze(n: Any, factor: float) -> None:
    """The gate of a squeeze-excite block stays as it is, what it multiplies is scaled."""
    x = n.add("Relu", n.conv(n.begin(), 3, 16, name="first"))
    mean = n.add("GlobalAveragePool", x)
    gate = n.add("Sigmoid", n.conv(n.add("Relu", n.conv(mean, 16, 4, 1, name="fc1")), 4, 16, 1, name="fc2"))
    n.head(n.add("Relu", n.conv(n.add("Mul", gate, x), 16, 16, name="last")), 16)
    part(n, factor, "first", channels=slice(0, 4))
    reads(n, factor, slice(0, 4), "fc1", "last")


def flatten(n: Any, factor: float) -> None:
    """Every place of a channel is an input of its own."""
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="first"))
    shape = n.store("shape", [0, 8 * 16 * 16], np.int64)
    weight = n.random.normal(0, 0.1, (10, 8 * 16 * 16))
    weight[:, : 2 * 16 * 16] /= factor
    x = n.add("Reshape", x, shape)
    n.finish(n.add("Gemm", x, n.store("fc.weight", weight), n.store("fc.bias", np.zeros(10)), transB=1))
    part(n, factor, "first", channels=slice(0, 2))


def upsample(n: Any, factor: float) -> None:
    """A neck: a smaller map, enlarged, beside a larger one."""
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="large"))
    y = n.add("Relu", n.conv(x, 8, 8, name="small", strides=[2, 2]))
    y = n.add("Resize", y, "", n.store("scales", [1, 1, 2, 2]), mode="nearest")
    n.head(n.add("Relu", n.conv(n.add("Concat", x, y, axis=1), 16, 16, name="last")), 16)
    part(n, factor, "small")
    reads(n, factor, slice(8, 16), "last")


FORMS = {f.__name__: f for f in (concat, dense, split, cut, shuffle, residual, squeeze, flatten, upsample)}
UNLIKE = 2.0**13
"""About 10,000; a power of two, so that networks with it and without compute the same bits."""


@pytest.mark.parametrize("form", FORMS)
def test_int8_does_not_suffer_from_ranges_that_differ_by_ten_thousand(
    form: str, net: Callable[..., Any], run: Callable[..., np.ndarray], quantized: Callable[..., Any]
) -> None:
    easy, hard = net(), net()
    FORMS[form](easy, 1.0)
    FORMS[form](hard, UNLIKE)
    images, body = hard.images(), hard.model()
    exact = run(body, images)
    equal, layers = equalize(body)
    assert layers
    assert np.array_equal(run(equal, images), exact)
    ordinary = sqnr_db(exact, run(quantized(easy.model(), images).model, images))
    lost = sqnr_db(exact, run(quantized(body, images).model, images))
    kept = sqnr_db(exact, run(quantized(equal, images).model, images))
    assert lost < ordinary - 10
    assert kept > max(25.0, ordinary - 6)


@pytest.mark.parametrize("form", FORMS)
def test_an_ordinary_network_keeps_its_bytes(form: str, net: Callable[..., Any]) -> None:
    n = net()
    FORMS[form](n, 1.0)
    body = n.model()
    assert equalize(body) == (body, ())


@pytest.mark.parametrize("form", FORMS)
def test_any_factors_of_classes_change_no_bit(
    form: str, net: Callable[..., Any], run: Callable[..., np.ndarray]
) -> None:
    n = net()
    FORMS[form](n, 1.0)
    body, images = n.model(), n.images()
    graph = read_graph(body)
    flow = follow(graph)
    factors = np.exp2(np.random.default_rng(0).integers(-8, 9, flow.count))
    factors[UNSCALED] = 1
    for layer in flow.layers:
        read, given = (factors[flow.classes[t.name].ravel()] for t in (layer.inputs[0], layer.outputs[0]))
        scale_inputs(layer, 1 / read)
        scale_outputs(layer, given)
    assert np.array_equal(run(write_graph(graph), images), run(body, images))


def mixed(n: Any, factor: float) -> None:
    """Of two branches, one ends in a function that scales nothing along."""
    x = n.begin()
    large, small = (
        n.add("Relu", n.conv(x, 3, 8, name="large")),
        n.add("Sigmoid", n.conv(x, 3, 8, name="small")),
    )
    n.head(n.add("Relu", n.conv(n.add("Concat", large, small, axis=1), 16, 16, name="last")), 16)
    part(n, factor, "large")
    reads(n, factor, slice(0, 8), "last")


def test_a_branch_is_scaled_to_one_that_stays_as_it_is(
    net: Callable[..., Any], run: Callable[..., np.ndarray], quantized: Callable[..., Any]
) -> None:
    n = net()
    mixed(n, UNLIKE)
    body, images = n.model(), n.images()
    equal, layers = equalize(body)
    exact = run(body, images)
    assert layers == ("large/Conv",)
    assert np.array_equal(run(equal, images), exact)
    assert sqnr_db(exact, run(quantized(equal, images).model, images)) > 25


def silu(n: Any, x: str) -> str:
    return n.add("Mul", x, n.add("Sigmoid", x))


def clip(n: Any, x: str) -> str:
    return n.add("Clip", x, n.store("low", 0), n.store("high", 6))


def square(n: Any, x: str) -> str:
    return n.add("Mul", x, x)


def shift(n: Any, x: str) -> str:
    return n.add("Add", x, n.store("shift", np.ones((16, 1, 1))))


def middle(n: Any, x: str) -> str:
    """A part of the batch, not of the channels."""
    return n.add(
        "Slice", x, *(n.store(name, [at], np.int64) for name, at in (("from", 0), ("to", 9), ("of", 0)))
    )


def rows(n: Any, x: str) -> str:
    """Channels and rows change places."""
    return n.add("Transpose", x, perm=[0, 2, 1, 3])


def pooled_mixed(n: Any, x: str) -> str:
    """A pool over channels that became one axis with height and width."""
    flat = n.add("Reshape", x, n.store("flat", [0, 1, -1], np.int64))
    return n.add(
        "Add", x, n.add("Unsqueeze", n.add("GlobalAveragePool", flat), n.store("axis", [3], np.int64))
    )


@pytest.mark.parametrize("between", [silu, clip, square, shift, middle, rows, pooled_mixed])
def test_what_scales_nothing_along_keeps_its_channels(
    between: Callable[[Any, str], str], net: Callable[..., Any]
) -> None:
    n = net()
    x = between(n, n.add("Relu", n.conv(n.begin(), 3, 16, name="first")))
    n.head(n.add("Relu", n.conv(x, 16, 16, name="last")), 16)
    part(n, UNLIKE, "first", channels=slice(0, 4))
    reads(n, UNLIKE, slice(0, 4), "last")
    assert equalize(n.model())[1] == ()


def test_weights_that_would_lose_bits_stay(net: Callable[..., Any]) -> None:
    """Below float32's smallest normal number bits are gone."""
    n = net()
    concat(n, UNLIKE)
    n.weights["large.weight"][0, 0, 0, 0] = 1.25e-38
    assert equalize(n.model())[1] == ()


def test_results_of_the_network_stay(net: Callable[..., Any]) -> None:
    n = net()
    concat(n, UNLIKE)
    body = n.model()
    body.graph.output.append(onnx.helper.make_tensor_value_info("relu2_out", onnx.TensorProto.FLOAT, None))
    assert "relu2_out" in {name for node in body.graph.node for name in node.output}
    assert equalize(body)[1] == ("small/Conv",)
