"""A read-only index over a body: who produces a tensor, who consumes it, which tensors are constants."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper

from zooc.ir.shapes import inferred_graph

__all__ = ["BodyGraph", "attribute", "is_clamp_from_zero"]


class BodyGraph:
    """The nodes of a model's graph in order, addressed by their index.

    `model` must not change while the index is in use.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Indexes `model`; node order must be topological, as ONNX demands."""
        self.model = model
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self._constants: dict[str, onnx.TensorProto] = {t.name: t for t in model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and isinstance(value := attribute(node, "value"), onnx.TensorProto):
                self._constants[node.output[0]] = value
        self.producer: dict[str, int] = {}
        self.consumers: dict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            for name in dict.fromkeys(node.input):
                self.consumers[name].append(index)
            for name in node.output:
                self.producer[name] = index
        self.outputs = {v.name for v in model.graph.output}
        self.inputs = {v.name: v for v in model.graph.input if v.name not in self._constants}

    def is_constant(self, name: str) -> bool:
        """Whether the tensor is stored in the file."""
        return name in self._constants

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The stored tensor's values, `None` if it is computed."""
        stored = self._constants.get(name)
        return None if stored is None else numpy_helper.to_array(stored)

    def activations(self, index: int) -> list[str]:
        """The computed inputs of a node, each once."""
        names = dict.fromkeys(n for n in self.nodes[index].input if n)
        return [n for n in names if n not in self._constants]

    def name(self, index: int) -> str:
        """The node's name, or one made of its operator and place."""
        node = self.nodes[index]
        return node.name or f"{node.op_type}_{index}"

    def rank(self, tensor: str) -> int | None:
        """Number of axes, `None` if unknown."""
        shape = self.shape(tensor)
        return None if shape is None else len(shape)

    def shape(self, tensor: str) -> tuple[int | None, ...] | None:
        """The shape, with `None` for free sizes; `None` if nothing is known."""
        info = self._infos.get(tensor)
        if info is None or not info.type.tensor_type.HasField("shape"):
            stored = self._constants.get(tensor)
            return None if stored is None else tuple(stored.dims)
        return tuple(
            d.dim_value if d.HasField("dim_value") else None for d in info.type.tensor_type.shape.dim
        )

    def element_type(self, tensor: str) -> int:
        """ONNX's number of the element type, 0 if unknown."""
        info = self._infos.get(tensor)
        return 0 if info is None else int(info.type.tensor_type.elem_type)

    @cached_property
    def _infos(self) -> dict[str, onnx.ValueInfoProto]:
        graph = inferred_graph(self.model)
        return {v.name: v for v in [*graph.value_info, *graph.input, *graph.output]}


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """An attribute's value, or the default."""
    for item in node.attribute:
        if item.name == name:
            return onnx.helper.get_attribute_value(item)
    return default


def is_clamp_from_zero(graph: BodyGraph, index: int) -> bool:
    """Whether a node is `Relu` or `Clip(0, c)`, which a uint8 zero point of 0 performs by itself.

    A Clip's `c` bounds the observed range, so the largest level does not exceed it.
    """
    node = graph.nodes[index]
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip" or len(node.input) < 2 or not node.input[1]:
        return False
    low = graph.constant(node.input[1])
    constant_top = len(node.input) < 3 or not node.input[2] or graph.is_constant(node.input[2])
    return low is not None and constant_top and low.size == 1 and float(low.reshape(-1)[0]) == 0.0
