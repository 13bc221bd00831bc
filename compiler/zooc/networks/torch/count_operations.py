"""Counts a torch module's operations as `thop` does, whose count is what deployment pages print.

thop (github.com/Lyken17/pytorch-OpCounter, 0.1.1) hooks the layers it knows, by their exact class, and adds:

- convolutions: one for each weight that reaches an output element, biases free;
- linear layers: input features for each output element;
- BatchNorm, LayerNorm and InstanceNorm: two for each input element, four with learned factors;
- average pooling: one for each output element; adaptive: the window's size and one for each;
- softmax: for each row, three times its length less one; PReLU: one for each element.

Activations, max pooling, additions, and whatever is a function or a class of its own count nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from zooc.deployment import InputShape

__all__ = ["count_operations"]

Counter = Callable[[Any, Any, Any], int]


def count_operations(module: Any, shape: InputShape) -> int:
    """Return thop's multiply-accumulates for one image of `shape`.

    Args:
        module: a `torch.nn.Module` in evaluation mode, on any device (`meta` is enough); left as it was.
        shape: the input; its batch does not matter.
    """
    total = 0

    def hook(count: Counter) -> Any:
        def after(layer: Any, inputs: Any, output: Any) -> None:
            nonlocal total
            total += count(layer, inputs[0], output)

        return after

    hooks = [
        layer.register_forward_hook(hook(_COUNTERS[type(layer)]))
        for layer in module.modules()
        if type(layer) in _COUNTERS
    ]
    try:
        with torch.no_grad():
            size = (1, shape.channels, shape.height, shape.width)
            module(torch.zeros(size, device=next(module.parameters()).device))
    finally:
        for handle in hooks:
            handle.remove()
    return total


def _convolution(layer: Any, given: Any, result: Any) -> int:
    return int(result.numel() * (given.shape[1] // layer.groups) * math.prod(layer.weight.shape[2:]))


def _linear(layer: Any, _given: Any, result: Any) -> int:
    return int(layer.in_features * result.numel())


def _norm(layer: Any, given: Any, _result: Any) -> int:
    learned = getattr(layer, "affine", False) or getattr(layer, "elementwise_affine", False)
    return int((4 if learned else 2) * given.numel())


def _average(_layer: Any, _given: Any, result: Any) -> int:
    return int(result.numel())


def _adaptive_average(_layer: Any, given: Any, result: Any) -> int:
    window = math.prod(n / m for n, m in zip(given.shape[2:], result.shape[2:], strict=True))
    return int((window + 1) * result.numel())


def _softmax(layer: Any, given: Any, _result: Any) -> int:
    length = given.shape[layer.dim]
    return int(given.numel() // length * (3 * length - 1))


def _prelu(_layer: Any, given: Any, _result: Any) -> int:
    return int(given.numel())


_COUNTERS: dict[type[Any], Counter] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _convolution),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm), _norm),
    **dict.fromkeys((nn.LayerNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), _norm),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _average),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive_average),
    nn.Linear: _linear,
    nn.Softmax: _softmax,
    nn.PReLU: _prelu,
}
