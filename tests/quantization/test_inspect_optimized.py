from __future__ import annotations

from dataclasses import replace

from zooc.deployment import CalibrationMethod, Quantize
from zooc.verification.engine_view import float_convolutions, inspect_optimized

INT8 = Quantize(dtype="int8", calibrate=CalibrationMethod("max"))


def small(net):
    n = net()
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act")
    n.head(n.add("Relu", n.conv(x, 8, 8, name="last"), name="last_act"), 8)
    return n


def test_a_float_network_is_float_throughout(net) -> None:
    found = float_convolutions(small(net).model().SerializeToString())
    assert {(layer.name.split("/")[0], layer.reason) for layer in found} == {
        ("stem", "its input is not quantized"),
        ("last", "its input is not quantized"),
        ("fc", "its input is not quantized"),
    }


def test_operators_are_counted_before_and_after(net, quantized) -> None:
    n = small(net)
    found = inspect_optimized(quantized(n.model(), n.images()).model.SerializeToString())
    assert found.before["Conv"] == 2
    assert found.before["Relu"] == 2
    assert found.after["QLinearConv"] == 2
    assert "Relu" not in found.after
    assert found.integer + found.floating + found.conversions == sum(found.after.values())


def test_a_kept_convolution_is_named_with_its_pattern(net, quantized) -> None:
    n = small(net)
    result = quantized(n.model(), n.images(), replace(INT8, keep=("last",)))
    (layer,) = float_convolutions(result.model.SerializeToString(), result.layers)
    assert (layer.name, layer.reason) == ("last/Conv", 'kept by "last"')


def test_without_records_the_graph_itself_tells_why(net, quantized) -> None:
    n = small(net)
    result = quantized(n.model(), n.images(), replace(INT8, keep=("stem",)))
    (layer,) = float_convolutions(result.model.SerializeToString())
    assert (layer.name, layer.reason) == ("stem/Conv", "its input is not quantized")


def test_other_stages_are_not_the_bodys(net, quantized) -> None:
    n = small(net)
    model = quantized(n.model(), n.images(), replace(INT8, keep=("stem",))).model
    for node in model.graph.node:
        if node.name == "stem/Conv":
            node.name = "prelude/Conv"
    assert float_convolutions(model.SerializeToString()) == []
