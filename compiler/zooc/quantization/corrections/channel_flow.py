"""Follows channels through a network: which of them have to be scaled alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.ir.channels import SCALE_FREE
from zooc.ir.graph import Constant, Graph, Node, Tensor, is_output, reduced_axes, shape_of, values_of

__all__ = ["UNSCALED", "Flow", "components", "follow", "spread_inputs", "weight_rows"]

Array = npt.NDArray[Any]
Classes = npt.NDArray[np.int64]

UNSCALED = 0
"""The class of all channels that have to stay as they are."""

_JOINED = frozenset({"Add", "Sub", "Sum", "Mean", "Max", "Min"})


@dataclass(slots=True)
class Flow:
    """Which channels of a graph are scaled by one factor: those of the same class.

    Attributes:
        classes: of each tensor with a known number of channels, by its name: an array of the tensor's shape
            without the batch, with 1 along axes without a difference.
        layers: the nodes with weights of their own, which end classes: they can scale what they read, and
            what they give, by any factors.
        count: of classes.
    """

    classes: dict[str, Classes] = field(default_factory=dict)
    layers: list[Node] = field(default_factory=list)
    count: int = 1
    _alike: list[tuple[Classes, Classes]] = field(default_factory=list)

    def new(self, shape: Sequence[int]) -> Classes:
        """Return classes of their own."""
        first, self.count = self.count, self.count + math.prod(shape)
        return np.arange(first, self.count).reshape(shape)

    def join(self, first: Classes, second: Classes) -> None:
        """Let two tensors be scaled alike."""
        one, other = np.broadcast_arrays(first, second)
        self._alike.append((one.ravel(), other.ravel()))

    def pin(self, tensor: Tensor) -> None:
        """Let a tensor stay as it is."""
        if (known := self.classes.get(tensor.name)) is not None:
            self.join(known, np.array(UNSCALED))

    def settle(self) -> None:
        """Give channels that are scaled alike the same class, the smallest among them."""
        roots = components(self.count, self._alike)
        self._alike.clear()
        self.classes = {name: roots[known] for name, known in self.classes.items()}


def components(count: int, edges: Iterable[tuple[Classes, Classes]]) -> Classes:
    """Return for each of `count` numbers the smallest one that it is connected with."""
    pairs = list(edges)
    roots = np.arange(count)
    if not pairs:
        return roots
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    while (apart := roots[first] != roots[second]).any():
        one, other = roots[first[apart]], roots[second[apart]]
        np.minimum.at(roots, np.maximum(one, other), np.minimum(one, other))
        while (roots != roots[roots]).any():
            roots = roots[roots]
    return roots


def follow(graph: Graph) -> Flow:
    """Follow the channels of all tensors from their makers to their readers.

    A factor for each channel passes through ReLU, pooling and what only moves elements; a sum, a maximum or
    a minimum passes it on if it is the same for all operands, a product if only one operand is scaled. All
    other operators need what they read as it is, and so do the network's results. A convolution may be given
    other factors for its results than for what it reads.
    """
    flow = Flow()
    inside = {id(node) for node in graph.nodes}
    for node in graph.nodes:
        results: Sequence[Classes | None] | None = _layer(flow, node) or _passed(flow, node)
        if results is None:
            for tensor in node.inputs if node.op != "Shape" else ():
                flow.pin(tensor)
            results = [_unscaled(tensor) for tensor in node.outputs]
        for tensor, classes in zip(node.outputs, results, strict=True):
            if classes is not None:
                flow.classes[tensor.name] = classes
            if is_output(graph, tensor) or any(id(reader) not in inside for reader in tensor.outputs):
                flow.pin(tensor)
    flow.settle()
    return flow


def weight_rows(layer: Node) -> npt.NDArray[np.float32]:
    """Return the weights of a Conv or Gemm as `[output channels, input channels of a group, taps]`."""
    weight = values_of(layer.inputs[1])
    assert weight is not None
    if layer.op == "Gemm" and not layer.attrs.get("transB", 0):
        weight = weight.T
    return weight.reshape(*weight.shape[:2], -1)


def spread_inputs(layer: Node, values: Array, outputs: int) -> Array:
    """Return a value for each input channel as an array beside `weight_rows(layer)[:, :, 0]`."""
    groups = layer.attrs.get("group", 1)
    if groups == 1:
        return values[None, :]
    return np.repeat(values.reshape(groups, -1), outputs // groups, axis=0)


def _layer(flow: Flow, node: Node) -> list[Classes] | None:
    """The results of a node with weights of its own, in new classes."""
    if not _has_own_weights(node):
        return None
    rows = weight_rows(node)
    inputs = rows.shape[1] * (node.attrs.get("group", 1) if node.op == "Conv" else 1)
    spatial = [1] * (len(node.inputs[1].shape) - 2)
    known = flow.classes.setdefault(node.inputs[0].name, np.full((inputs, *spatial), UNSCALED))
    if known.shape != (inputs, *spatial):
        return None
    flow.layers.append(node)
    return [flow.new((len(rows), *spatial))]


def _has_own_weights(node: Node) -> bool:
    """Whether weight and bias are stored, as float32, for this node alone."""
    if node.op not in ("Conv", "Gemm") or (node.op == "Gemm" and node.attrs.get("transA", 0)):
        return False
    stored = [tensor for tensor in node.inputs[1:3] if not tensor.is_empty()]
    if not all(isinstance(t, Constant) and len(t.outputs) == 1 and t.dtype == np.float32 for t in stored):
        return False
    if len(stored) == 2 and math.prod(stored[1].shape) != weight_rows(node).shape[0]:
        return False
    return len(stored[0].shape) >= 2


def _passed(flow: Flow, node: Node) -> list[Classes] | None:
    """The results of an operator that hands factors on; `None` if it does not."""
    operands = [flow.classes.get(tensor.name) for tensor in node.inputs]
    if node.op in ("Mul", "Div"):
        return _product(flow, node, operands)
    if not operands or operands[0] is None:
        return None
    if node.op in SCALE_FREE and len(node.outputs) == 1:
        # A pool mixes what stands behind the channels: that must be of one class.
        mixed = node.op.endswith("Pool") and operands[0].size != operands[0].shape[0]
        return None if mixed else [operands[0]]
    if node.op in _JOINED or node.op == "Concat":
        found = [operand for operand in operands if operand is not None]
        if len(found) != len(operands) or len({operand.ndim for operand in found}) != 1:
            return None
        return _joined(flow, found) if node.op in _JOINED else _concatenated(flow, node, found)
    move = _MOVES.get(node.op)
    return None if move is None else move(node, operands[0])


def _joined(flow: Flow, operands: Sequence[Classes]) -> list[Classes]:
    for operand in operands[1:]:
        flow.join(operands[0], operand)
    return [np.broadcast_arrays(*operands)[0]]


def _product(flow: Flow, node: Node, operands: Sequence[Classes | None]) -> list[Classes] | None:
    """Of two factors one is scaled: the first, if it is not known to stay as it is."""
    first, second = operands
    swap = node.op == "Mul" and second is not None and (first is None or not first.any())
    scaled, other = (second, first) if swap else (first, second)
    shape = shape_of(node.outputs[0])
    if scaled is None or shape is None or len(shape) != scaled.ndim + 1:
        return None
    flow.pin(node.inputs[0 if swap else 1])
    if other is None or other.ndim != scaled.ndim:
        return [scaled]
    return [np.broadcast_arrays(scaled, other)[0]]


def _concatenated(flow: Flow, node: Node, operands: Sequence[Classes]) -> list[Classes] | None:
    axis = _axis(node, operands[0])
    if axis is None:
        return None
    sizes = [operand.shape[axis] for operand in operands]
    if sizes == [_size(tensor, axis) for tensor in node.inputs]:
        return [np.concatenate(operands, axis)]
    return _joined(flow, operands) if set(sizes) == {1} else None


def _split(node: Node, known: Classes) -> list[Classes] | None:
    axis = _axis(node, known)
    if axis is None:
        return None
    parts = [size for tensor in node.outputs if (size := _size(tensor, axis)) is not None]
    if len(parts) == len(node.outputs) and sum(parts) == known.shape[axis]:
        return np.split(known, np.cumsum(parts)[:-1], axis)
    return [known] * len(node.outputs) if known.shape[axis] == 1 else None


def _axis(node: Node, known: Classes) -> int | None:
    """The axis of `known` that a node works along; `None` if that is the batch."""
    axis = node.attrs.get("axis", 0) % (known.ndim + 1)
    return axis - 1 if axis else None


def _size(tensor: Tensor, axis: int) -> int | None:
    """A tensor's size along an axis of its classes; -1 is the batch."""
    shape = shape_of(tensor)
    return None if shape is None else shape[axis + 1]


