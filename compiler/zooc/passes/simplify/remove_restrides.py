"""Removes what an exporter makes of a change of strides in memory, which an ONNX tensor does not have.

torch gives the mean over a channels-last tensor its strides by `as_strided`, and its exporter spells that as
a Gather from the flat tensor, at indices computed from the batch size: `n * C + c` for image n and element c.
Taken in this order, nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from zooc.ir.graph import Constant, Graph, Node, Tensor, bypass, is_output, maker
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["remove_restrides"]

Indices = npt.NDArray[np.int64]


def remove_restrides(graph: Graph, gather: Node) -> Outcome:
    """A Gather of all elements in their order is what it gathers from."""
    source = _source(gather)
    if source is None:
        return False
    if is_output(graph, gather.outputs[0]):
        return Refused("its result is the graph's")
    bypass(gather.outputs[0], source)
    return True


def _source(gather: Node) -> Tensor | None:
    """For `Gather(Reshape(x, [-1]), indices)` that gives x back: x."""
    if gather.op != "Gather" or gather.attrs.get("axis", 0) != 0 or not gather.outputs[0].outputs:
        return None
    flat = maker(gather.inputs[0], "Reshape")
    if flat is None or not _holds(flat.inputs[1], -1):
        return None
    source = flat.inputs[0]
    found = _indices(gather.inputs[1], source.shape[0]) if source.shape else None
    if found is None:
        return None
    step, offsets = found
    in_order = np.array_equal(offsets.reshape(-1), np.arange(offsets.size))
    images = 1 if step == offsets.size else source.shape[0]
    return source if in_order and offsets.shape == (images, *source.shape[1:]) else None


def _indices(tensor: Tensor, batch: int | str) -> tuple[int, Indices] | None:
    """`step` and `offsets` where a tensor is `step * n + offsets` for image n along its first axis."""
    if isinstance(tensor, Constant):
        return 0, tensor.values
    node = maker(tensor)
    if node is not None and node.op == "Range":
        start, limit, step = node.inputs
        counts = _holds(start, 0) and _holds(step, 1) and _is_batch(limit, batch)
        return (1, np.zeros(1, np.int64)) if counts else None
    if node is None or node.op not in _COMBINE:
        return None
    first, second = (_indices(i, batch) for i in node.inputs)
    return None if first is None or second is None else _COMBINE[node.op](*first, *second)


_COMBINE: dict[str, Callable[[int, Indices, int, Indices], tuple[int, Indices]]] = {
    "Add": lambda step, offsets, more, others: (step + more, offsets + others),
    "Mul": lambda step, offsets, _, factor: (step * int(factor.max()), offsets * factor),
    "Unsqueeze": lambda step, offsets, _, axes: (step, np.expand_dims(offsets, tuple(axes.tolist()))),
}
"""From the two inputs' steps and offsets; a factor is one number."""


def _is_batch(tensor: Tensor, batch: int | str) -> bool:
    """Whether this is `Squeeze(Shape(x)[:1])` with x of that batch size."""
    squeeze = maker(tensor, "Squeeze")
    shape = None if squeeze is None else maker(squeeze.inputs[0], "Shape")
    if shape is None:
        return False
    first = (shape.attrs.get("start", 0), shape.attrs.get("end")) == (0, 1)
    return first and bool(shape.inputs[0].shape) and shape.inputs[0].shape[0] == batch


def _holds(tensor: Tensor, value: int) -> bool:
    return isinstance(tensor, Constant) and tensor.values.size == 1 and tensor.values.item() == value
