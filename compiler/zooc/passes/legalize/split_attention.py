"""ResNeSt's split attention in four dimensions and in operators that engines have in integers.

A block has features `x`, `[B, R * C, H, W]`, seen as R slices `x_r`. It computes `g = mean(sum_r x_r)` over
space, attention `a = softmax_r(fc2(relu(fc1(g))))`, and `sum_r a_r * x_r`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from zooc.ir.graph import BodyGraph, attribute
from zooc.ir.rewriter import Replacement, reduced_axes

__all__ = ["attend_by_sigmoid", "pool_before_sum", "sum_slices_by_addition"]

_MOST_SLICES = 4


def pool_before_sum(graph: BodyGraph, index: int) -> Replacement | None:
    """`W * mean(sum_r x_r)` is `[W ... W] * mean(x)`, since averaging and W are linear.

    One pool over all slices, and weights repeated along the input channels, replace the sum of full-size
    tensors.
    """
    conv = graph.nodes[index]
    if conv.op_type != "Conv" or attribute(conv, "group", 1) != 1:
        return None
    weight, maker = graph.constant(conv.input[1]), graph.producer.get(conv.input[0])
    if weight is None or maker is None or not _sole_reader(graph, conv.input[0]):
        return None
    pool = graph.nodes[maker]
    total = _radix_sum(graph, pool.input[0]) if pool.op_type == "GlobalAveragePool" else None
    slices = None if total is None else _channel_slices(graph, total.input[0])
    if slices is None:
        return None
    source, radix = slices
    new = Replacement(graph, index)
    pooled = f"{conv.input[0]}/radices"
    new.nodes.append(helper.make_node("GlobalAveragePool", [source], [pooled], name=graph.name(maker)))
    repeated = new.constant("weight_repeated", np.concatenate([weight] * radix, axis=1))
    new.copy(conv, [pooled, repeated, *conv.input[2:]], conv.output[0])
    return new


def attend_by_sigmoid(graph: BodyGraph, index: int) -> Replacement | None:
    """Softmax over two slices of a convolution's output is a sigmoid of its difference.

    `softmax([u, v]) = [sigmoid(u - v), sigmoid(v - u)]`, and `u - v` is the convolution with subtracted
    weights `[W_u - W_v; W_v - W_u]`. So `sum_r a_r * x_r` becomes Conv, Sigmoid, Split, two Muls, Add.
    One Mul before the Split would do for ONNX Runtime (1 % of the time less), but OpenVINO then fuses the
    sigmoid into it and computes it for every pixel: three times the cost of all of this. Refused unless R is
    2 and `fc2` is a plain convolution of cardinality 1.
    """
    product = _weighted(graph, index)
    if product is None:
        return None
    (source, radix), weights = product
    conv = _softmaxed_convolution(graph, weights) if radix == 2 else None
    if conv is None:
        return None
    weight, bias = graph.constant(conv.input[1]), None
    assert weight is not None
    result = graph.nodes[index].output[0]
    new = Replacement(graph, index)
    stored = [new.constant("weight_difference", _difference(weight))]
    if len(conv.input) > 2 and conv.input[2]:
        bias = graph.constant(conv.input[2])
        assert bias is not None
        stored.append(new.constant("bias_difference", _difference(bias)))
    logits = new.copy(conv, [conv.input[0], *stored], f"{result}/logits")
    attention = new.node("Sigmoid", [logits], [f"{result}/attention"])
    slices, gates = ([f"{result}/{part}_{r}" for r in range(radix)] for part in ("slice", "gate"))
    new.node("Split", [source], slices, axis=1, num_outputs=radix)
    new.node("Split", [attention], gates, axis=1, num_outputs=radix)
    weighted = [
        new.node("Mul", [x, a], [f"{result}/weighted_{r}"])
        for r, (x, a) in enumerate(zip(slices, gates, strict=True))
    ]
    new.node("Add", weighted, [result])
    return new


def sum_slices_by_addition(graph: BodyGraph, index: int) -> Replacement | None:
    """`ReduceSum` over slices `x_r`, or over `a_r * x_r`, is an addition of R tensors.

    ONNX Runtime's ReduceSum over an inner axis takes a fifth of a quantized ResNeSt-50's time; additions
    next to nothing.
    """
    if (product := _weighted(graph, index)) is not None:
        return _additions(graph, index, *product)
    total = graph.nodes[index]
    if _radix_sum(graph, total.output[0]) is None:
        return None
    slices = _channel_slices(graph, total.input[0])
    return None if slices is None else _additions(graph, index, slices, None)


def _additions(graph: BodyGraph, index: int, slices: tuple[str, int], weights: str | None) -> Replacement:
    source, radix = slices
    result = graph.nodes[index].output[0]
    new = Replacement(graph, index)
    terms = [f"{result}/slice_{r}" for r in range(radix)]
    new.node("Split", [source], terms, axis=1, num_outputs=radix)
    if weights is not None:
        parts = [f"{result}/weight_{r}" for r in range(radix)]
        new.node("Split", [weights], parts, axis=1, num_outputs=radix)
        axis = new.constant("radix_axis", np.asarray([1], np.int64))
        flat = [new.node("Squeeze", [part, axis], [f"{part}_4d"]) for part in parts]
        terms = [
            new.node("Mul", [term, weight], [f"{result}/product_{r}"])
            for r, (term, weight) in enumerate(zip(terms, flat, strict=True))
        ]
    running = terms[0]
    for r, term in enumerate(terms[1:], 1):
        running = new.node("Add", [running, term], [result if r == radix - 1 else f"{result}/sum_{r}"])
    return new


def _sole_reader(graph: BodyGraph, tensor: str) -> bool:
    return len(graph.consumers[tensor]) == 1 and tensor not in graph.outputs


def _maker(graph: BodyGraph, tensor: str, op: str) -> onnx.NodeProto | None:
    """The node that makes `tensor`, if it is of this operator and the tensor has one reader."""
    index = graph.producer.get(tensor)
    if index is None or graph.nodes[index].op_type != op or not _sole_reader(graph, tensor):
        return None
    return graph.nodes[index]


def _channel_slices(graph: BodyGraph, tensor: str) -> tuple[str, int] | None:
    """For `tensor = Reshape([B, R * C, H, W] -> [B, R, C, H, W])`: the reshaped tensor and R."""
    maker = graph.producer.get(tensor)
    if maker is None or graph.nodes[maker].op_type != "Reshape":
        return None
    source = graph.nodes[maker].input[0]
    old, new = graph.shape(source), graph.shape(tensor)
    if old is None or new is None or len(old) != 4 or len(new) != 5:
        return None
    channels, radix, width = old[1], new[1], new[2]
    if channels is None or radix is None or width is None or None in old[2:] or old[2:] != new[3:]:
        return None
    return (source, radix) if channels == radix * width and 1 < radix <= _MOST_SLICES else None


def _radix_sum(graph: BodyGraph, tensor: str) -> onnx.NodeProto | None:
    """The node that makes `tensor`, if it is a sum over axis 1 of five that drops the axis."""
    maker = graph.producer.get(tensor)
    node = None if maker is None else graph.nodes[maker]
    if node is None or node.op_type != "ReduceSum" or attribute(node, "keepdims", 1):
        return None
    return node if graph.rank(node.input[0]) == 5 and reduced_axes(graph, node) == [1] else None


def _weighted(graph: BodyGraph, index: int) -> tuple[tuple[str, int], str] | None:
    """For `sum_r a_r * x_r`: x in four dimensions with R, and `a`, `[B, R, C, 1, 1]`."""
    total = graph.nodes[index]
    if _radix_sum(graph, total.output[0]) is None:
        return None
    product = _maker(graph, total.input[0], "Mul")
    if product is None:
        return None
    for position in (0, 1):
        slices = _channel_slices(graph, product.input[position])
        weights = product.input[1 - position]
        shape, full = graph.shape(weights), graph.shape(product.input[position])
        if slices is None or shape is None or full is None or len(shape) != 5:
            continue
        if shape[1:] == (slices[1], full[2], 1, 1):
            return slices, weights
    return None


def _softmaxed_convolution(graph: BodyGraph, weights: str) -> onnx.NodeProto | None:
    """For `Reshape(Softmax(Transpose(Reshape(conv))))` over the two halves of its channels: conv."""
    tensor = weights
    while (reshape := _maker(graph, tensor, "Reshape")) is not None:
        tensor = reshape.input[0]
    softmax = _maker(graph, tensor, "Softmax")
    transpose = None if softmax is None else _maker(graph, softmax.input[0], "Transpose")
    if softmax is None or transpose is None or attribute(softmax, "axis", -1) not in (1, -3):
        return None
    folded = graph.shape(transpose.input[0])
    if attribute(transpose, "perm") != [0, 2, 1, 3] or folded is None or folded[1:3] != (1, 2):
        return None
    reshape = _maker(graph, transpose.input[0], "Reshape")
    conv = None if reshape is None else _maker(graph, reshape.input[0], "Conv")
    if conv is None or attribute(conv, "group", 1) != 1 or not all(map(graph.is_constant, conv.input[1:])):
        return None
    shape = graph.shape(conv.output[0])
    return conv if shape is not None and shape[2:] == (1, 1) and shape[1] == 2 * (folded[3] or 0) else None


def _difference(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`[u; v]` along axis 0 as `[u - v; v - u]`."""
    first, second = np.split(values, 2)
    return np.concatenate([first - second, second - first])
