"""Whether an ONNX file is what its libraries expect of one, told before any of them works on it.

Protobuf takes any bytes for a name and any number for a size, and ONNX's own tools trust what they are given:
they fail in the middle of something, end the process, or take hours. What is checked here takes a moment for
the largest file, since no weight is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import onnx
from onnx import TensorProto

from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.support.limits import Limits, exceeded, limits

__all__ = ["check_sound"]

_BITS = {
    4: ("INT4", "UINT4", "FLOAT4E2M1"),
    8: (
        "BOOL",
        "INT8",
        "UINT8",
        *(f"FLOAT8E{kind}" for kind in ("4M3FN", "4M3FNUZ", "5M2", "5M2FNUZ", "8M0")),
    ),
    16: ("BFLOAT16", "FLOAT16", "INT16", "UINT16"),
    32: ("FLOAT", "INT32", "UINT32"),
    64: ("COMPLEX64", "DOUBLE", "INT64", "UINT64"),
    128: ("COMPLEX128",),
}
_SIZES = {
    TensorProto.DataType.Value(name): bits
    for bits, names in _BITS.items()
    for name in names
    if name in TensorProto.DataType.keys()  # noqa: SIM118 - not a dictionary
}

Function = tuple[str, str]


def check_sound(model: onnx.ModelProto, file: str, span: Span | None) -> None:
    """Refuse a model whose libraries would not survive it, or that is larger than the limits.

    Raises:
        ZoocError: `Z0518`, names that are no text, stored tensors that are no numbers or contradict their
            shape, functions that call themselves; `Z0513`, more nodes, nesting or elements than the limits.
    """
    _Check(model, file, span).run()


class _Check:
    def __init__(self, model: onnx.ModelProto, file: str, span: Span | None) -> None:
        self.model, self.file, self.span = model, file, span
        self.limits: Limits = limits()

    def run(self) -> None:
        model = self.model
        for entry in model.opset_import:
            self.text("an opset's domain", entry.domain)
            if not 0 <= entry.version < 1 << 31:
                self.refuse(f"the opset of the domain {entry.domain!r} is {entry.version}")
        self.text("the producer", model.producer_name, model.producer_version)
        calls: dict[Function, list[Function]] = {}
        for function in model.functions:
            name = f"the function {function.name!r}"
            self.text(name, function.domain, function.name, *function.input, *function.output)
            for entry in function.opset_import:
                self.text(name, entry.domain)
            key = (function.domain, function.name)
            calls[key] = []
            for node in self.nodes(function.node, name, 0):
                calls[key].append((node.domain, node.op_type))
        self.ports("input", model.graph.input)
        self.ports("output", model.graph.output)
        top = list(self.graph(model.graph, "the graph", 0))
        self.count(top, calls)

    def graph(self, graph: onnx.GraphProto, where: str, depth: int) -> Iterator[onnx.NodeProto]:
        if depth > self.limits.nesting:
            self.too_much("nesting", depth, f"{self.file}, in {where},")
        for value in (*graph.input, *graph.output, *graph.value_info):
            self.text(f"a tensor of {where}", value.name)
            for dim in value.type.tensor_type.shape.dim:
                self.text(f"a size of the tensor {value.name!r}", dim.dim_param)
        for tensor in graph.initializer:
            self.tensor(tensor, f"the stored tensor {tensor.name!r}")
        for sparse in graph.sparse_initializer:
            self.refuse(f"the stored tensor {sparse.values.name!r} is sparse")
        yield from self.nodes(graph.node, where, depth)

    def nodes(self, nodes: Iterable[onnx.NodeProto], where: str, depth: int) -> Iterator[onnx.NodeProto]:
        for node in nodes:
            name = f"the node {node.name or node.op_type!r}" if node.name or node.op_type else "a node"
            self.text(f"a node of {where}", node.name, node.op_type, node.domain, *node.input, *node.output)
            if not node.op_type:
                self.refuse(f"{name} in {where} has no operator")
            constant = node.op_type == "Constant" and node.domain in ("", "ai.onnx")
            if constant and (len(node.attribute), len(node.output), len(node.input)) != (1, 1, 0):
                self.refuse(f"{name} in {where} is a Constant without one value and one output")
            yield node
            for attribute in node.attribute:
                self.text(f"an attribute of {name}", attribute.name, attribute.ref_attr_name)
                if attribute.HasField("t"):
                    self.tensor(attribute.t, f"{attribute.name!r} of {name}")
                for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                    yield from self.graph(inner, name, depth + 1)

    def tensor(self, tensor: TensorProto, name: str) -> None:
        self.text(name, tensor.name)
        if tensor.data_type == TensorProto.STRING:
            self.refuse(f"{name} holds text where numbers belong")
        bits = _SIZES.get(tensor.data_type)
        if bits is None:
            self.refuse(f"{name} is of the element type {tensor.data_type}, which holds no numbers")
        if any(size < 0 for size in tensor.dims):
            self.refuse(f"{name} has a negative size: {list(tensor.dims)}")
        elements = math.prod(tensor.dims)
        if elements > self.limits.elements:
            self.too_much("elements", elements, f"{name} of {self.file}")
        if tensor.data_location == TensorProto.EXTERNAL:
            for entry in tensor.external_data:
                self.text(f"where {name} is stored", entry.key, entry.value)
            return
        wanted, found = elements, _stored(tensor, bits)
        if found != wanted:
            self.refuse(f"{name} has {found:,} values for a shape of {wanted:,}")

    def ports(self, kind: str, values: Iterable[onnx.ValueInfoProto]) -> None:
        for value in values:
            tensor = value.type.tensor_type
            if tensor.elem_type not in TensorProto.DataType.values():
                self.refuse(f"the {kind} {value.name!r} is of an element type that does not exist")
            elements = math.prod(max(dim.dim_value, 1) for dim in tensor.shape.dim)
            if elements > self.limits.elements:
                self.too_much("elements", elements, f"the {kind} {value.name!r} of {self.file}")

    def text(self, what: str, *texts: Any) -> None:
        for text in texts:
            if not isinstance(text, str):
                self.refuse(f"{what} has a name that is not UTF-8: {text!r}")
            if len(text) > self.limits.text:
                self.too_much("text", len(text), f"{self.file}, as a name of {what},")

    def count(self, top: list[onnx.NodeProto], calls: dict[Function, list[Function]]) -> None:
        """Nodes once functions are written out, without writing them out; a chain of calls may double."""
        sizes: dict[Function, tuple[int, int]] = {}
        open_: list[Function] = []

        def measure(key: Function) -> tuple[int, int]:
            """Nodes, and functions in each other."""
            if key not in calls:
                return 1, 0
            if key in open_:
                self.refuse(f"the function {key[1]!r} calls itself")
            if key not in sizes:
                open_.append(key)
                if len(open_) > self.limits.calls:
                    self.too_much("calls", len(open_), self.file)
                inner = [measure(called) for called in calls[key]]
                open_.pop()
                depth = 1 + max((deep for _, deep in inner), default=0)
                if depth > self.limits.calls:
                    self.too_much("calls", depth, self.file)
                sizes[key] = sum(nodes for nodes, _ in inner), depth
            return sizes[key]

        for key in calls:
            measure(key)
        total = sum(measure((node.domain, node.op_type))[0] for node in top)
        if total > self.limits.nodes:
            self.too_much("nodes", total, self.file)

    def too_much(self, limit: str, found: int, what: str) -> NoReturn:
        raise ZoocError(exceeded(limit, found, what, self.span))

    def refuse(self, what: str) -> NoReturn:
        hint = "export the model again: this one is damaged, or was made to do harm"
        message = f"{self.file} is not a sound ONNX model: {what}"
        raise ZoocError(error("Z0518", message, self.span, hint=hint))


def _stored(tensor: TensorProto, bits: int) -> int:
    """How many values are there; of four bits each, as many as the shape says where the bytes are right."""
    elements = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        given = len(tensor.raw_data) * 8
        return elements if given == (elements * bits + 7) // 8 * 8 else given // bits
    kind = TensorProto.DataType.Name(tensor.data_type)
    if kind in ("FLOAT", "COMPLEX64"):
        given = len(tensor.float_data)
    elif kind in ("DOUBLE", "COMPLEX128"):
        given = len(tensor.double_data)
    elif kind == "INT64":
        given = len(tensor.int64_data)
    elif kind in ("UINT32", "UINT64"):
        given = len(tensor.uint64_data)
    else:
        given = len(tensor.int32_data)
        if bits == 4:
            return elements if given == (elements + 1) // 2 else 2 * given
    return given // 2 if kind.startswith("COMPLEX") else given
