"""Cross-layer equalization: channels of very unlike ranges are scaled against each other, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from zooc.ir.body_graph import BodyGraph, attribute
from zooc.ir.channels import SCALE_FREE

__all__ = ["equalize"]

Floats = npt.NDArray[np.float64]
Exponents = npt.NDArray[np.int64]
Stored = dict[str, onnx.TensorProto]

_LEAST_GAIN = 16.0
"""Estimated noise power before over after (12 dB, two bits) from which a pair is worth touching."""

_ACTIVATION_LEVELS = 255.0
_WEIGHT_LEVELS = 127.0
_MEAN_SQUARE = 1.0 / 20.0
"""Of a channel's values behind a ReLU, as a share of its squared range: half of a normal with 3 sigma."""

_MOST_ROUNDS = 4
_LARGEST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class _Pair:
    producer: int
    consumers: tuple[int, ...]


def equalize(body: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Scales channels between a convolution and those that read it, where that makes int8 much better.

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
    graph = BodyGraph(body)
    stored = {t.name: t for t in body.graph.initializer}
    if all(_doublings(graph, pair) is None for pair in _pairs(graph, stored)):
        return body, ()
    model = onnx.ModelProto()
    model.CopyFrom(body)
    graph = BodyGraph(model)
    weights = {t.name: t for t in model.graph.initializer}
    touched: dict[str, None] = {}
    for _ in range(_MOST_ROUNDS):
        changed = False
        for pair in _pairs(graph, weights):
            if (doublings := _doublings(graph, pair)) is None:
                continue
            _scale_rows(graph, weights, pair.producer, -doublings)
            for consumer in pair.consumers:
                _scale_columns(graph, weights, consumer, doublings)
            touched[graph.name(pair.producer)] = None
            changed = True
        if not changed:
            break
    return model, tuple(touched)


def _pairs(graph: BodyGraph, weights: Stored) -> Iterator[_Pair]:
    """Producers whose channels only meet stored weights, behind nothing but operators that scale along."""
    for index, node in enumerate(graph.nodes):
        if node.op_type not in ("Conv", "Gemm") or not _own_weights(graph, weights, index):
            continue
        consumers = _consumers(graph, weights, node.output[0])
        if consumers:
            yield _Pair(index, consumers)


def _own_weights(graph: BodyGraph, weights: Stored, index: int) -> bool:
    """Whether weight and bias are stored, as float32, for this node alone."""
    node = graph.nodes[index]
    if node.op_type == "Gemm" and attribute(node, "transA", 0):
        return False
    for position, name in enumerate(node.input[1:3]):
        if not name:
            continue
        values = graph.constant(name)
        stored = name in weights and graph.consumers[name] == [index]
        if not stored or values is None or values.dtype != np.float32:
            return False
        if position == 1 and values.size != _rows(graph, index).shape[0]:
            return False
    weight = graph.constant(node.input[1])
    return weight is not None and weight.ndim >= 2


def _consumers(graph: BodyGraph, weights: Stored, tensor: str) -> tuple[int, ...]:
    """The weighted nodes that read a tensor, straight or through what scales along; () if others do."""
    found: list[int] = []
    waiting = [tensor]
    while waiting:
        name = waiting.pop()
        if name in graph.outputs or not graph.consumers[name]:
            return ()
        for index in graph.consumers[name]:
            node = graph.nodes[index]
            if node.op_type in ("Conv", "Gemm") and list(node.input).count(name) == 1:
                if node.input[0] != name or not _own_weights(graph, weights, index):
                    return ()
                found.append(index)
            elif _scales_along(graph, index):
                waiting.append(node.output[0])
            else:
                return ()
    return tuple(sorted(found))


def _scales_along(graph: BodyGraph, index: int) -> bool:
    node = graph.nodes[index]
    if node.op_type == "Flatten":
        shape = graph.shape(node.input[0])
        return attribute(node, "axis", 1) == 1 and shape is not None and all(d == 1 for d in shape[2:])
    return node.op_type in SCALE_FREE and len(node.output) == 1


def _rows(graph: BodyGraph, index: int) -> npt.NDArray[np.float32]:
    """The weights as `[output channels, input channels of a group, taps]`."""
    node = graph.nodes[index]
    weight = graph.constant(node.input[1])
    assert weight is not None
    if node.op_type == "Gemm" and not attribute(node, "transB", 0):
        weight = weight.T
    return weight.reshape(*weight.shape[:2], -1)


def _doublings(graph: BodyGraph, pair: _Pair) -> Exponents | None:
    """The exponents by which each channel's readers grow; `None` if it would not pay."""
    rows = _rows(graph, pair.producer).astype(np.float64)
    ranges = np.sqrt(np.square(rows).sum(axis=(1, 2)))
    columns = [_columns(graph, consumer) for consumer in pair.consumers]
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


def _columns(graph: BodyGraph, index: int) -> Floats:
    """What reads each channel: the largest weight over the taps, `[output channels, all input channels]`."""
    largest = np.abs(_rows(graph, index)).max(axis=2).astype(np.float64)
    groups = attribute(graph.nodes[index], "group", 1)
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


def _scale_rows(graph: BodyGraph, weights: Stored, index: int, exponents: Exponents) -> None:
    """Multiplies output channels, and the bias, by powers of two."""
    node = graph.nodes[index]
    axis = 1 if node.op_type == "Gemm" and not attribute(node, "transB", 0) else 0
    for name, channels in zip(node.input[1:3], (axis, -1), strict=False):
        if name:
            values = numpy_helper.to_array(weights[name])
            shape = [-1 if a == channels % values.ndim else 1 for a in range(values.ndim)]
            _store(weights[name], np.ldexp(values, exponents.reshape(shape)))


def _scale_columns(graph: BodyGraph, weights: Stored, index: int, exponents: Exponents) -> None:
    """Multiplies input channels by powers of two."""
    node = graph.nodes[index]
    values = numpy_helper.to_array(weights[node.input[1]])
    if node.op_type == "Gemm":
        axis = 1 if attribute(node, "transB", 0) else 0
        _store(weights[node.input[1]], np.ldexp(values, exponents[:, None] if axis == 0 else exponents))
        return
    groups = attribute(node, "group", 1)
    of_group = np.repeat(exponents.reshape(groups, -1), len(values) // groups, axis=0)
    _store(
        weights[node.input[1]],
        np.ldexp(values, of_group.reshape(*values.shape[:2], *[1] * (values.ndim - 2))),
    )


def _store(tensor: onnx.TensorProto, values: npt.NDArray[np.float32]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
