"""Cross-layer equalization: channels of very unlike ranges are scaled against each other, exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.channels import SCALE_FREE, scale_inputs, scale_outputs
from zooc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    is_output,
    read_graph,
    readers,
    shape_of,
    values_of,
    write_graph,
)

__all__ = ["equalize"]

Floats = npt.NDArray[np.float64]
Exponents = npt.NDArray[np.int64]

_LEAST_GAIN = 16.0
"""Estimated noise power before over after (12 dB, two bits) from which a pair is worth touching."""

_ACTIVATION_LEVELS = 255.0
_WEIGHT_LEVELS = 127.0
_MEAN_SQUARE = 1.0 / 20.0
"""Of a channel's values behind a ReLU, as a share of its squared range: half of a normal with 3 sigma."""

_MOST_ROUNDS = 4
_LARGEST_DOUBLINGS = 20


def equalize(body: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Scale channels between a convolution and those that read it, where that makes int8 much better.

    From M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv
    1906.04721), section 4.1: for `y = W2 f(W1 x + b)` and `f` with `f(s z) = s f(z)`, dividing channel i of
    W1 and b by `s_i` and multiplying the matching input channel of W2 by it changes nothing. One scale has to
    do for all channels of an activation; when a few have a hundred times the range of the others, those
    keep two or three levels.

    Three things differ from the paper. `s_i` is a power of two, so that every product and sum of the network
    keeps its bits. A pair is scaled only if the estimated noise falls by at least 12 dB, because weights have
    a scale for each output channel here, which the paper's single scale lacked, and networks without unlike
    channels gain nothing. And `s_i` may be the range of the activation itself or the paper's geometric mean
    with the weights that read it, whichever has the less estimated noise.

    Only weights are looked at, so that every shard of a calibration prepares the same network. A channel's
    range is taken to be proportional to the norm of its weights.

    Args:
        body: float32; not changed.

    Returns:
        A body that computes the same, to the bit (if nothing pays, the given one), and the names of the nodes
        whose channels were scaled.
    """
    graph = read_graph(body)
    touched: dict[str, None] = {}
    for _ in range(_MOST_ROUNDS):
        changed = False
        for producer, consumers in _pairs(graph):
            if (doublings := _doublings(producer, consumers)) is None:
                continue
            scale_outputs(producer, np.exp2(-doublings))
            for consumer in consumers:
                scale_inputs(consumer, np.exp2(doublings))
            touched[producer.name] = None
            changed = True
        if not changed:
            break
    return (write_graph(graph), tuple(touched)) if touched else (body, ())


def _pairs(graph: Graph) -> Iterator[tuple[Node, list[Node]]]:
    """Producers whose channels only meet stored weights, behind nothing but operators that scale along."""
    for node in graph.nodes:
        if _has_own_weights(node) and (consumers := _consumers(graph, node.outputs[0])):
            yield node, consumers


def _has_own_weights(node: Node) -> bool:
    """Whether weight and bias are stored, as float32, for this node alone."""
    if node.op not in ("Conv", "Gemm") or (node.op == "Gemm" and node.attrs.get("transA", 0)):
        return False
    stored = [tensor for tensor in node.inputs[1:3] if not tensor.is_empty()]
    if not all(isinstance(t, Constant) and len(t.outputs) == 1 and t.dtype == np.float32 for t in stored):
        return False
    if len(stored) == 2 and math.prod(stored[1].shape) != _rows(node).shape[0]:
        return False
    return len(stored[0].shape) >= 2


def _consumers(graph: Graph, tensor: Tensor) -> list[Node]:
    """The weighted nodes that read a tensor, straight or through what scales along; none if others do."""
    found: dict[str, Node] = {}
    waiting = [tensor]
    while waiting:
        current = waiting.pop()
        if is_output(graph, current) or not current.outputs:
            return []
        for node in readers(current):
            if node.op in ("Conv", "Gemm"):
                if sum(i is current for i in node.inputs) != 1 or node.inputs[0] is not current:
                    return []
                if not _has_own_weights(node):
                    return []
                found[node.name] = node
            elif _scales_along(node):
                waiting.append(node.outputs[0])
            else:
                return []
    return [node for node in graph.nodes if node.name in found]


def _scales_along(node: Node) -> bool:
    if node.op == "Flatten":
        shape = shape_of(node.inputs[0])
        return node.attrs.get("axis", 1) == 1 and shape is not None and all(d == 1 for d in shape[2:])
    return node.op in SCALE_FREE and len(node.outputs) == 1


def _rows(node: Node) -> npt.NDArray[np.float32]:
    """The weights as `[output channels, input channels of a group, taps]`."""
    weight = values_of(node.inputs[1])
    assert weight is not None
    if node.op == "Gemm" and not node.attrs.get("transB", 0):
        weight = weight.T
    return weight.reshape(*weight.shape[:2], -1)


def _doublings(producer: Node, consumers: Sequence[Node]) -> Exponents | None:
    """The exponents by which each channel's readers grow; `None` if it would not pay."""
    rows = _rows(producer).astype(np.float64)
    ranges = np.sqrt(np.square(rows).sum(axis=(1, 2)))
    columns = [_columns(consumer) for consumer in consumers]
    if any(c.shape[1] != len(ranges) for c in columns):
        return None
    reach = np.max([c.max(axis=0) for c in columns], axis=0)
    live = (ranges > 0) & (reach > 0)
    if live.sum() < 2:
        return None
    best, least = None, _noise(ranges, columns, np.zeros(len(ranges), np.int64)) / _LEAST_GAIN
    for share in (0.5, 1.0):
        wanted = np.zeros(len(ranges))
        wanted[live] = share * np.log2(ranges[live]) - (1.0 - share) * np.log2(reach[live])
        wanted[live] -= np.median(wanted[live])
        exponents = np.clip(np.rint(wanted), -_LARGEST_DOUBLINGS, _LARGEST_DOUBLINGS).astype(np.int64)
        noise = _noise(ranges, columns, exponents)
        if exponents.any() and noise < least:
            best, least = exponents, noise
    return best


def _columns(node: Node) -> Floats:
    """What reads each channel: the largest weight over the taps, `[output channels, all input channels]`."""
    largest = np.abs(_rows(node)).max(axis=2).astype(np.float64)
    groups = node.attrs.get("group", 1)
    if groups == 1:
        return np.asarray(largest)
    outputs, inputs = largest.shape[0], largest.shape[1]
    spread = np.zeros((groups, outputs // groups, groups, inputs))
    every = np.arange(groups)
    spread[every, :, every] = largest.reshape(groups, -1, inputs)
    return np.asarray(spread.reshape(outputs, groups * inputs))


def _noise(ranges: Floats, columns: list[Floats], exponents: Exponents) -> float:
    """The noise power in the readers' results, from rounding the activation and rounding their weights."""
    scale = 2.0**exponents
    scaled = ranges / scale
    power = 0.0
    for matrix in columns:
        weights = matrix * scale
        power += (scaled.max() / _ACTIVATION_LEVELS) ** 2 * float(np.square(weights).sum())
        meets = (matrix > 0) @ np.square(scaled)
        power += _MEAN_SQUARE * float((np.square(weights.max(axis=1) / _WEIGHT_LEVELS) * meets).sum())
    return power
