"""Maps `a_c * x + d_c` a channel as convolutions, or as part of one."""

from __future__ import annotations

import numpy as np

from zooc.ir.channels import affine_map, output_channels, scale_inputs
from zooc.ir.graph import Constant, Graph, Node, only_maker, shape_of, values_of
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["convolve_instead_of_affine_map", "scale_weights_instead_of_tensor"]


def convolve_instead_of_affine_map(graph: Graph, node: Node) -> Outcome:
    """A BatchNormalization that no convolution takes in is a depthwise 1 x 1 convolution.

    Its weights are `a = gamma / sqrt(var + eps)`, its bias `beta - a * mean`. Eight bits a weight are exact
    enough, because every channel has one weight and a scale of its own, and a ReLU behind it costs nothing.
    A Mul or an Add by a stored tensor `[C, 1, 1]` is the same with bias 0 or weights 1.
    """
    computed = [tensor for tensor in node.inputs if not isinstance(tensor, Constant)]
    if node.op not in ("BatchNormalization", "Mul", "Add") or len(computed) != 1:
        return False
    shape = shape_of(node.outputs[0])
    if node.outputs[0].dtype != np.float32 or shape is None or len(shape) != 4:
        return Refused("its result is no float32 feature map")
    if shape[1] is None:
        return Refused("its channels are not known")
    if node.op != "BatchNormalization" and not _is_one_number_a_channel(node, shape[1]):
        return Refused("its constant is not one number a channel")
    affine = affine_map(node, computed[0], shape[1], len(shape))
    if affine is None or len(affine[0]) != shape[1]:
        return Refused("its constants are no map a channel")
    scale, shift = affine
    new = Replacement(graph, node)
    weight = new.constant("weight", scale.reshape(-1, 1, 1, 1).astype(np.float32))
    bias = new.constant("bias", shift.astype(np.float32))
    new.node("Conv", [computed[0], weight, bias], [node.outputs[0]], group=len(scale), kernel_shape=[1, 1])
    return True


def scale_weights_instead_of_tensor(graph: Graph, conv: Node) -> Outcome:
    """A convolution of `c * x`, c a stored number, is one of x with weights `c * W`."""
    scaled = only_maker(graph, conv.inputs[0], "Mul") if conv.op == "Conv" else None
    if scaled is None:
        return False
    for source, factor in (scaled.inputs, scaled.inputs[::-1]):
        number = values_of(factor)
        if number is not None and number.size == 1 and len(source.shape or ()) == 4:
            if output_channels(conv) is None:
                return Refused("its weights are computed")
            scale_inputs(conv, number.astype(np.float64).reshape(()))
            conv.inputs[0] = source
            return True
    return False


def _is_one_number_a_channel(node: Node, channels: int) -> bool:
    (constant,) = (tensor for tensor in node.inputs if isinstance(tensor, Constant))
    size = int(np.prod(constant.shape))
    return tuple(constant.shape[-3:]) == (channels, 1, 1) and size == channels
