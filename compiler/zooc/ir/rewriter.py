"""How a graph is rewritten: a rule looks at one node, and rewrites what ends in it, or says why it does not.

A rule has three parts, in this order: the pattern (it returns False where that does not end in the node), the
checks (it returns `Refused` with the reason where the pattern is there but must stay), and the rewrite in
place (it returns True). It changes nothing before its last check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.ir.graph import Constant, Graph, Node, Tensor, Variable, remove_dead_nodes, values_of

__all__ = [
    "SLICE",
    "Outcome",
    "Refusals",
    "Refused",
    "Replacement",
    "Rule",
    "apply_rule",
]

SLICE = "#"
"""Between a node's name and a number where the node has become several, alike."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a pattern that was found stays as it is."""

    reason: str


Outcome = bool | Refused
Rule = Callable[[Graph, Node], Outcome]
Refusals = dict[str, dict[str, str]]
"""What rules refused when last applied: by a rule's name and a node's, the reason."""


def apply_rule(
    graph: Graph, rule: Rule, refusals: Refusals | None = None, *, in_subgraphs: bool = False
) -> bool:
    """Apply a rule to every node once, in order; return whether anything changed.

    Args:
        graph: changed in place; dead nodes are removed.
        rule: see the module's docstring.
        refusals: takes what is refused, in place of what this rule refused before.
        in_subgraphs: whether to apply it to the nodes of nested graphs too.
    """
    modified, refused = False, {}
    for part in (graph, *(graph.subgraphs(recursive=True) if in_subgraphs else ())):
        for node in list(part.nodes):
            if not node.outputs:  # an earlier rewrite of this sweep took its place
                continue
            name, outcome = node.name, rule(part, node)
            if isinstance(outcome, Refused):
                refused[name] = outcome.reason
            modified |= outcome is True
        remove_dead_nodes(part)
        _separate_names(part)
    if refusals is not None:
        refusals[rule.__name__] = refused
    return modified


def _separate_names(graph: Graph) -> None:
    """Give constants whose name another tensor has one of their own, in place, unless they are equal."""
    known: dict[str, Tensor] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            first = known.setdefault(tensor.name, tensor)
            if first is not tensor and isinstance(tensor, Constant) and not _same_values(first, tensor):
                tensor.name = f"{node.name}:{tensor.name}"


def _same_values(one: Tensor, other: Tensor) -> bool:
    values, others = values_of(one), values_of(other)
    if values is None or others is None:
        return False
    return values.dtype == others.dtype and np.array_equal(values, others)


class Replacement:
    """New nodes in the place of an old one, named after it, and the constants they need."""

    def __init__(self, graph: Graph, old: Node, name: str | None = None) -> None:
        """Begin at the place of `old`; `name` counts instead of its own."""
        self._graph = graph
        self._place = next(i for i, node in enumerate(graph.nodes) if node is old)
        self._name = old.name if name is None else name
        self._names: list[str] = []

    def node(
        self, op: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor | str], **attributes: Any
    ) -> Tensor:
        """Add a node (the first new one keeps the old name) and return its first output.

        An output is the name of a new tensor, or a tensor that its maker has to hand over.
        """
        taken = self._name in self._names
        name = f"{self._name}_{op}{len(self._names)}" if taken else self._name
        return self._add(name, op, inputs, outputs, attributes)

    def copy(
        self,
        node: Node,
        inputs: Sequence[Tensor],
        output: Tensor | str,
        *,
        part: int | None = None,
        **attributes: Any,
    ) -> Tensor:
        """Add a node like another, under its name, with these attributes changed; return its output.

        With `part` it is one of several like it.
        """
        name = node.name if part is None else f"{node.name}{SLICE}{part}"
        return self._add(name, node.op, inputs, [output], {**node.attrs, **attributes})

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> Constant:
        """Return a new constant."""
        return Constant(f"{self._name}/{name}", np.ascontiguousarray(values).reshape(np.shape(values)))

    def _add(
        self,
        name: str,
        op: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor | str],
        attributes: dict[str, Any],
    ) -> Tensor:
        made = [Variable(output) if isinstance(output, str) else output for output in outputs]
        for tensor in made:
            tensor.inputs.clear()
        node = Node(op, name, dict(sorted(attributes.items())), list(inputs), made)
        self._graph.nodes.insert(self._place, node)
        self._place += 1
        self._names.append(name)
        return made[0]
