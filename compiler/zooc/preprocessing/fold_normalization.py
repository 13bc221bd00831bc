"""Fold `(pixel / divisor - mean) / std` into the network's first convolution, so that it eats `uint8` pixels.

For each tap of a convolution with weight `W[o, c]`,

    sum_c W[o, c] * (u_c / divisor - mean_c) / std_c  =  sum_c W'[o, c] * u_c - T[o]
    W'[o, c] = W[o, c] / (divisor * std_c)               T[o] = sum_c W[o, c] * mean_c / std_c

Without padding, `T` summed over the taps goes into the bias. A padded tap contributes nothing in normalized
space, and neither may its `-T`, so `T` cannot be part of the bias: there the convolution gets one more input
channel, 255 inside the image and zero-padded with the rest, whose weight is `-T[o] / 255`. That is exact at
the border as well, and costs a quarter of the first convolution.

A network that normalizes by itself first, `a_c * x + d_c` a channel, is folded with it: `W * a` is in place
of W, and `T` has `a * mean / std - d` in place of `mean / std`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.deployment import Normalize
from zooc.ir.channels import affine_map, is_padded
from zooc.ir.graph import (
    FLOAT,
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    bypass,
    is_output,
    only_reader,
    read_graph,
    readers,
    remove_dead_nodes,
    write_graph,
)

__all__ = ["MASK_VALUE", "Folded", "fold_normalization"]

Array = npt.NDArray[np.float64]

MASK_VALUE = 255
"""Of the constant channel inside the image."""


@dataclass(frozen=True)
class Folded:
    """The network on `pixels`.

    Attributes:
        model: input `pixels`, uint8 `[batch, channels, h, w]`.
        folded: whether normalization disappeared into the first convolution.
        mask_channel: whether that convolution got the constant channel.
        reason: why it was not folded, else `None`.
    """

    model: onnx.ModelProto
    folded: bool
    mask_channel: bool
    reason: str | None


def fold_normalization(model: onnx.ModelProto, normalize: Normalize) -> Folded:
    """Make the network's float32 input a uint8 `pixels` one, normalization included.

    A body that does not begin with one convolution of constant weights gets explicit arithmetic in
    torchvision's order (divide, subtract, divide, in float32) and compiles all the same; `Folded.reason`
    says why.
    """
    graph = read_graph(model)
    (image,) = graph.inputs
    pixels = Variable("pixels", np.uint8, image.shape)
    graph.inputs = [pixels]
    for node in [node for node in image.outputs if node.op == "Shape"]:
        node.inputs = [pixels]
    source, inside = _absorb(graph, image)
    reason = _refusal(graph, source)
    if reason is None:
        mask = _fold(graph, source.outputs[0], pixels, normalize, inside)
    else:
        mask = False
        source = image
        _write_out(graph, source, pixels, normalize)
    remove_dead_nodes(graph)
    return Folded(write_graph(graph), folded=reason is None, mask_channel=mask, reason=reason)


def _absorb(graph: Graph, image: Tensor) -> tuple[Tensor, tuple[Array, Array]]:
    """Follow what the network does to its image a channel, by itself, before anything else.

    Returns:
        The tensor behind it, and a and d of `a * image + d`, float64 `[channels]`.
    """
    channels = int(image.shape[1])
    scale, shift, source = np.ones(channels), np.zeros(channels), image
    while (reader := only_reader(graph, source)) is not None:
        affine = affine_map(reader, source, channels, 4)
        if affine is None or not affine[0].all():
            break
        scale, shift, source = affine[0] * scale, affine[0] * shift + affine[1], reader.outputs[0]
    return source, (scale, shift)


def _refusal(graph: Graph, source: Tensor) -> str | None:
    if is_output(graph, source):
        return "the input is an output"
    found = readers(source)
    if len(found) != 1:
        return f"the input goes to {len(found)} operators, not to one convolution"
    (first,) = found
    if first.op != "Conv":
        return f"the network begins with {first.op}, not with a convolution"
    stored = all(isinstance(tensor, Constant) or tensor.is_empty() for tensor in first.inputs[1:])
    if first.inputs[0] is not source or not stored:
        return "the first convolution's weights are not constant"
    if first.attrs.get("group", 1) != 1:
        return "the first convolution is grouped"
    return None


def _fold(
    graph: Graph, conv: Node, pixels: Tensor, normalize: Normalize, inside: tuple[Array, Array]
) -> bool:
    """Rewrite `conv` in place; return whether a mask channel was needed."""
    mean, std, (scale, shift) = np.array(normalize.mean), np.array(normalize.std), inside
    per_channel = (1, -1, 1, 1)
    weight = conv.inputs[1].values.astype(np.float64)
    scaled = weight * scale.reshape(per_channel) / (normalize.divisor * std).reshape(per_channel)
    offset = (weight * (scale * mean / std - shift).reshape(per_channel)).sum(axis=1, keepdims=True)

    begin = _Beginning(graph)
    mask = bool(np.any(offset)) and is_padded(conv)
    if mask:
        scaled = np.concatenate([scaled, -offset / MASK_VALUE], axis=1)
        # Pads of all axes, not of one that is named: see docs/design/portability.md.
        one_channel = begin.constant([0, 0, 0, 0, 0, 1, 0, 0], np.int64)
        pixels = begin.op("Pad", pixels, one_channel, begin.constant(MASK_VALUE, np.uint8))
    cast = begin.op("Cast", pixels, to=FLOAT)

    inputs = [cast, Constant(f"{conv.name}/folded_weight", scaled.astype(np.float32))]
    if mask:
        inputs += conv.inputs[2:]
    else:
        bias = -offset.sum(axis=(1, 2, 3))
        if len(conv.inputs) > 2 and not conv.inputs[2].is_empty():
            bias += conv.inputs[2].values.astype(np.float64)
        inputs.append(Constant(f"{conv.name}/folded_bias", bias.astype(np.float32)))
    conv.inputs = inputs
    return mask


def _write_out(graph: Graph, source: Tensor, pixels: Tensor, normalize: Normalize) -> None:
    """Compute `source` from `pixels` in torchvision's order."""
    begin = _Beginning(graph)
    value = begin.op("Cast", pixels, to=FLOAT)
    shape = (1, -1, 1, 1)
    if normalize.divisor != 1:
        value = begin.op("Div", value, begin.constant(normalize.divisor, np.float32))
    if any(normalize.mean):
        value = begin.op("Sub", value, begin.constant(np.reshape(normalize.mean, shape), np.float32))
    if set(normalize.std) != {1.0}:
        value = begin.op("Div", value, begin.constant(np.reshape(normalize.std, shape), np.float32))
    bypass(source, value)
    if is_output(graph, source):
        graph.nodes.append(Node("Identity", "normalize/output", {}, [value], [source]))


class _Beginning:
    """Puts nodes in front of a graph's own, one behind the other, under names of their own."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._place = 0
        self._counts: Counter[str] = Counter()

    def op(self, kind: str, *inputs: Tensor, **attributes: int) -> Variable:
        name = self._name(kind)
        result = Variable(f"{name}:0")
        self._graph.nodes.insert(self._place, Node(kind, name, attributes, list(inputs), [result]))
        self._place += 1
        return result

    def constant(self, value: Any, dtype: Any) -> Constant:
        return Constant(self._name("const"), np.array(value, dtype))

    def _name(self, hint: str) -> str:
        number = self._counts[hint]
        self._counts[hint] += 1
        return f"normalize/{hint}_{number}" if number else f"normalize/{hint}"
