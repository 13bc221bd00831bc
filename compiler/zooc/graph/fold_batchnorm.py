"""Folds a per-channel affine map that follows a convolution or a Gemm into its weights and bias.

Algebra. Let the layer give `z_c = sum(W_c * x) + b_c` for output channel `c`, and what follows give
`y_c = a_c * z_c + d_c`. Then `y_c = sum((a_c * W_c) * x) + (a_c * b_c + d_c)`: the layer alone, with weights
`a * W` and bias `a * b + d`. A BatchNormalization of inference has `a = gamma / sqrt(var + eps)` and
`d = beta - a * mean`; a Mul or an Add by a constant that varies over channels only is the same with
`d = 0` or `a = 1`. The products are taken in float64 and rounded once.

A fold is refused where the layer's output is also used elsewhere or is an output of the graph, where a
weight is computed at run time, where the BatchNormalization trains, and where the constant varies over
anything but channels. Weights that several layers share are copied, never changed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

__all__ = ["batchnorm_affine", "fold_batchnorm"]

Array = npt.NDArray[np.float64]


def fold_batchnorm(graph: gs.Graph) -> bool:
    """Folds every affine successor of a Conv or Gemm in `graph`, in place; tells whether anything changed.

    The layer keeps its node name; its output takes the successor's name. The orphaned nodes stay until
    `graph.cleanup()`.
    """
    modified = False
    for layer in graph.nodes:
        while _fold_into(layer, graph):
            modified = True
    return modified


def _fold_into(layer: gs.Node, graph: gs.Graph) -> bool:
    """Folds the one node after `layer` where that is allowed."""
    channels = _output_channels(layer)
    if channels is None:
        return False
    (output,) = layer.outputs
    if len(output.outputs) != 1 or any(output is o for o in graph.outputs):
        return False
    follower = output.outputs[0]
    rank = layer.inputs[1].values.ndim
    affine = _affine(follower, output, channels, rank)
    if affine is None:
        return False
    scale, shift = affine
    _scale_weights(layer, scale, shift)
    (result,) = follower.outputs[:1]
    follower.outputs.clear()
    layer.outputs = [result]
    return True


def _output_channels(layer: gs.Node) -> int | None:
    """The number of output channels where `layer` has float32 constant weights, else `None`."""
    if layer.op not in ("Conv", "Gemm") or len(layer.outputs) != 1 or len(layer.inputs) < 2:
        return None
    if not all(isinstance(i, gs.Constant) and i.values.dtype == np.float32 for i in layer.inputs[1:]):
        return None
    weight = layer.inputs[1].values
    if layer.op == "Conv":
        return int(weight.shape[0])
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    if any(layer.attrs.get(name, value) != value for name, value in plain.items()):
        return None
    channels = int(weight.shape[_channel_axis(layer)])
    if len(layer.inputs) > 2:
        bias = layer.inputs[2].values
        if bias.size != 1 and not (bias.size == bias.shape[-1] == channels):
            return None
    return channels


def _channel_axis(layer: gs.Node) -> int:
    """The weight's axis that runs over output channels."""
    return 0 if layer.op == "Conv" or layer.attrs.get("transB", 0) else 1


def _affine(node: gs.Node, value: gs.Tensor, channels: int, rank: int) -> tuple[Array, Array] | None:
    """`(a, d)` of shape `[channels]` where `node` is `a * value + d` a channel, else `None`."""
    if node.op == "BatchNormalization":
        return batchnorm_affine(node, value)
    if node.op not in ("Mul", "Add") or len(node.inputs) != 2:
        return None
    other = node.inputs[1] if node.inputs[0] is value else node.inputs[0]
    constant = _per_channel(other, channels, rank)
    if constant is None:
        return None
    if node.op == "Mul":
        return constant, np.zeros(channels)
    return np.ones(channels), constant


def batchnorm_affine(node: gs.Node, value: gs.Tensor) -> tuple[Array, Array] | None:
    """`(a, d)` of shape `[channels]` where a BatchNormalization is `a * value + d`, else `None`."""
    if node.inputs[0] is not value or node.attrs.get("training_mode", 0) or len(node.outputs) != 1:
        return None
    if not all(isinstance(i, gs.Constant) for i in node.inputs[1:]):
        return None
    gamma, beta, mean, variance = (i.values.astype(np.float64) for i in node.inputs[1:5])
    scale: Array = gamma / np.sqrt(variance + node.attrs.get("epsilon", 1e-5))
    shift: Array = beta - scale * mean
    return scale, shift


def _per_channel(tensor: gs.Tensor, channels: int, rank: int) -> Array | None:
    """A constant as one number a channel, where broadcasting it over `[N, C, ...]` varies with C only."""
    if not isinstance(tensor, gs.Constant) or tensor.values.dtype != np.float32:
        return None
    values = tensor.values
    if values.ndim > rank:
        return None
    aligned = values.reshape((1,) * (rank - values.ndim) + values.shape)
    if aligned.size not in (1, channels) or aligned.shape[1] != aligned.size:
        return None
    flat: Array = aligned.astype(np.float64).reshape(-1)
    return np.repeat(flat, channels) if flat.size == 1 else flat


def _scale_weights(layer: gs.Node, scale: Array, shift: Array) -> None:
    """Gives `layer` the weights `scale * W` and the bias `scale * b + shift`, as constants of its own."""
    weight = layer.inputs[1]
    along = [1] * weight.values.ndim
    along[_channel_axis(layer)] = -1
    scaled = (weight.values.astype(np.float64) * scale.reshape(along)).astype(np.float32)
    bias = layer.inputs[2].values.astype(np.float64).reshape(-1) if len(layer.inputs) > 2 else 0.0
    shifted = (scale * bias + shift).astype(np.float32)
    weight_name = weight.name if len(weight.outputs) == 1 else f"{layer.name}:weight"
    bias_name = f"{layer.name}:bias"
    if len(layer.inputs) > 2 and len(layer.inputs[2].outputs) == 1:
        bias_name = layer.inputs[2].name
    elif weight_name.endswith(".weight"):
        bias_name = weight_name.removesuffix("weight") + "bias"
    layer.inputs = [layer.inputs[0], gs.Constant(weight_name, scaled), gs.Constant(bias_name, shifted)]
