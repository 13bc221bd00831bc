"""Takes away the Transposes between channels first and last that exporters of other frameworks leave.

Algebra. `Transpose(Transpose(x, p), q) = Transpose(x, r)` with `r[i] = p[q[i]]`, nothing where r is the
identity. An operator that treats every element alike, and one that reduces, pads or joins along axes, may
be applied before a Transpose as well as after it, with its constants and axes permuted likewise. So a
Transpose to channels last moves towards the end, until it meets one that takes it back.
"""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, Variable, is_output, only_maker
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["merge_transposes", "sink_transpose"]

_TO_LAST = [0, 2, 3, 1]
_UNARY = frozenset(
    {
        *("Abs", "Cast", "Clip", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish"),
        *("Identity", "LeakyRelu", "Mish", "Neg", "Relu", "Sigmoid", "Softplus", "Sqrt", "Tanh"),
    }
)
_BINARY = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"})


def merge_transposes(graph: Graph, node: Node) -> Outcome:
    """A Transpose of a Transpose is one Transpose."""
    before = node.inputs[0].inputs[0] if node.op == "Transpose" and node.inputs[0].inputs else None
    if before is None or before.op != "Transpose":
        return False
    first, second = before.attrs.get("perm"), node.attrs.get("perm")
    if first is None or second is None:
        return Refused("one of the two reverses the axes of a tensor of unknown rank")
    node.attrs["perm"] = [first[axis] for axis in second]
    node.inputs[0] = before.inputs[0]
    return True


def sink_transpose(graph: Graph, node: Node) -> Outcome:
    """What an operator makes of a tensor with its channels last is the same with them first, transposed."""
    if node.op not in _SINKS or len(node.outputs) != 1:
        return False
    sources = [_source(graph, tensor) for tensor in node.inputs]
    if all(source is None for source in sources):
        return False
    if is_output(graph, node.outputs[0]):
        return Refused("its result is the graph's")
    inputs = _SINKS[node.op](node, sources)
    if inputs is None:
        return Refused("an operand or an axis of it has no place in the other layout")
    node.inputs = inputs
    (result,) = node.outputs
    inner = Variable(f"{result.name}/planes", result.dtype)
    node.outputs = [inner]
    place = next(i for i, other in enumerate(graph.nodes) if other is node) + 1
    transpose = Node("Transpose", f"{node.name}/layout", {"perm": _TO_LAST}, [inner], [result])
    graph.nodes.insert(place, transpose)
    return True


def _source(graph: Graph, tensor: Tensor) -> Tensor | None:
    """What a Transpose to channels last, which nothing else reads, is made of."""
    transpose = only_maker(graph, tensor, "Transpose")
    return transpose.inputs[0] if transpose is not None and transpose.attrs.get("perm") == _TO_LAST else None


def _unary(node: Node, sources: list[Tensor | None]) -> list[Tensor] | None:
    return None if sources[0] is None else [sources[0], *node.inputs[1:]]


def _binary(node: Node, sources: list[Tensor | None]) -> list[Tensor] | None:
    inputs = []
    for tensor, source in zip(node.inputs, sources, strict=True):
        if source is not None:
            inputs.append(source)
        elif isinstance(tensor, Constant) and len(tensor.shape) <= 4:
            inputs.append(_channels_first(tensor))
        else:
            return None
    return inputs


def _channels_first(tensor: Constant) -> Constant:
    values = tensor.values
    if values.size == 1:
        return Constant(f"{tensor.name}/planes", values.reshape(()))
    aligned = values.reshape((1,) * (4 - values.ndim) + values.shape)
    return Constant(f"{tensor.name}/planes", np.ascontiguousarray(aligned.transpose(0, 3, 1, 2)))


def _pad(node: Node, sources: list[Tensor | None]) -> list[Tensor] | None:
    pads = node.inputs[1]
    if sources[0] is None or not isinstance(pads, Constant) or pads.values.size != 8:
        return None
    moved = pads.values.reshape(2, 4)[:, [0, 3, 1, 2]].reshape(-1)
    return [sources[0], Constant(f"{pads.name}/planes", moved), *node.inputs[2:]]


def _concat(node: Node, sources: list[Tensor | None]) -> list[Tensor] | None:
    inputs = [source for source in sources if source is not None]
    if len(inputs) != len(sources):
        return None
    node.attrs["axis"] = _TO_LAST[node.attrs["axis"] % 4]
    return inputs


def _reduce(node: Node, sources: list[Tensor | None]) -> list[Tensor] | None:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    if sources[0] is None or not isinstance(axes, Constant) or not node.attrs.get("keepdims", 1):
        return None
    moved = np.array([_TO_LAST[axis % 4] for axis in axes.values.reshape(-1)], np.int64)
    return [sources[0], Constant(f"{axes.name}/planes", moved)]


_SINKS = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    "Pad": _pad,
    "Concat": _concat,
    "ReduceMean": _reduce,
    "ReduceMax": _reduce,
}
