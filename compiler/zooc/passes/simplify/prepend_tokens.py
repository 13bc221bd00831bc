"""Writes a class token as padding and an addition, where it was expanded to the batch and concatenated.

    Concat(Expand(token, [batch, 1, c]), x)  =  Pad(x, one row in front) + [token, 0, 0, ...]

Exact: a padded row is `0 + token`, every other one `x + 0`. The constant joins a following addition of
another (the position embedding) exactly as well, since `0 + (token + position)` rounds once, as
`token + position` did.

Vision transformers begin so. OpenVINO 2026.2 to 2026.4 lets the expanded token overwrite an integer
convolution's result where the batch is free (`docs/design/portability.md`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zooc.ir.graph import Constant, Graph, Node, Tensor, is_output, maker, only_reader
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["prepend_tokens"]


def prepend_tokens(graph: Graph, node: Node) -> Outcome:
    """A Concat of expanded constants with one other tensor is padding and an addition."""
    if node.op != "Concat" or len(node.inputs) < 2:
        return False
    tokens = [_token(tensor) for tensor in node.inputs]
    if sum(token is None for token in tokens) != 1:
        return False
    if is_output(graph, node.outputs[0]):
        return Refused("its result is the graph's")
    place = next(at for at, token in enumerate(tokens) if token is None)
    data = node.inputs[place]
    if data.dtype != np.float32 or data.shape is None or not all(isinstance(d, int) for d in data.shape[1:]):
        return Refused("sizes other than the batch are not known")
    rank = len(data.shape)
    axis = node.attrs["axis"] % rank
    shape = [1, *data.shape[1:]]
    parts = [np.zeros(shape, np.float32) if token is None else token for token in tokens]
    others = [dim for at, dim in enumerate(shape) if at != axis]
    if axis == 0 or any(
        part.ndim != rank or [dim for at, dim in enumerate(part.shape) if at != axis] != others
        for part in parts
    ):
        return Refused("it joins along the batch, or tensors of other ranks")
    added = np.concatenate(parts, axis=axis)
    pads = np.zeros(2 * rank, np.int64)
    pads[axis] = sum(part.shape[axis] for part in parts[:place])
    pads[rank + axis] = sum(part.shape[axis] for part in parts[place + 1 :])
    _write(graph, node, data, pads, added)
    return True


def _write(
    graph: Graph,
    node: Node,
    data: Tensor,
    pads: npt.NDArray[np.int64],
    added: npt.NDArray[np.float32],
) -> None:
    """Put Pad and Add in the Concat's place; the Add takes over a following addition of a constant."""
    result, padded = node.outputs[0], f"{node.name}/padded"
    follower = _addition_of_constant(graph, result)
    if follower is not None:
        position = next(i for i in follower.inputs if isinstance(i, Constant))
        constant = Constant(f"{position.name}/tokens", added + position.values)
        add, output = follower.name, follower.outputs[0]
    else:
        constant, add, output = Constant(f"{padded}/tokens", added), f"{node.name}/Add", result
    pad = Replacement(graph, node, f"{node.name}/Pad")
    moved = pad.node("Pad", [data, Constant(f"{padded}/pads", pads)], [padded])
    moved.dtype, moved.shape = np.float32, result.shape
    Replacement(graph, node, add).node("Add", [moved, constant], [output])


def _token(tensor: Tensor) -> npt.NDArray[np.float32] | None:
    """The constant that an Expand repeats for each image of the batch, `None` for any other tensor."""
    expand = maker(tensor, "Expand")
    if expand is None or not isinstance(expand.inputs[0], Constant):
        return None
    values = expand.inputs[0].values
    shape = tensor.shape
    if values.dtype != np.float32 or values.ndim == 0 or values.shape[0] != 1 or shape is None:
        return None
    if isinstance(shape[0], int) or tuple(shape[1:]) != values.shape[1:]:
        return None
    return np.asarray(values)


def _addition_of_constant(graph: Graph, tensor: Tensor) -> Node | None:
    """The only reader of `tensor`, if it adds a constant that has one value for every element of an image."""
    reader = only_reader(graph, tensor)
    if reader is None or reader.op != "Add":
        return None
    constants = [i for i in reader.inputs if isinstance(i, Constant)]
    if len(constants) != 1 or tensor.shape is None:
        return None
    fits = constants[0].values.dtype == np.float32 and constants[0].values.shape == (1, *tensor.shape[1:])
    return reader if fits else None
