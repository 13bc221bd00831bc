"""ResNeSt's split attention in four dimensions and in operators that engines have in integers.

A block has features `x`, `[B, R * C, H, W]`, seen as R slices `x_r`. It computes `g = mean(sum_r x_r)` over
space, attention `a = softmax_r(fc2(relu(fc1(g))))`, and `sum_r a_r * x_r`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    maker,
    only_maker,
    only_reader,
    reduced_axes,
    shape_of,
    values_of,
)
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["attend_by_sigmoid", "pool_before_sum", "sum_slices_by_addition"]

Array = npt.NDArray[Any]

_MOST_SLICES = 4


def pool_before_sum(graph: Graph, conv: Node) -> Outcome:
    """`W * mean(sum_r x_r)` is `[W ... W] * mean(x)`, since averaging and W are linear.

    One pool over all slices, and weights repeated along the input channels, replace the sum of full-size
    tensors.
    """
    pool = maker(conv.inputs[0], "GlobalAveragePool") if conv.op == "Conv" else None
    total = None if pool is None else _radix_sum(pool.inputs[0])
    slices = None if total is None else _channel_slices(total.inputs[0])
    if pool is None or slices is None:
        return False
    weight = values_of(conv.inputs[1])
    if weight is None or conv.attrs.get("group", 1) != 1:
        return Refused("the convolution is grouped, or its weights are computed")
    if only_reader(graph, conv.inputs[0]) is None:
        return Refused("the average is also read elsewhere")
    source, radix = slices
    name = f"{conv.inputs[0].name}/radices"
    pooled = Replacement(graph, conv, pool.name).node("GlobalAveragePool", [source], [name])
    new = Replacement(graph, conv)
    repeated = new.constant("weight_repeated", np.concatenate([weight] * radix, axis=1))
    new.copy(conv, [pooled, repeated, *conv.inputs[2:]], conv.outputs[0])
    return True


def attend_by_sigmoid(graph: Graph, total: Node) -> Outcome:
    """Softmax over two slices of a convolution's output is a sigmoid of its difference.

    `softmax([u, v]) = [sigmoid(u - v), sigmoid(v - u)]`, and `u - v` is the convolution with subtracted
    weights `[W_u - W_v; W_v - W_u]`. So `sum_r a_r * x_r` becomes Conv, Sigmoid, Split, two Muls, Add.
    One Mul before the Split would do for ONNX Runtime (1 % of the time less), but OpenVINO then fuses the
    sigmoid into it and computes it for every pixel: three times the cost of all of this.
    """
    product = _weighted(graph, total)
    if product is None:
        return False
    (source, radix), weights = product
    if radix != 2:
        return Refused("it has more than two slices")
    conv = _softmaxed_convolution(graph, weights)
    if conv is None:
        return Refused("its weights are no softmax over a plain convolution of cardinality 1")
    result = total.outputs[0]
    new = Replacement(graph, total)
    stored = [
        new.constant(f"{kind}_difference", _difference(tensor.values))
        for kind, tensor in zip(("weight", "bias"), conv.inputs[1:], strict=False)
    ]
    logits = new.copy(conv, [conv.inputs[0], *stored], f"{result.name}/logits")
    attention = new.node("Sigmoid", [logits], [f"{result.name}/attention"])
    slices = _split(new, source, [f"{result.name}/slice_{r}" for r in range(radix)])
    gates = _split(new, attention, [f"{result.name}/gate_{r}" for r in range(radix)])
    weighted = [
        new.node("Mul", [x, a], [f"{result.name}/weighted_{r}"])
        for r, (x, a) in enumerate(zip(slices, gates, strict=True))
    ]
    new.node("Add", weighted, [result])
    return True


def sum_slices_by_addition(graph: Graph, total: Node) -> Outcome:
    """`ReduceSum` over slices `x_r`, or over `a_r * x_r`, is an addition of R tensors.

    ONNX Runtime's ReduceSum over an inner axis takes a fifth of a quantized ResNeSt-50's time; additions
    next to nothing.
    """
    if (product := _weighted(graph, total)) is not None:
        _add_slices(graph, total, *product)
        return True
    if _radix_sum(total.outputs[0]) is None:
        return False
    slices = _channel_slices(total.inputs[0])
    if slices is None:
        return Refused("what it sums is no reshaped feature map")
    _add_slices(graph, total, slices, None)
    return True


def _add_slices(graph: Graph, total: Node, slices: tuple[Tensor, int], weights: Tensor | None) -> None:
    source, radix = slices
    result = total.outputs[0]
    new = Replacement(graph, total)
    terms = _split(new, source, [f"{result.name}/slice_{r}" for r in range(radix)])
    if weights is not None:
        parts = _split(new, weights, [f"{result.name}/weight_{r}" for r in range(radix)])
        axis = new.constant("radix_axis", np.asarray([1], np.int64))
        flat = [new.node("Squeeze", [part, axis], [f"{part.name}_4d"]) for part in parts]
        terms = [
            new.node("Mul", [term, weight], [f"{result.name}/product_{r}"])
            for r, (term, weight) in enumerate(zip(terms, flat, strict=True))
        ]
    running = terms[0]
    for r, term in enumerate(terms[1:], 1):
        last = r == radix - 1
        running = new.node("Add", [running, term], [result if last else f"{result.name}/sum_{r}"])


def _split(new: Replacement, source: Tensor, names: list[str]) -> list[Tensor]:
    """The source's channels in equal parts of these names."""
    first = new.node("Split", [source], names, axis=1, num_outputs=len(names))
    return list(first.inputs[0].outputs)


