"""A graph's nodes, to be looked at and changed without the onnx package.

What does not change is written as it was, byte for byte. Field numbers are those of `onnx.proto`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import nan

import numpy as np

from .protobuf import ProtoField, encode_bytes_field, fields

__all__ = ["Node", "Nodes"]

_NODE, _INITIALIZER, _OUTPUT = 1, 5, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_DOMAIN = 1, 2, 4, 7
_DATA_TYPE, _TENSOR_NAME, _RAW_DATA, _VALUE_NAME = 2, 8, 9, 1
_TYPES = {b"\x01": np.float32, b"\x02": np.uint8, b"\x03": np.int8}


@dataclass(eq=False, slots=True)
class Node:
    """A node; `operator` is empty for those of other domains than ONNX's."""

    whole: memoryview
    operator: str
    inputs: list[str]
    outputs: list[str]
    others: list[memoryview | bytes]
    changed: bool = False
    dropped: bool = False

    @classmethod
    def read(cls, part: ProtoField) -> Node:
        """Take a node's field apart."""
        found = list(fields(part.payload))
        inputs, outputs, operators, domains = (
            [_text(f.payload) for f in found if f.number == number]
            for number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_DOMAIN)
        )
        operator = "" if any(domains) else "".join(operators)
        others: list[memoryview | bytes] = [
            f.whole for f in found if f.number not in (_NODE_INPUT, _NODE_OPERATOR)
        ]
        return cls(part.whole, operator, inputs, outputs, others)

    @property
    def source(self) -> str:
        """The first input."""
        return self.inputs[0] if self.inputs else ""

    @property
    def result(self) -> str:
        """The first output."""
        return self.outputs[0] if self.outputs else ""

    def encode(self) -> list[memoryview | bytes]:
        """The node's field, as it was if nothing changed; nothing of a node that was dropped."""
        if self.dropped:
            return []
        if not self.changed:
            return [self.whole]
        inputs = [part for name in self.inputs for part in encode_bytes_field(_NODE_INPUT, [_bytes(name)])]
        operator = encode_bytes_field(_NODE_OPERATOR, [_bytes(self.operator)])
        return encode_bytes_field(_NODE, [*inputs, *operator, *self.others])


class Nodes:
    """A graph's nodes, who makes and who reads each tensor, and the stored tensors.

    Args:
        graph: a GraphProto.

    Attributes:
        nodes: all of them, in their order.

    Raises:
        PackageError: the bytes end within a field, or are no protobuf message.
    """

    def __init__(self, graph: memoryview) -> None:
        self._parts = list(fields(graph))
        self._read = {i: Node.read(part) for i, part in enumerate(self._parts) if part.number == _NODE}
        self.nodes = list(self._read.values())
        self._makers = {name: node for node in self.nodes for name in node.outputs}
        self._readers: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in node.inputs:
                self._readers[name].append(node)
        self._outputs = {_named(part, _VALUE_NAME) for part in self._parts if part.number == _OUTPUT}
        self._stored = {
            _named(part, _TENSOR_NAME): part for part in self._parts if part.number == _INITIALIZER
        }

    def encode(self) -> list[memoryview | bytes]:
        """The graph's fields."""
        return [
            piece
            for i, part in enumerate(self._parts)
            for piece in (self._read[i].encode() if i in self._read else [part.whole])
        ]

    def maker(self, tensor: str, *operators: str) -> Node | None:
        """The node that makes the tensor, if it is one of these operators."""
        node = self._makers.get(tensor)
        return node if node is not None and node.operator in operators else None

    def readers(self, tensor: str) -> list[Node]:
        """The nodes that read the tensor, once for each time; none where something unseen may read it."""
        return [] if tensor in self._outputs or not tensor else self._readers[tensor]

    def rounded(self, tensor: str) -> str:
        """The tensor as a pair of its own rounds it, if it is read as that alone; else nothing."""
        quantize = self._only_reader(tensor, "QuantizeLinear")
        restore = quantize and self._only_reader(quantize.result, "DequantizeLinear")
        return restore.result if quantize and restore and quantize.inputs[1:] == restore.inputs[1:] else ""

    def unrounded(self, tensor: str) -> str:
        """What was rounded to the tensor, if that is read as the tensor alone; else the tensor itself."""
        restore = self.maker(tensor, "DequantizeLinear")
        quantize = restore and self.maker(restore.source, "QuantizeLinear")
        return quantize.source if quantize and self.rounded(quantize.source) == tensor else tensor

    def leave_unrounded(self, tensor: str) -> None:
        """Let the readers of `rounded(tensor)` read the tensor itself."""
        rounded = self.rounded(tensor)
        for reader in list(self.readers(rounded)):
            self.replace(reader, [tensor if name == rounded else name for name in reader.inputs])

    def replace(self, node: Node, inputs: list[str], operator: str | None = None) -> None:
        """Let a node read other tensors, or be another operator; what is read no more is dropped."""
        for name in inputs:
            self._readers[name].append(node)
        before, node.inputs, node.changed = node.inputs, inputs, True
        node.operator = operator or node.operator
        self._forget(node, before)

    def is_stored(self, tensor: str) -> bool:
        """Whether the tensor is stored, or dequantized from one that is."""
        node = self.maker(tensor, "DequantizeLinear")
        return (node.source if node else tensor) in self._stored

    def scalar(self, tensor: str) -> float:
        """The value of a stored tensor of one element, which may be dequantized; else not a number."""
        if node := self.maker(tensor, "DequantizeLinear"):
            level, scale, zero = (self._element(name) for name in [*node.inputs, "", "", ""][:3])
            return (level - zero) * scale
        return self._element(tensor)

    def _element(self, tensor: str) -> float:
        if tensor not in self._stored:
            return nan
        parts = {f.number: bytes(f.payload) for f in fields(self._stored[tensor].payload)}
        kind, raw = _TYPES.get(parts.get(_DATA_TYPE, b"")), parts.get(_RAW_DATA, b"")
        if kind is None or len(raw) != np.dtype(kind).itemsize:
            return nan
        return float(np.frombuffer(raw, kind)[0])

    def _only_reader(self, tensor: str, operator: str) -> Node | None:
        readers = self.readers(tensor)
        fits = len(readers) == 1 and readers[0].operator == operator and readers[0].source == tensor
        return readers[0] if fits else None

    def _forget(self, node: Node, tensors: list[str]) -> None:
        for name in tensors:
            self._readers[name].remove(node)
        for name in tensors:
            maker = self._makers.get(name)
            if maker and not maker.dropped and not any(self._is_read(one) for one in maker.outputs):
                maker.dropped = True
                self._forget(maker, maker.inputs)

    def _is_read(self, tensor: str) -> bool:
        return tensor in self._outputs or bool(self._readers[tensor])


def _named(part: ProtoField, number: int) -> str:
    return next((_text(f.payload) for f in fields(part.payload) if f.number == number), "")


def _text(payload: memoryview) -> str:
    return bytes(payload).decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
