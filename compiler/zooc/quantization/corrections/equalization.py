"""Cross-layer equalization: channels of very unlike ranges are scaled against each other, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.channels import scale_inputs, scale_outputs
from zooc.ir.graph import Node, read_graph, values_of, write_graph
from zooc.quantization.corrections.channel_flow import (
    UNSCALED,
    Flow,
    components,
    follow,
    spread_inputs,
    weight_rows,
)

__all__ = ["equalize"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LEAST_GAIN = 16.0
"""Estimated noise power before over after (12 dB, two bits) from which channels are worth touching."""

_ACTIVATION_LEVELS = 255.0
_WEIGHT_LEVELS = 127.0
_MEAN_SQUARE = 1.0 / 20.0
"""Of a channel's values behind a ReLU, as a share of its squared range: half of a normal with 3 sigma."""

_SHARES = (0.5, 1.0)
_LARGEST_DOUBLINGS = 20


def equalize(body: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Scale channels between the convolutions that make and those that read them, where int8 gains much.

    From M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv
    1906.04721), section 4.1: for `y = W2 f(W1 x + b)` and `f` with `f(s z) = s f(z)`, dividing channel i of
    W1 and b by `s_i` and multiplying the matching input channel of W2 by it changes nothing. One scale has to
    do for all channels of an activation; when a few have a hundred times the range of the others, those
    keep two or three levels. The same holds for every class of channels that `channel_flow.follow` finds:
    branches of a concatenation, and all that is added up in a residual stream, where all convolutions that
    write to a channel divide by `s_i` and all that read it multiply.

    Three things differ from the paper. `s_i` is a power of two, so that every product and sum of the network
    keeps its bits. Channels are scaled only if the estimated noise falls by at least 12 dB, because weights
    have a scale for each output channel here, which the paper's single scale lacked, and networks without
    unlike channels gain nothing. And `s_i` may be the range of the activation itself or the paper's geometric
    mean with the weights that read it, whichever has the less estimated noise.

    Only weights are looked at, so that every shard of a calibration prepares the same network. Among the
    channels of one convolution, ranges are taken to be proportional to the norms of the weights; among
    several convolutions, to be such that a channel of each gives as much to what is computed next.

    Args:
        body: float32; not changed.

    Returns:
        A body that computes the same, to the bit (if nothing pays, the given one), and the names of the nodes
        whose channels were scaled.
    """
    graph = read_graph(body)
    flow = follow(graph)
    scaled = [(group.classes, found) for group in _groups(flow) if (found := _doublings(group)) is not None]
    doublings = _together(flow, scaled)
    while lossy := {int(c) for layer in flow.layers for c in _lossy(flow, layer, doublings)}:
        scaled = [(classes, found) for classes, found in scaled if lossy.isdisjoint(classes[found != 0])]
        doublings = _together(flow, scaled)
    touched = tuple(_scaled(flow, doublings))
    return (write_graph(graph), touched) if touched else (body, ())


@dataclass(frozen=True, slots=True)
class _Reader:
    """A layer that reads channels.

    Attributes:
        indices: the place of each input channel's class among those of the group.
        reach: the largest weight over the taps, `[output channels, input channels of a group]`.
    """

    layer: Node
    indices: Integers
    reach: Floats

    def spread(self, values: Floats) -> Floats:
        """Return what belongs to each class beside `reach`."""
        return spread_inputs(self.layer, values[self.indices], len(self.reach))

    def by_channel(self) -> Floats:
        """Return `reach` as `[input channels, output channels of a group]`."""
        width = self.reach.shape[1]
        columns = self.reach.reshape(len(self.indices) // width, -1, width).swapaxes(1, 2)
        return np.asarray(columns.reshape(len(self.indices), -1))


@dataclass(frozen=True, slots=True)
class _Group:
    """Classes of channels that meet in some tensors, with those who read and those who write them.

    Attributes:
        classes: in ascending order; `UNSCALED` first, where it is among them.
        power: the estimated mean square of each class, all up to one factor.
    """

    classes: Integers
    power: Floats
    readers: list[_Reader]


def _groups(flow: Flow) -> Iterator[_Group]:
    """The classes that share tensors, and so the scales of these."""
    free = [np.unique(known[known != UNSCALED]) for known in flow.classes.values()]
    roots = components(flow.count, ((classes[:-1], classes[1:]) for classes in free))
    reading: dict[int, list[Node]] = {}
    writing: dict[int, list[Node]] = {}
    for layer in flow.layers:
        for ends, tensor in ((reading, layer.inputs[0]), (writing, layer.outputs[0])):
            known = flow.classes[tensor.name]
            for root in np.unique(roots[known[known != UNSCALED]]):
                ends.setdefault(int(root), []).append(layer)
    for root, layers in reading.items():
        read = [flow.classes[layer.inputs[0].name].ravel() for layer in layers]
        classes = np.unique(np.concatenate(read))
        readers = [
            _Reader(layer, np.searchsorted(classes, own), _reach(layer))
            for layer, own in zip(layers, read, strict=True)
        ]
        yield _Group(classes, _power(flow, classes, readers, writing[root]), readers)


def _reach(layer: Node) -> Floats:
    return np.asarray(np.abs(weight_rows(layer)).max(axis=2).astype(np.float64))


def _power(flow: Flow, classes: Integers, readers: list[_Reader], writers: list[Node]) -> Floats:
    """The classes' mean squares: norms of weights, of each writer such that a channel gives as much."""
    count = len(classes)
    gain = np.zeros(count)
    for reader in readers:
        squares = np.square(reader.by_channel()).sum(axis=1)
        channels = np.maximum(np.bincount(reader.indices, minlength=count), 1)
        gain += np.bincount(reader.indices, squares, count) / channels / (squares.mean() or 1.0)
    power = np.zeros(count)
    sources = [(np.zeros(1, np.int64), np.ones(1))] if classes[0] == UNSCALED else []
    for writer in writers:
        made = flow.classes[writer.outputs[0].name].ravel()
        used = np.isin(made, classes) & (made != UNSCALED)
        norms = np.square(weight_rows(writer), dtype=np.float64).sum(axis=(1, 2))
        sources.append((np.searchsorted(classes, made[used]), norms[used]))
    for indices, norms in sources:
        if (given := (gain[indices] * norms).sum()) > 0:
            np.add.at(power, indices, norms * (len(norms) / given))
    return power