def _channel_slices(tensor: Tensor) -> tuple[Tensor, int] | None:
    """For `tensor = Reshape([B, R * C, H, W] -> [B, R, C, H, W])`: the reshaped tensor and R."""
    reshape = maker(tensor, "Reshape")
    if reshape is None:
        return None
    source = reshape.inputs[0]
    old, new = shape_of(source), shape_of(tensor)
    if old is None or new is None or len(old) != 4 or len(new) != 5:
        return None
    channels, radix, width = old[1], new[1], new[2]
    if channels is None or radix is None or width is None or None in old[2:] or old[2:] != new[3:]:
        return None
    return (source, radix) if channels == radix * width and 1 < radix <= _MOST_SLICES else None


def _radix_sum(tensor: Tensor) -> Node | None:
    """The node that makes `tensor`, if it is a sum over axis 1 of five that drops the axis."""
    node = maker(tensor, "ReduceSum")
    if node is None or node.attrs.get("keepdims", 1) or len(node.inputs[0].shape or ()) != 5:
        return None
    return node if reduced_axes(node) == [1] else None


def _weighted(graph: Graph, total: Node) -> tuple[tuple[Tensor, int], Tensor] | None:
    """For `sum_r a_r * x_r`: x in four dimensions with R, and `a`, `[B, R, C, 1, 1]`."""
    summed = total.op == "ReduceSum" and _radix_sum(total.outputs[0]) is not None
    product = only_maker(graph, total.inputs[0], "Mul") if summed else None
    if product is None:
        return None
    for features, weights in (product.inputs, product.inputs[::-1]):
        slices = _channel_slices(features)
        shape, full = shape_of(weights), shape_of(features)
        if slices is None or shape is None or full is None or len(shape) != 5:
            continue
        if shape[1:] == (slices[1], full[2], 1, 1):
            return slices, weights
    return None


def _softmaxed_convolution(graph: Graph, weights: Tensor) -> Node | None:
    """For `Reshape(Softmax(Transpose(Reshape(conv))))` over the two halves of its channels: conv."""
    tensor = weights
    while (reshape := only_maker(graph, tensor, "Reshape")) is not None:
        tensor = reshape.inputs[0]
    softmax = only_maker(graph, tensor, "Softmax")
    transpose = None if softmax is None else only_maker(graph, softmax.inputs[0], "Transpose")
    if softmax is None or transpose is None or softmax.attrs.get("axis", -1) not in (1, -3):
        return None
    folded = shape_of(transpose.inputs[0])
    if transpose.attrs.get("perm") != [0, 2, 1, 3] or folded is None or folded[1:3] != (1, 2):
        return None
    reshape = only_maker(graph, transpose.inputs[0], "Reshape")
    conv = None if reshape is None else only_maker(graph, reshape.inputs[0], "Conv")
    if conv is None or conv.attrs.get("group", 1) != 1:
        return None
    shape = shape_of(conv.outputs[0])
    stored = all(isinstance(tensor, Constant) for tensor in conv.inputs[1:])
    halves = shape is not None and shape[2:] == (1, 1) and shape[1] == 2 * (folded[3] or 0)
    return conv if stored and halves else None


def _difference(values: Array) -> Array:
    """`[u; v]` along axis 0 as `[u - v; v - u]`."""
    first, second = np.split(values, 2)
    return np.concatenate([first - second, second - first])
