"""Cuts prelude, body and postlude out of `model.onnx` without the onnx package.

A node or initializer belongs to the stage that its name begins with (`prelude/`, `postlude/`), else to the
body. The boundary tensors are described by the graph's inputs, outputs and `value_info`. Field numbers are
those of `onnx.proto`. Payloads are neither parsed nor copied, but once when a stage is joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..errors import PackageError
from .protobuf import encode_bytes_field, fields

__all__ = ["STAGE_NAMES", "Graph", "StageName"]

StageName = Literal["prelude", "body", "postlude"]
STAGE_NAMES: tuple[StageName, ...] = ("prelude", "body", "postlude")

_MODEL_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO, _SPARSE = 1, 5, 11, 12, 13, 15
_NODE_NAME, _TENSOR_NAME, _VALUE_NAME = 3, 8, 1
_SPARSE_VALUES = 1


class Graph:
    """An ONNX model taken apart into fields, ready to be cut.

    Raises:
        PackageError: the bytes are truncated, or are no ONNX model.
    """

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._around: list[memoryview | bytes] = []
        self._other: list[memoryview | bytes] = []
        self._members: dict[StageName, list[memoryview | bytes]] = {name: [] for name in STAGE_NAMES}
        self._values: dict[str, memoryview] = {}
        graph: memoryview | None = None
        for part in fields(memoryview(model)):
            if part.number == _MODEL_GRAPH:
                graph = part.payload
            else:
                self._around.append(part.whole)
        if graph is None:
            raise PackageError("the model has no graph; reinstall or compile the package again")
        self._take_apart(graph)

    def cut(self, stage: StageName, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """Return the stage as an ONNX model of its own, with the given boundary tensors.

        Raises:
            PackageError: the stage has no nodes, or the graph does not describe a boundary tensor.
        """
        if not self._members[stage]:
            raise PackageError(f"the model has no {stage}; compile the package again")
        graph = [*self._members[stage], *self._other]
        for number, names in ((_INPUT, inputs), (_OUTPUT, outputs)):
            for name in names:
                graph += encode_bytes_field(number, [self._described(name)])
        return b"".join([*self._around, *encode_bytes_field(_MODEL_GRAPH, graph)])

    def exposing(self, names: Sequence[str]) -> bytes:
        """Return the whole model with boundary tensors as further outputs, in the order of `names`.

        Protobuf merges a message that is appended to another of its type: repeated fields are concatenated.

        Raises:
            PackageError: the graph does not describe one of the tensors.
        """
        outputs: list[memoryview | bytes] = []
        for name in names:
            outputs += encode_bytes_field(_OUTPUT, [self._described(name)])
        return b"".join([self._model, *encode_bytes_field(_MODEL_GRAPH, outputs)])

    def _described(self, name: str) -> memoryview:
        if name not in self._values:
            raise PackageError(f'the model does not describe the tensor "{name}"; compile the package again')
        return self._values[name]

    def _take_apart(self, graph: memoryview) -> None:
        for part in fields(graph):
            if part.number == _NODE:
                self._members[_stage_of(_text(part.payload, _NODE_NAME))].append(part.whole)
            elif part.number == _INITIALIZER:
                self._members[_stage_of(_text(part.payload, _TENSOR_NAME))].append(part.whole)
            elif part.number == _SPARSE:
                values = next(
                    (f.payload for f in fields(part.payload) if f.number == _SPARSE_VALUES), memoryview(b"")
                )
                self._members[_stage_of(_text(values, _TENSOR_NAME))].append(part.whole)
            elif part.number in (_INPUT, _OUTPUT, _VALUE_INFO):
                self._values.setdefault(_text(part.payload, _VALUE_NAME), part.payload)
            else:
                self._other.append(part.whole)


def _stage_of(name: str) -> StageName:
    if name.startswith("prelude/"):
        return "prelude"
    return "postlude" if name.startswith("postlude/") else "body"


def _text(message: memoryview, number: int) -> str:
    for part in fields(message):
        if part.number == number:
            return bytes(part.payload).decode("utf-8", "replace")
    return ""
