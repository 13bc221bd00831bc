"""The stored weights of Conv and Gemm, scaled by output or input channel; affine maps a channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

__all__ = [
    "SCALE_FREE",
    "affine_map",
    "batchnorm_affine",
    "input_channels",
    "is_padded",
    "output_channels",
    "scale_inputs",
    "scale_outputs",
]

Array = npt.NDArray[np.float64]

SCALE_FREE = frozenset({"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool"})
"""Operators with `f(s x) = s f(x)` for `s > 0`, each channel by itself."""


def output_channels(layer: gs.Node) -> int | None:
    """Return the number of output channels of a Conv or Gemm with stored float32 weights, else `None`."""
    if layer.op not in ("Conv", "Gemm") or len(layer.outputs) != 1 or len(layer.inputs) < 2:
        return None
    stored = [tensor for tensor in layer.inputs[1:] if not tensor.is_empty()]
    if not all(isinstance(i, gs.Constant) and i.values.dtype == np.float32 for i in stored):
        return None
    weight = layer.inputs[1].values
    if layer.op == "Conv":
        return int(weight.shape[0])
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    if any(layer.attrs.get(name, value) != value for name, value in plain.items()):
        return None
    channels = int(weight.shape[_axis(layer, of_outputs=True)])
    if len(stored) > 1:
        bias = stored[1].values
        if bias.size != 1 and not (bias.size == bias.shape[-1] == channels):
            return None
    return channels


def input_channels(layer: gs.Node) -> int:
    """Return the number of input channels, of all groups, of a layer whose `output_channels` are known."""
    weight = layer.inputs[1].values
    if layer.op == "Conv":
        return int(weight.shape[1]) * int(layer.attrs.get("group", 1))
    return int(weight.shape[_axis(layer, of_outputs=False)])


def is_padded(layer: gs.Node) -> bool:
    """Tell whether a Conv or Gemm puts zeros around its input."""
    if layer.attrs.get("auto_pad", "NOTSET") != "NOTSET":
        return bool(layer.attrs["auto_pad"] != "VALID")
    return any(layer.attrs.get("pads", ()))


def scale_outputs(layer: gs.Node, scale: Array, shift: Array | float = 0.0) -> None:
    """Make `layer` give `scale * y + shift` a channel instead of y.

    Products are taken in float64 and rounded once; weights that several layers share are copied.
    """
    along = [1] * layer.inputs[1].values.ndim
    along[_axis(layer, of_outputs=True)] = -1
    weight = layer.inputs[1].values.astype(np.float64) * scale.reshape(along)
    _store(layer, weight, scale * _bias(layer) + shift)


def scale_inputs(layer: gs.Node, scale: Array, shift: Array | float = 0.0) -> None:
    """Make `layer` give for x what it gave for `scale * x + shift`; with a shift it must not be padded."""
    weight = layer.inputs[1].values.astype(np.float64)
    factors, shifts = (np.broadcast_to(v, input_channels(layer)) for v in (scale, shift))
    if layer.op == "Conv":
        group = int(layer.attrs.get("group", 1))
        shape = (len(weight), -1, *[1] * (weight.ndim - 2))
        factors, shifts = (
            np.repeat(v.reshape(group, -1), len(weight) // group, axis=0).reshape(shape)
            for v in (factors, shifts)
        )
        moved = (weight * shifts).sum(axis=tuple(range(1, weight.ndim)))
    else:
        axis = _axis(layer, of_outputs=False)
        factors, shifts = (np.expand_dims(v, 1 - axis) for v in (factors, shifts))
        moved = (weight * shifts).sum(axis=axis)
    _store(layer, weight * factors, _bias(layer) + moved)


def affine_map(node: gs.Node, value: gs.Tensor, channels: int, rank: int) -> tuple[Array, Array] | None:
    """Return `(a, d)` of shape `[channels]` where `node` is `a * value + d` a channel, else `None`."""
    if node.op == "BatchNormalization":
        return batchnorm_affine(node, value)
    if node.op not in ("Mul", "Add", "Sub", "Div") or _is_broadcast(value, channels, rank):
        return None
    first = node.inputs[0] is value
    constant = _per_channel(node.inputs[1] if first else node.inputs[0], channels, rank)
    if constant is None or (node.op == "Div" and not (first and constant.all())):
        return None
    ones, zeros = np.ones(channels), np.zeros(channels)
    return {
        "Mul": (constant, zeros),
        "Add": (ones, constant),
        "Sub": (ones, -constant) if first else (-ones, constant),
        "Div": (1.0 / constant if node.op == "Div" else ones, zeros),
    }[str(node.op)]


def batchnorm_affine(node: gs.Node, value: gs.Tensor) -> tuple[Array, Array] | None:
    """Return `(a, d)` of shape `[channels]` where a BatchNormalization is `a * value + d`, else `None`."""
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


def _is_broadcast(value: gs.Tensor, channels: int, rank: int) -> bool:
    """Whether a map of so many channels and axes spreads a tensor over more than it has."""
    shape = value.shape
    return shape is not None and (len(shape) != rank or (isinstance(shape[1], int) and shape[1] != channels))


def _axis(layer: gs.Node, *, of_outputs: bool) -> int:
    """The weight's axis that runs over output channels, or over those of the input."""
    outputs = 0 if layer.op == "Conv" or layer.attrs.get("transB", 0) else 1
    return outputs if of_outputs else 1 - outputs


def _has_bias(layer: gs.Node) -> bool:
    return len(layer.inputs) > 2 and not layer.inputs[2].is_empty()


def _bias(layer: gs.Node) -> Array | float:
    return layer.inputs[2].values.astype(np.float64).reshape(-1) if _has_bias(layer) else 0.0


def _store(layer: gs.Node, weight: Array, bias: Array) -> None:
    """Gives `layer` these weights and this bias as constants of its own, under the names of the old ones."""
    old = layer.inputs[1]
    weight_name = old.name if len(old.outputs) == 1 else f"{layer.name}:weight"
    bias_name = f"{layer.name}:bias"
    if _has_bias(layer):
        bias_name = layer.inputs[2].name if len(layer.inputs[2].outputs) == 1 else bias_name
    elif weight_name.endswith(".weight"):
        bias_name = weight_name.removesuffix("weight") + "bias"
    constants = [gs.Constant(weight_name, weight.astype(np.float32))]
    channels = weight.shape[_axis(layer, of_outputs=True)]
    if _has_bias(layer) or np.any(bias):
        constants.append(gs.Constant(bias_name, np.broadcast_to(bias, channels).astype(np.float32)))
    layer.inputs = [layer.inputs[0], *constants]
