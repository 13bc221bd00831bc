"""Fold `(pixel / divisor - mean) / std` into the network's first convolution, so that it eats `uint8` pixels.

For each tap of a convolution with weight `W[o, c]`,

    sum_c W[o, c] * (u_c / divisor - mean_c) / std_c  =  sum_c W'[o, c] * u_c - T[o]
    W'[o, c] = W[o, c] / (divisor * std_c)               T[o] = sum_c W[o, c] * mean_c / std_c

Without padding, `T` summed over the taps goes into the bias. A padded tap contributes nothing in normalized
space, and neither may its `-T`, so `T` cannot be part of the bias: there the convolution gets one more input
channel, 255 inside the image and zero-padded with the rest, whose weight is `-T[o] / 255`. That is exact at
the border as well, and costs a quarter of the first convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from zooc.deployment import Normalize
from zooc.ir.builder import Builder

__all__ = ["MASK_VALUE", "Folded", "fold_normalization"]

MASK_VALUE = 255
"""Of the constant channel inside the image."""


@dataclass(frozen=True)
class Folded:
    """The network on `pixels`.

    Attributes:
        model: input `pixels`, uint8 `[batch, 3, h, w]`.
        folded: whether normalization disappeared into the first convolution.
        mask_channel: whether that convolution got the constant channel.
        reason: why it was not folded, else `None`.
    """

    model: onnx.ModelProto
    folded: bool
    mask_channel: bool
    reason: str | None


def fold_normalization(model: onnx.ModelProto, normalize: Normalize) -> Folded:
    """Make the network's float32 input `[batch, 3, h, w]` a uint8 `pixels` one, normalization included.

    A body that does not begin with one convolution of constant weights gets explicit arithmetic in
    torchvision's order (divide, subtract, divide, in float32) and compiles all the same; `Folded.reason`
    says why.
    """
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    graph = rewritten.graph
    source = graph.input[0].name
    constants = {i.name: i for i in graph.initializer}
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] == source:
            node.input[0] = "pixels"
    readers = [n for n in graph.node if source in n.input]
    reason = _refusal(readers, source, constants, graph)
    if reason is None:
        mask = _fold(graph, readers[0], source, constants, normalize)
    else:
        mask = False
        _write_out(graph, source, normalize)
    graph.input[0].name = "pixels"
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return Folded(rewritten, folded=reason is None, mask_channel=mask, reason=reason)


def _refusal(
    readers: list[onnx.NodeProto], source: str, constants: dict[str, TensorProto], graph: onnx.GraphProto
) -> str | None:
    if source in {o.name for o in graph.output}:
        return "the input is an output"
    if len(readers) != 1:
        return f"the input goes to {len(readers)} operators, not to one convolution"
    first = readers[0]
    if first.op_type != "Conv":
        return f"the network begins with {first.op_type}, not with a convolution"
    if first.input[0] != source or any(name and name not in constants for name in first.input[1:]):
        return "the first convolution's weights are not constant"
    if next((a.i for a in first.attribute if a.name == "group"), 1) != 1:
        return "the first convolution is grouped"
    return None


def _fold(
    graph: onnx.GraphProto,
    conv: onnx.NodeProto,
    source: str,
    constants: dict[str, TensorProto],
    normalize: Normalize,
) -> bool:
    """Rewrite `conv` in place; returns whether a mask channel was needed."""
    weight = numpy_helper.to_array(constants[conv.input[1]]).astype(np.float64)
    mean, std = np.array(normalize.mean), np.array(normalize.std)
    per_channel = (1, -1, 1, 1)
    scaled = weight / (normalize.divisor * std).reshape(per_channel)
    offset = (weight * (mean / std).reshape(per_channel)).sum(axis=1, keepdims=True)

    begin = Builder("normalize/")
    pixels = "pixels"
    mask = bool(np.any(offset)) and _pads(conv)
    if mask:
        scaled = np.concatenate([scaled, -offset / MASK_VALUE], axis=1)
        # Pads of all axes, not of one that is named: see docs/design/portability.md.
        one_channel = begin.i64([0, 0, 0, 0, 0, 1, 0, 0])
        pixels = begin.op("Pad", pixels, one_channel, begin.constant(MASK_VALUE, np.uint8))
    cast = begin.cast(pixels, TensorProto.FLOAT)

    name = conv.name or conv.output[0]
    inputs = [cast, _add(graph, f"{name}/folded_weight", scaled)]
    if mask:
        inputs += list(conv.input[2:])
    elif len(conv.input) > 2 and conv.input[2]:
        bias = numpy_helper.to_array(constants[conv.input[2]]).astype(np.float64)
        inputs.append(_add(graph, f"{name}/folded_bias", bias - offset.sum(axis=(1, 2, 3))))
    else:
        inputs.append(_add(graph, f"{name}/folded_bias", -offset.sum(axis=(1, 2, 3))))
    del conv.input[:]
    conv.input.extend(inputs)
    _prepend(graph, begin)
    _drop_unused(graph)
    return mask


def _pads(conv: onnx.NodeProto) -> bool:
    attributes = {a.name: a for a in conv.attribute}
    auto = attributes["auto_pad"].s.decode() if "auto_pad" in attributes else "NOTSET"
    if auto != "NOTSET":
        return auto != "VALID"
    return "pads" in attributes and any(attributes["pads"].ints)


def _write_out(graph: onnx.GraphProto, source: str, normalize: Normalize) -> None:
    begin = Builder("normalize/")
    value = begin.cast("pixels", TensorProto.FLOAT)
    shape = (1, 3, 1, 1)
    if normalize.divisor != 1:
        value = begin.op("Div", value, begin.constant(normalize.divisor, np.float32))
    if any(normalize.mean):
        value = begin.op("Sub", value, begin.constant(np.reshape(normalize.mean, shape), np.float32))
    if set(normalize.std) != {1.0}:
        value = begin.op("Div", value, begin.constant(np.reshape(normalize.std, shape), np.float32))
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == source:
                node.input[index] = value
    for output in graph.output:
        if output.name == source:
            begin.nodes.append(helper.make_node("Identity", [value], [source], name="normalize/output"))
    _prepend(graph, begin)


def _add(graph: onnx.GraphProto, name: str, value: npt.NDArray[np.float64]) -> str:
    graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return name


def _prepend(graph: onnx.GraphProto, begin: Builder) -> None:
    nodes = [*begin.nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(begin.initializers)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    kept = [i for i in graph.initializer if i.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
