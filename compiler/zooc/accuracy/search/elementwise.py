"""What an activation function leaves of a tensor's rounding error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.calibration.histogram import Histogram
from zooc.calibration.ranges import Range
from zooc.ir.graph import Graph, Node, Tensor, is_output, values_of

__all__ = ["activation_of", "least_error_behind"]

_LEVELS = 255
_CANDIDATES = 24

Floats = npt.NDArray[np.float64]
Function = Callable[[Floats], Floats]


def activation_of(graph: Graph, tensor: Tensor) -> Function | None:
    """Return the elementwise function of a tensor through which alone the network reads it.

    Found are functions of several nodes, such as `x * clip(x + 3, 0, 6)`: all that is computed from the
    tensor and stored scalars alone, if exactly one result of it is read by anything else.

    Returns:
        The function, float64 to float64 of the same shape; `None` if there is none, or one of an operator
        that is not known here.
    """
    known: dict[str, Tensor] = {tensor.name: tensor}
    steps: list[Node] = []
    for node in graph.nodes:
        if node.op in _OPERATORS and any(t.name in known for t in node.inputs) and _of_one(node, known):
            steps.append(node)
            known[node.outputs[0].name] = node.outputs[0]
    names = {node.name for node in steps}
    read = [
        result
        for result in known.values()
        if is_output(graph, result) or any(reader.name not in names for reader in result.outputs)
    ]
    if len(read) != 1 or read[0] is tensor:
        return None

    def apply(values: Floats) -> Floats:
        found = {tensor.name: values}
        for node in steps:
            found[node.outputs[0].name] = _OPERATORS[node.op](node, [_operand(t, found) for t in node.inputs])
        return found[read[0].name]

    return apply


def least_error_behind(histogram: Histogram, function: Function) -> Range:
    """Return the range with the least mean squared error of the function's values.

    Levels where the function is flat are wasted: HardSwish and SiLU make (nearly) nothing of what is far
    below zero, and a sigmoid nothing of what is far from it. All pairs of 24 lower and 24 upper limits are
    tried.

    Args:
        histogram: of the tensor that is rounded.
        function: what becomes of it.
    """
    used = np.flatnonzero(histogram.counts)
    edges = histogram.edges
    centres = (edges[used] + edges[used + 1]) / 2
    counts = histogram.counts[used].astype(np.float64)
    exact = function(centres)
    best, least = (min(histogram.low, 0.0), max(histogram.high, 0.0)), np.inf
    for low in _limits(-histogram.low):
        for high in _limits(histogram.high):
            if (step := (low + high) / _LEVELS) == 0.0:
                continue
            below = np.rint(low / step)
            rounded = np.clip(np.rint(centres / step), -below, _LEVELS - below) * step
            error = float(counts @ np.square(function(rounded) - exact))
            if error < least:
                best, least = (-low, high), error
    return best


def _limits(extreme: float) -> list[float]:
    """From the extreme down, so that ties keep more; 0 where there is none."""
    return [extreme * i / _CANDIDATES for i in range(_CANDIDATES, 0, -1)] if extreme > 0 else [0.0]


def _of_one(node: Node, known: dict[str, Tensor]) -> bool:
    """Whether a node computes with known tensors and stored scalars only."""
    others = [tensor for tensor in node.inputs if tensor.name not in known and not tensor.is_empty()]
    stored = [values_of(tensor) for tensor in others]
    return all(values is not None and values.size == 1 for values in stored)


def _operand(tensor: Tensor, found: dict[str, Floats]) -> Floats | None:
    if tensor.is_empty():
        return None
    stored = values_of(tensor)
    return found[tensor.name] if stored is None else np.asarray(stored, np.float64).reshape(())


def _clip(_node: Node, inputs: list[Any]) -> Floats:
    low, high = ([*inputs, None, None])[1:3]
    values = inputs[0]
    values = values if low is None else np.maximum(values, low)
    return np.asarray(values if high is None else np.minimum(values, high))


def _hard_sigmoid(node: Node, values: Floats) -> Floats:
    slope, shift = node.attrs.get("alpha", 0.2), node.attrs.get("beta", 0.5)
    return np.asarray(np.clip(slope * values + shift, 0.0, 1.0))


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -700.0, 700.0))))


_OPERATORS: dict[str, Callable[[Node, list[Any]], Floats]] = {
    "Add": lambda _, x: x[0] + x[1],
    "Sub": lambda _, x: x[0] - x[1],
    "Mul": lambda _, x: x[0] * x[1],
    "Div": lambda _, x: x[0] / x[1],
    "Clip": _clip,
    "Relu": lambda _, x: np.maximum(x[0], 0.0),
    "LeakyRelu": lambda node, x: np.where(x[0] < 0, x[0] * node.attrs.get("alpha", 0.01), x[0]),
    "Sigmoid": lambda _, x: _sigmoid(x[0]),
    "Tanh": lambda _, x: np.tanh(x[0]),
    "HardSigmoid": lambda node, x: _hard_sigmoid(node, x[0]),
    "HardSwish": lambda _, x: x[0] * np.clip(x[0] / 6.0 + 0.5, 0.0, 1.0),
}
