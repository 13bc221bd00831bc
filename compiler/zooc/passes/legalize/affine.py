"""Maps `a_c * x + d_c` a channel as convolutions, or as part of one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.graph import BodyGraph, attribute
from zooc.ir.rewriter import Replacement, maker_for

__all__ = ["convolve_instead_of_batchnorm", "scale_weights_instead_of_tensor"]

Floats = npt.NDArray[np.float64]


def convolve_instead_of_batchnorm(graph: BodyGraph, index: int) -> Replacement | None:
    """A BatchNormalization that no convolution takes in is a depthwise 1 x 1 convolution.

    Its weights are `a = gamma / sqrt(var + eps)`, its bias `beta - a * mean`. Eight bits a weight are exact
    enough, because every channel has one weight and a scale of its own, and a ReLU behind it costs nothing.
    A Mul or an Add by a stored tensor `[C, 1, 1]` is the same with bias 0 or weights 1.
    """
    node = graph.nodes[index]
    shape = graph.shape(node.output[0])
    if graph.element_type(node.output[0]) != onnx.TensorProto.FLOAT or shape is None or len(shape) != 4:
        return None
    affine = _batchnorm(graph, node) if node.op_type == "BatchNormalization" else _affine(graph, node, shape)
    if affine is None or len(affine[1]) != shape[1]:
        return None
    source, scale, shift = affine
    new = Replacement(graph, index)
    weight = new.constant("weight", scale.reshape(-1, 1, 1, 1).astype(np.float32))
    bias = new.constant("bias", shift.astype(np.float32))
    new.node("Conv", [source, weight, bias], [node.output[0]], group=len(scale), kernel_shape=[1, 1])
    return new


def scale_weights_instead_of_tensor(graph: BodyGraph, index: int) -> Replacement | None:
    """A convolution of `c * x`, c a stored number, is one of x with weights `c * W`."""
    conv = graph.nodes[index]
    scaled = maker_for(graph, conv.input[0], "Mul") if conv.op_type == "Conv" else None
    weight = graph.constant(conv.input[1]) if scaled is not None else None
    if scaled is None or weight is None:
        return None
    for source, factor in (scaled.input, scaled.input[::-1]):
        number = graph.constant(factor)
        if number is not None and number.size == 1 and graph.rank(source) == 4:
            new = Replacement(graph, index)
            stored = new.constant("weight_scaled", weight * number.reshape(()))
            new.copy(conv, [source, stored, *conv.input[2:]], conv.output[0])
            return new
    return None


def _batchnorm(graph: BodyGraph, node: onnx.NodeProto) -> tuple[str, Floats, Floats] | None:
    stored = [graph.constant(name) for name in node.input[1:]]
    if attribute(node, "training_mode", 0) or any(values is None for values in stored):
        return None
    gamma, beta, mean, variance = (np.asarray(values, np.float64) for values in stored)
    scale = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    return node.input[0], scale, beta - scale * mean


def _affine(
    graph: BodyGraph, node: onnx.NodeProto, shape: tuple[int | None, ...]
) -> tuple[str, Floats, Floats] | None:
    """For Mul and Add by one number a channel."""
    if node.op_type not in ("Mul", "Add"):
        return None
    for source, constant in (node.input, node.input[::-1]):
        values = graph.constant(constant)
        if values is None or values.shape[-3:] != (shape[1], 1, 1) or values.size != shape[1]:
            continue
        numbers = values.astype(np.float64).reshape(-1)
        if node.op_type == "Mul":
            return source, numbers, np.zeros_like(numbers)
        return source, np.ones_like(numbers), numbers
    return None
