"""The float form of one integer operator: dequantize what it reads, compute, quantize what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, Variable, values_of

__all__ = ["FloatForm", "given"]

Scaled = tuple[Tensor | None, Tensor | None]
"""Scale and zero point."""


class FloatForm:
    """New nodes for the place of an integer operator, in order; the float operator gets its name."""

    def __init__(self, graph: Graph, old: Node) -> None:
        """Nothing is changed before `replace`."""
        self._graph, self._old = graph, old
        self._nodes: list[Node] = []

    def floats(self, first: int, *, axis: int = 0) -> Tensor:
        """Return what the operand stands for whose levels, scale and zero point are inputs `first` and on.

        Args:
            first: the position of the levels.
            axis: that of the channels, where each has a scale.
        """
        levels, scale, zero_point = (given(self._old, first + i) for i in range(3))
        assert levels is not None
        return self.dequantized(levels, (scale, zero_point), axis=axis)

    def dequantized(self, levels: Tensor, scaled: Scaled, *, axis: int = 0) -> Tensor:
        """Return what levels stand for."""
        number = len(self._nodes)
        stored = None if scaled[0] is None else values_of(scaled[0])
        options = {"axis": axis} if stored is not None and stored.size > 1 else {}
        result = Variable(f"{self._old.name}/dequantized_{number}", np.dtype(np.float32), levels.shape)
        self._add(
            "DequantizeLinear", f"{self._old.name}/DequantizeLinear_{number}", levels, scaled, result, options
        )
        return result

    def op(
        self, kind: str, inputs: Sequence[Tensor], result: Tensor | None = None, **attributes: Any
    ) -> Tensor:
        """Add the float operator, and return its result."""
        made = Variable(f"{self._old.outputs[0].name}/float") if result is None else result
        self._nodes.append(Node(kind, self._old.name, attributes, list(inputs), [made]))
        return made

    def constant(self, name: str, values: Any) -> Constant:
        """Return a new constant."""
        return Constant(f"{self._old.name}/{name}", np.asarray(values))

    def replace(self, values: Tensor, scaled: Scaled) -> bool:
        """Put the nodes in the operator's place, its result the levels of `values`; return True."""
        result = self._hand_over()
        self._add("QuantizeLinear", f"{self._old.name}/QuantizeLinear", values, scaled, result, {})
        return self._insert()

    def replace_by_floats(self, kind: str, inputs: Sequence[Tensor], **attributes: Any) -> bool:
        """Put the nodes in the operator's place, its result that of a last float operator; return True."""
        self.op(kind, inputs, self._hand_over(), **attributes)
        return self._insert()

    def _hand_over(self) -> Tensor:
        (result,) = self._old.outputs
        self._old.outputs.clear()
        return result

    def _insert(self) -> bool:
        place = next(i for i, node in enumerate(self._graph.nodes) if node is self._old)
        self._old.inputs.clear()
        self._graph.nodes[place:place] = self._nodes
        return True

    def _add(
        self, op: str, name: str, source: Tensor, scaled: Scaled, result: Tensor, options: dict[str, Any]
    ) -> None:
        constants = [tensor for tensor in scaled if tensor is not None]
        self._nodes.append(Node(op, name, options, [source, *constants], [result]))


def given(node: Node, position: int) -> Tensor | None:
    """Return an input, `None` where it is left out."""
    tensor = node.inputs[position] if position < len(node.inputs) else None
    return None if tensor is None or tensor.is_empty() else tensor