def _doublings(group: _Group) -> Integers | None:
    """The exponents by which each class's readers grow; `None` if it would not pay."""
    count = len(group.classes)
    reach = np.zeros(count)
    for reader in group.readers:
        largest = reader.by_channel().max(axis=1)
        np.maximum.at(reach, reader.indices, largest / (largest.max() or 1.0))
    live = (group.power > 0) & (reach > 0)
    if live.sum() < 2:
        return None
    best, least = None, _noise(group, np.zeros(count, np.int64)) / _LEAST_GAIN
    for share in _SHARES:
        wanted = np.zeros(count)
        wanted[live] = 0.5 * share * np.log2(group.power[live]) - (1.0 - share) * np.log2(reach[live])
        fixed = live & (group.classes == UNSCALED)
        wanted[live] -= np.median(wanted[fixed if fixed.any() else live])
        exponents = np.clip(np.rint(wanted), -_LARGEST_DOUBLINGS, _LARGEST_DOUBLINGS).astype(np.int64)
        noise = _noise(group, exponents)
        if exponents.any() and noise < least:
            best, least = exponents, noise
    return best


def _noise(group: _Group, exponents: Integers) -> float:
    """The noise in the readers' results over their power, from rounding the activation and their weights."""
    scale = np.exp2(exponents.astype(np.float64))
    power = group.power / scale**2
    total = 0.0
    for reader in group.readers:
        signal = float((np.square(reader.reach) * reader.spread(group.power)).sum())
        weights = reader.reach * reader.spread(scale)
        step = power[reader.indices].max() / _MEAN_SQUARE / _ACTIVATION_LEVELS**2
        meets = ((reader.reach > 0) * reader.spread(power)).sum(axis=1)
        noise = step * float(np.square(weights).sum())
        noise += float((np.square(weights.max(axis=1) / _WEIGHT_LEVELS) * meets).sum())
        total += noise / signal if signal else 0.0
    return total


def _together(flow: Flow, scaled: Sequence[tuple[Integers, Integers]]) -> Integers:
    """Of all classes, the exponents that were found for some groups."""
    doublings = np.zeros(flow.count, np.int64)
    for classes, found in scaled:
        doublings[classes] = found
    return doublings


def _exponents(flow: Flow, layer: Node, doublings: Integers) -> tuple[Integers, Integers]:
    """By how many doublings a layer is to give more, and to take what it reads as more."""
    read, given = (flow.classes[tensor.name].ravel() for tensor in (layer.inputs[0], layer.outputs[0]))
    return -doublings[given], doublings[read]


def _lossy(flow: Flow, layer: Node, doublings: Integers) -> Integers:
    """The classes that a layer reads and gives, if its weights or biases would lose bits."""
    given, read = _exponents(flow, layer, doublings)
    rows, none = weight_rows(layer), np.zeros(0, np.int64)
    if not (given.any() or read.any()):
        return none
    stored = [(rows, (given[:, None] + spread_inputs(layer, read, len(rows)))[..., None])]
    if len(layer.inputs) > 2 and (bias := values_of(layer.inputs[2])) is not None:
        stored.append((bias.ravel(), given))
    with np.errstate(over="ignore", under="ignore"):
        if all(np.array_equal(np.ldexp(np.ldexp(v, e), -e), v) for v, e in stored):
            return none
    return np.concatenate([flow.classes[t.name].ravel() for t in (layer.inputs[0], layer.outputs[0])])


def _scaled(flow: Flow, doublings: Integers) -> Iterator[str]:
    """Scale the weights, and tell whose results are scaled."""
    for layer in flow.layers:
        given, read = _exponents(flow, layer, doublings)
        if read.any():
            scale_inputs(layer, np.exp2(read))
        if given.any():
            scale_outputs(layer, np.exp2(given))
            yield layer.name
