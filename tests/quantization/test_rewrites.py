"""Exact rewrites of operators that engines do not have in integers, or do slowly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from zooc.passes.legalize.legalize import legalize
from zooc.verification.agreement import sqnr_db
from zooc.verification.engine_view import inspect_optimized


def norm(n, x: str, channels: int, name: str) -> str:
    """A BatchNormalization with statistics like a trained one's."""
    stored = [n.store(f"{name}.{k}", n.random.uniform(0.5, 1.5, channels)) for k in ("gamma", "var")]
    shifts = [n.store(f"{name}.{k}", n.random.normal(0, 0.3, channels)) for k in ("beta", "mean")]
    return n.add("BatchNormalization", x, stored[0], *shifts, stored[1], name=name)


def stem(n) -> str:
    return n.add("Relu", n.conv(n.begin(), 3, 16, name="stem"), name="stem_act")


def pre_activated(n) -> None:
    """As in iResNet and DenseNet: the sum is read by a BatchNormalization and by the shortcut."""
    x = stem(n)
    y = n.add("Relu", norm(n, x, 16, "bn0"), name="act0")
    x = n.add("Add", n.conv(y, 16, 16, name="conv"), x, name="sum")
    n.head(n.add("Relu", norm(n, x, 16, "bn1"), name="act1"), 16)


def layer_scale(n) -> None:
    x = stem(n)
    y = n.add("MaxPool", x, name="maxpool", kernel_shape=[3, 3], pads=[1] * 4)
    y = n.add("Mul", y, n.store("gamma", n.random.uniform(0.5, 2, (16, 1, 1))), name="gamma")
    y = n.add("Add", n.store("shift", n.random.normal(0, 1, (1, 16, 1, 1))), y, name="shift")
    n.head(n.conv(n.add("Add", x, y, name="sum"), 16, 16, name="conv"), 16)


def hard_swish(n) -> None:
    x = n.add("HardSwish", n.conv(n.begin(), 3, 16, name="stem"), name="stem_act")
    x = n.conv(x, 16, 16, name="dw", groups=16)
    gate = n.add("HardSigmoid", x, name="dw_gate", alpha=1 / 6, beta=0.5)
    n.head(n.conv(n.add("Mul", gate, x, name="dw_act"), 16, 16, k=1, name="project"), 16)


def hard_excite(n) -> None:
    x = stem(n)
    s = n.conv(n.add("GlobalAveragePool", x, name="squeeze"), 16, 16, k=1, name="excite")
    s = n.add("HardSigmoid", s, name="gate", alpha=1 / 6, beta=0.5)
    n.head(n.conv(n.add("Mul", x, s, name="scale"), 16, 16, name="last"), 16)


def lone_gate(n) -> None:
    x = n.add("HardSigmoid", stem(n), name="gate")
    n.head(n.conv(x, 16, 16, name="last"), 16)


NETS = [pre_activated, layer_scale, hard_swish, hard_excite, lone_gate]


@pytest.mark.parametrize("build", NETS)
def test_rewritten_networks_compute_the_same_and_are_integer_throughout(net, run, quantized, build) -> None:
    n = net()
    build(n)
    body, images = n.model(), n.images(8)
    prepared = legalize(body)
    np.testing.assert_allclose(run(prepared, images), run(body, images), atol=2e-4, rtol=1e-4)
    result = quantized(prepared, images)
    assert sqnr_db(run(body, images), run(result.model, images)) > 28
    found = inspect_optimized(result.model.SerializeToString())
    assert found.float_operators == {}
    assert found.conversions == 0


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_a_gate_behind_a_convolution_costs_one_clip(net) -> None:
    n = net()
    hard_excite(n)
    before, after = operators(n.model()), operators(legalize(n.model()))
    assert after - before == {"Clip": 1, "GlobalAveragePool": 1, "Flatten": 1}
    assert before - after == {"HardSigmoid": 1, "ReduceMean": 1}


def test_a_convolution_takes_in_the_factor_of_a_hard_swish(net) -> None:
    n = net()
    hard_swish(n)
    assert operators(legalize(n.model()))["Mul"] == 2


def test_gates_of_tokens_stay(net) -> None:
    n = net()
    x = n.add("Reshape", stem(n), n.store("tokens", [-1, 16, 256], np.int64), name="flat")
    x = n.add("HardSwish", x, name="act")
    n.finish(n.add("ReduceMean", x, n.store("axes", [2], np.int64), name="mean", keepdims=0))
    assert operators(legalize(n.model()))["HardSwish"] == 1


@pytest.mark.parametrize(
    ("channels", "groups", "expected"),
    [(32, 8, 2), (48, 3, 3), (24, 12, 2), (16, 16, 16), (40, 5, 5), (16, 1, 1)],
)
def test_groups_are_joined_up_to_sixteen_channels(net, run, channels, groups, expected) -> None:
    n = net()
    x = n.conv(n.conv(n.begin(), 3, channels, name="stem"), channels, channels, name="conv", groups=groups)
    n.head(x, channels)
    prepared = legalize(n.model())
    conv = next(node for node in prepared.graph.node if node.name == "conv/Conv")
    assert next(a.i for a in conv.attribute if a.name == "group") == expected
    np.testing.assert_allclose(run(prepared, n.images(2)), run(n.model(), n.images(2)), rtol=1e-4, atol=1e-3)


def test_joined_groups_give_the_same_integers(net, run, quantized) -> None:
    n = net()
    x = n.conv(stem(n), 16, 32, name="conv", groups=8)
    n.head(n.add("Relu", x, name="act"), 32)
    body = n.model()
    plain, joined = (quantized(m, n.images()).model for m in (body, legalize(body)))
    levels = []
    for model in (plain, joined):
        stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        levels.append(stored["conv/Conv/weight_quantized"])
    assert np.count_nonzero(levels[0]) == np.count_nonzero(levels[1])
    assert levels[1].size == 4 * levels[0].size


def test_what_follows_from_sizes_alone_is_not_counted_as_float(net, quantized) -> None:
    """A class token, repeated for each image, in front of the tokens."""
    n = net()
    source = stem(n)
    x = n.add("Reshape", source, n.store("tokens", [0, 16, -1], np.int64), name="flat")
    batch = n.add("Shape", "pixels", name="batch", start=0, end=1)
    size = n.add("Concat", batch, n.store("rest", [16, 1], np.int64), name="size", axis=0)
    token = n.add("Expand", n.store("token", n.random.normal(0, 1, (1, 16, 1))), size, name="repeat")
    x = n.add("Concat", token, x, name="join", axis=2)
    n.finish(n.add("ReduceMean", x, n.store("axes", [2], np.int64), name="mean", keepdims=0))
    found = inspect_optimized(quantized(legalize(n.model()), n.images()).model.SerializeToString())
    assert set(found.float_operators) <= {"Concat", "ReduceMean", "Conv", "Reshape", "FusedConv"}
