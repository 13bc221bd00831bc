"""Takes a BatchNormalization behind a residual stream back through the stream's additions.

iResNet and ResNetV2 add first and normalize at the end of a stage: `y = a * x + d` for
`x = x_0 + f_1 + ... + f_n`, where the branches `f_i` are made by convolutions that read earlier states of the
stream. No single layer makes x, so `fold_batchnorm` finds none.

Algebra. Let `a > 0`. If each layer that writes to the stream gives `a * f_i` in place of `f_i` (weights and
bias of output channel c times `a_c`), every state of the stream is `a` times what it was. ReLU, LeakyReLU and
pooling let a positive factor through, and a convolution or BatchNormalization that reads a state takes it
back (weights of input channel c divided by `a_c`). At the end stands `a * x`, and `d` goes into the bias of a
convolution that writes to the last addition, whose result nothing else reads. The BatchNormalization is gone.

A fold is refused where anything else touches the stream, where some `a_c` is not positive, and where int8
would suffer. A stream is rounded in steps of one size for all channels, in proportion to the largest range
among them. The standard deviations of the channels are `sigma = sqrt(var + eps)` before and `gamma` after:
channel c's rounding error changes by `(max(gamma) / a_c) / max(sigma)`. Its root mean square over the
channels may grow by half a bit at most, as there is one rounding less. (Training with BatchNormalization lets
it fall, because gamma varies less than sigma.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from zooc.ir.channels import (
    SCALE_FREE,
    batchnorm_affine,
    input_channels,
    output_channels,
    scale_inputs,
    scale_outputs,
)
from zooc.ir.graph import Constant, Graph, Node, Tensor, is_output, maker
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["fold_batchnorm_residual"]

Array = npt.NDArray[np.float64]

_MOST_GROWTH = 2**0.5


@dataclass
class _Stream:
    """The nodes around the tensors that are scaled together: those that write them, and those that read."""

    writers: dict[int, Node] = field(default_factory=dict)
    readers: dict[int, Node] = field(default_factory=dict)


def fold_batchnorm_residual(graph: Graph, norm: Node) -> Outcome:
    """A BatchNormalization that ends a residual stream goes into the layers that write to it."""
    if norm.op != "BatchNormalization":
        return False
    total = norm.inputs[0]
    addition, affine = maker(total, "Add"), batchnorm_affine(norm, total)
    if addition is None or affine is None:
        return False
    if len(total.outputs) != 1:
        return Refused("the stream's end is also read elsewhere")
    scale, shift = affine
    last = next((layer for i in addition.inputs if (layer := _only_for(i, addition)) is not None), None)
    if last is None:
        return Refused("no layer alone writes to the last addition")
    if not _stays_even(norm, scale):
        return Refused("some channels would need much finer steps in int8")
    stream = _stream(total, norm, graph, len(scale))
    if stream is None:
        return Refused("something else touches the stream")
    for writer in stream.writers.values():
        if writer.op == "BatchNormalization":
            _replace(writer, 1, scale)
            _replace(writer, 2, scale)
        else:
            scale_outputs(writer, scale)
    for reader in stream.readers.values():
        if reader.op == "BatchNormalization":
            _replace(reader, 1, 1.0 / scale)
            _replace(reader, 3, scale)
        else:
            scale_inputs(reader, 1.0 / scale)
    scale_outputs(last, np.ones_like(scale), shift)
    (result,) = norm.outputs
    norm.outputs.clear()
    addition.outputs = [result]
    return True


def _only_for(tensor: Tensor, reader: Node) -> Node | None:
    """The layer that makes `tensor`, if `reader` alone reads it."""
    if len(tensor.inputs) != 1 or len(tensor.outputs) != 1 or tensor.outputs[0] is not reader:
        return None
    return tensor.inputs[0] if output_channels(tensor.inputs[0]) is not None else None


def _stays_even(norm: Node, scale: Array) -> bool:
    """Whether no channel needs much finer steps behind the fold than before."""
    if not np.all(scale > 0) or not np.all(np.isfinite(scale)):
        return False
    gamma = norm.inputs[1].values.astype(np.float64)
    growth = (gamma.max() / scale) / (gamma / scale).max()
    return bool(np.sqrt(np.mean(np.square(growth))) <= _MOST_GROWTH)


def _stream(total: Tensor, end: Node, graph: Graph, channels: int) -> _Stream | None:
    """What is around the tensors that have to be scaled with `total`; `None` if something cannot follow."""
    found, seen, waiting = _Stream(), set[int](), [total]
    rank = len(total.shape) if total.shape is not None else None
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if is_output(graph, tensor) or len(tensor.inputs) != 1 or not _has_rank(tensor, rank):
            return None
        writer = tensor.inputs[0]
        if _lets_through(writer):
            waiting += writer.inputs
        elif _is_norm(writer) or output_channels(writer) == channels:
            found.writers[id(writer)] = writer
        else:
            return None
        for reader in tensor.outputs:
            if _lets_through(reader):
                waiting += reader.outputs
            elif _is_norm(reader) or (output_channels(reader) and input_channels(reader) == channels):
                found.readers[id(reader)] = reader
            else:
                return None
    del found.readers[id(end)]
    return found


def _has_rank(tensor: Tensor, rank: int | None) -> bool:
    """Whether the channels are the same axis here as in all of the stream: broadcasting could move them."""
    return rank is not None and tensor.shape is not None and len(tensor.shape) == rank


def _lets_through(node: Node) -> bool:
    return node.op == "Add" or (node.op in SCALE_FREE and len(node.outputs) == 1)


def _is_norm(node: Node) -> bool:
    return node.op == "BatchNormalization" and batchnorm_affine(node, node.inputs[0]) is not None


def _replace(norm: Node, index: int, factor: Array) -> None:
    """Multiplies one of a BatchNormalization's constants, in a copy of its own."""
    old = norm.inputs[index]
    name = old.name if len(old.outputs) == 1 else f"{norm.name}:{index}"
    norm.inputs[index] = Constant(name, (old.values.astype(np.float64) * factor).astype(np.float32))
