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
import onnx_graphsurgeon as gs

__all__ = ["prepend_tokens"]


def prepend_tokens(graph: gs.Graph) -> bool:
    """Rewrites such Concats in place; tells whether anything changed.

    A Concat stays as it is where it joins more than one tensor that is no expanded constant, joins along the
    batch, or where sizes other than the batch are unknown.
    """
    modified = False
    ends = {id(tensor) for tensor in graph.outputs}
    for node in list(graph.nodes):
        if node.op == "Concat" and id(node.outputs[0]) not in ends:
            modified |= _rewrite(graph, node)
    return modified


def _rewrite(graph: gs.Graph, node: gs.Node) -> bool:
    tokens = [_token(tensor) for tensor in node.inputs]
    if sum(token is None for token in tokens) != 1 or len(tokens) < 2:
        return False
    place = next(at for at, token in enumerate(tokens) if token is None)
    data = node.inputs[place]
    if data.dtype != np.float32 or data.shape is None or not all(isinstance(d, int) for d in data.shape[1:]):
        return False
    rank = len(data.shape)
    axis = node.attrs["axis"] % rank
    shape = [1, *data.shape[1:]]
    parts = [np.zeros(shape, np.float32) if token is None else token for token in tokens]
    others = [dim for at, dim in enumerate(shape) if at != axis]
    if axis == 0 or any(
        part.ndim != rank or [dim for at, dim in enumerate(part.shape) if at != axis] != others
        for part in parts
    ):
        return False
    added = np.concatenate(parts, axis=axis)
    pads = np.zeros(2 * rank, np.int64)
    pads[axis] = sum(part.shape[axis] for part in parts[:place])
    pads[rank + axis] = sum(part.shape[axis] for part in parts[place + 1 :])
    _write(graph, node, data, pads, added)
    return True


def _write(
    graph: gs.Graph,
    node: gs.Node,
    data: gs.Tensor,
    pads: npt.NDArray[np.int64],
    added: npt.NDArray[np.float32],
) -> None:
    """Puts Pad and Add in the Concat's place; the Add takes over a following addition of a constant."""
    result = node.outputs[0]
    name = node.name or result.name
    padded = gs.Variable(f"{name}/padded", np.float32, result.shape)
    pads_of = gs.Constant(f"{padded.name}/pads", pads)
    follower = _addition_of_constant(result)
    if follower is not None:
        position = next(i for i in follower.inputs if isinstance(i, gs.Constant))
        constant = gs.Constant(f"{position.name}/tokens", added + position.values)
        add, replaced = follower.name, follower
    else:
        constant, add, replaced = gs.Constant(f"{padded.name}/tokens", added), f"{name}/Add", node
    (output,) = replaced.outputs
    index = graph.nodes.index(node)
    for old in {id(n): n for n in (node, replaced)}.values():
        old.inputs.clear()
        old.outputs.clear()
    graph.nodes.insert(index, gs.Node("Add", add, {}, [padded, constant], [output]))
    graph.nodes.insert(index, gs.Node("Pad", f"{name}/Pad", {}, [data, pads_of], [padded]))


def _token(tensor: gs.Tensor) -> npt.NDArray[np.float32] | None:
    """The constant that an Expand repeats for each image of the batch, `None` for any other tensor."""
    maker = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    if maker is None or maker.op != "Expand" or not isinstance(maker.inputs[0], gs.Constant):
        return None
    values = maker.inputs[0].values
    shape = tensor.shape
    if values.dtype != np.float32 or values.ndim == 0 or values.shape[0] != 1 or shape is None:
        return None
    if isinstance(shape[0], int) or tuple(shape[1:]) != values.shape[1:]:
        return None
    return np.asarray(values)


def _addition_of_constant(tensor: gs.Tensor) -> gs.Node | None:
    """The only reader of `tensor`, if it adds a constant that has one value for every element of an image."""
    if len(tensor.outputs) != 1 or tensor.outputs[0].op != "Add":
        return None
    (reader,) = tensor.outputs
    constants = [i for i in reader.inputs if isinstance(i, gs.Constant)]
    if len(constants) != 1 or tensor.shape is None:
        return None
    fits = constants[0].values.dtype == np.float32 and constants[0].values.shape == (1, *tensor.shape[1:])
    return reader if fits else None