def _slice(node: Node, known: Classes) -> list[Classes] | None:
    values = [values_of(tensor) for tensor in node.inputs[1:]]
    given = [array for array in values if array is not None]
    if len(given) != len(values):
        return None
    starts, ends = given[:2]
    axes = given[2] if len(given) > 2 else np.arange(len(starts))
    steps = given[3] if len(given) > 3 else np.ones(len(starts), np.int64)
    cut = [slice(None)] * (known.ndim + 1)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(int(start), int(end), int(step))
    if cut[0] != slice(None):
        return None
    unlike = [size > 1 or _size(node.inputs[0], axis) == 1 for axis, size in enumerate(known.shape)]
    return [known[tuple(part if u else slice(None) for part, u in zip(cut[1:], unlike, strict=True))]]


def _gather(node: Node, known: Classes) -> list[Classes] | None:
    """Channels in another order."""
    indices, axis = values_of(node.inputs[1]), _axis(node, known)
    if indices is None or indices.ndim != 1 or axis is None or known.shape[axis] == 1:
        return None
    return [known.take(indices, axis)]


def _transpose(node: Node, known: Classes) -> list[Classes] | None:
    order = node.attrs.get("perm")
    if order is None or order[0] != 0:
        return None
    return [known.transpose([axis - 1 for axis in order[1:]])]


