"""How a body is rewritten: a pattern that ends in one node gives the nodes that replace it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from zooc.ir.graph import BodyGraph

__all__ = ["SLICE", "Replacement", "Rewrite", "maker_for", "reduced_axes", "rewrite_once"]


SLICE = "#"
"""Between a node's name and a number where the node has become several, alike."""


class Replacement:
    """New nodes for an old one (at its place), and the initializers they need."""

    def __init__(self, graph: BodyGraph, index: int) -> None:
        """Empty; new nodes are named after the old one."""
        self.prefix = graph.name(index)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.removed: set[int] = set()

    def replaces(self, *indices: int) -> None:
        """Takes the place of these later nodes too; the new ones give their outputs."""
        self.removed.update(indices)

    def node(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Adds a node (the first new one keeps the old name) and returns its first output."""
        taken = any(n.name == self.prefix for n in self.nodes)
        name = f"{self.prefix}_{op}{len(self.nodes)}" if taken else self.prefix
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))
        return outputs[0]

    def copy(
        self,
        node: onnx.NodeProto,
        inputs: list[str],
        output: str,
        *,
        part: int | None = None,
        **attributes: Any,
    ) -> str:
        """Adds a node like another, under its name, with these attributes changed; returns its output.

        With `part` it is one of several like it.
        """
        same = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        options = {**same, **attributes}
        name = node.name if part is None else f"{node.name}{SLICE}{part}"
        self.nodes.append(helper.make_node(node.op_type, inputs, [output], name=name, **options))
        return output

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Adds an initializer and returns its name."""
        full = f"{self.prefix}/{name}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), full))
        return full


Rewrite = Callable[[BodyGraph, int], "Replacement | None"]
"""Looks at one node; `None` if the pattern does not end in it."""


def rewrite_once(model: onnx.ModelProto, rewrite: Rewrite) -> bool:
    """Applies a rewrite everywhere in one sweep; False if nowhere."""
    graph = BodyGraph(model)
    found = {i: r for i in range(len(graph.nodes)) if (r := rewrite(graph, i)) is not None}
    if not found:
        return False
    removed = {i for r in found.values() for i in r.removed}
    nodes = [
        node
        for i, old in enumerate(graph.nodes)
        if i not in removed
        for node in (found[i].nodes if i in found else [old])
    ]
    read = {v.name for v in model.graph.output}
    live = []
    for node in reversed(nodes):
        if any(name in read for name in node.output):
            live.append(node)
            read.update(node.input)
    stored = model.graph.initializer
    # One by one: taking all out and putting most back would copy every weight, and the message's memory
    # never shrinks.
    for place in reversed(range(len(stored))):
        if stored[place].name not in read:
            del stored[place]
    stored.extend(t for r in found.values() for t in r.initializers)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(reversed(live))
    return True


def maker_for(graph: BodyGraph, tensor: str, op: str) -> onnx.NodeProto | None:
    """The node that makes `tensor`, if it is of this operator and the tensor has one reader."""
    index = graph.producer.get(tensor)
    alone = len(graph.consumers[tensor]) == 1 and tensor not in graph.outputs
    return graph.nodes[index] if index is not None and alone and graph.nodes[index].op_type == op else None


def reduced_axes(graph: BodyGraph, node: onnx.NodeProto) -> list[int] | None:
    """Axes of a reduction, non-negative and sorted; `None` if they are not stored or the rank is unknown."""
    axes = graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    rank = graph.rank(node.input[0])
    if axes is None or rank is None:
        return None
    return sorted(int(a) % rank for a in axes.reshape(-1))
