"""Integer operators that ONNX Runtime has beside the layers: sums, products, activations, pools, joins."""

from __future__ import annotations

from zooc.ir.graph import Graph, Node
from zooc.ir.rewriter import Outcome, Refused
from zooc.networks.onnx_file.quantized.steps import FloatForm, given

__all__ = [
    "float_activation",
    "float_average_pool",
    "float_concat",
    "float_global_pool",
    "float_sum_or_product",
]

_ACTIVATIONS = {
    "QLinearLeakyRelu": ("LeakyRelu", ("alpha",)),
    "QLinearSigmoid": ("Sigmoid", ()),
    "QLinearSoftmax": ("Softmax", ("axis",)),
}
"""The float operator of each, and the attributes that it keeps."""


def float_sum_or_product(graph: Graph, node: Node) -> Outcome:
    """`QLinearAdd(a, b)` is an Add, `QLinearMul(a, b)` a Mul."""
    op = {"QLinearAdd": "Add", "QLinearMul": "Mul"}.get(node.op)
    if op is None:
        return False
    form = FloatForm(graph, node)
    result = form.op(op, [form.floats(0), form.floats(3)])
    return form.replace(result, (given(node, 6), given(node, 7)))


def float_activation(graph: Graph, node: Node) -> Outcome:
    """`QLinearSigmoid`, `QLinearLeakyRelu` and `QLinearSoftmax` are the activations of floats."""
    if node.op not in _ACTIVATIONS:
        return False
    op, kept = _ACTIVATIONS[node.op]
    if op == "Softmax" and node.attrs.get("opset", 13) < 13:
        return Refused("it follows opset 12, whose Softmax runs over several axes")
    form = FloatForm(graph, node)
    attributes = {name: value for name, value in node.attrs.items() if name in kept}
    return form.replace(form.op(op, [form.floats(0)], **attributes), (given(node, 3), given(node, 4)))


def float_global_pool(graph: Graph, node: Node) -> Outcome:
    """`QLinearGlobalAveragePool(x)` is a GlobalAveragePool."""
    if node.op != "QLinearGlobalAveragePool":
        return False
    if node.attrs.get("channels_last", 0):
        return Refused("its channels are last")
    form = FloatForm(graph, node)
    return form.replace(form.op("GlobalAveragePool", [form.floats(0)]), (given(node, 3), given(node, 4)))


def float_average_pool(graph: Graph, node: Node) -> Outcome:
    """`QLinearAveragePool(x)` is an AveragePool."""
    if node.op != "QLinearAveragePool":
        return False
    if node.attrs.get("channels_last", 0):
        return Refused("its channels are last")
    form = FloatForm(graph, node)
    attributes = {name: value for name, value in node.attrs.items() if name != "channels_last"}
    result = form.op("AveragePool", [form.floats(0)], **attributes)
    return form.replace(result, (given(node, 3), given(node, 4)))


def float_concat(graph: Graph, node: Node) -> Outcome:
    """`QLinearConcat` joins tensors of different scales; its result's scale and zero point come first."""
    if node.op != "QLinearConcat":
        return False
    form = FloatForm(graph, node)
    operands = [form.floats(first) for first in range(2, len(node.inputs), 3)]
    joined = form.op("Concat", operands, axis=node.attrs["axis"])
    return form.replace(joined, (given(node, 0), given(node, 1)))