def _reshape(node: Node, known: Classes) -> list[Classes] | None:
    """Axes of channels become other axes, those behind stay; or all become one."""
    before, after = _sizes(node.inputs[0]), _sizes(node.outputs[0])
    if before is None or after is None or _size(node.inputs[0], -1) != _size(node.outputs[0], -1):
        return None
    behind = known.ndim - max((axis + 1 for axis, size in enumerate(known.shape) if size > 1), default=0)
    while behind and (len(after) < behind or before[-behind:] != after[-behind:]):
        behind -= 1
    tail = [1] * behind
    front, shape = before[: len(before) - behind], after[: len(after) - behind]
    if math.prod(front) != math.prod(shape):
        return None
    return [np.broadcast_to(known, (*front, *tail)).reshape(*shape, *tail)]


def _sizes(tensor: Tensor) -> list[int] | None:
    """A tensor's sizes behind the batch, if all are known."""
    shape = shape_of(tensor) or (None, None)
    sizes = [size for size in shape[1:] if size is not None]
    return sizes if len(sizes) == len(shape) - 1 else None


def _reduce(node: Node, known: Classes) -> list[Classes] | None:
    axes = reduced_axes(node)
    if not axes or axes[0] == 0 or any(known.shape[axis - 1] > 1 for axis in axes):
        return None
    if node.attrs.get("keepdims", 1):
        return [known]
    return [known.squeeze(tuple(axis - 1 for axis in axes))]


def _resize(node: Node, known: Classes) -> list[Classes] | None:
    before, after = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if before is None or after is None or before[:2] != after[:2] or before[1] is None:
        return None
    if node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        return None
    return [known] if known.size == known.shape[0] else None


_MOVES: Mapping[str, Callable[[Node, Classes], list[Classes] | None]] = {
    "Flatten": _reshape,
    "Gather": _gather,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}


def _unscaled(tensor: Tensor) -> Classes | None:
    shape = shape_of(tensor)
    if shape is None or len(shape) < 2 or shape[1] is None:
        return None
    return np.full((shape[1], *[1] * (len(shape) - 2)), UNSCALED)
