"""A small writer of ONNX graphs: one method call a node, names made on the way, constants shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

    Branch: TypeAlias = "Callable[[Builder], Value]"

__all__ = ["IR_VERSION", "OPSET", "Builder", "Declaration", "Value"]

OPSET = 20
IR_VERSION = 10

Value: TypeAlias = str
"""The name of a tensor in the graph under construction."""

Declaration: TypeAlias = "tuple[str, Any, tuple[int | str, ...]]"
"""An input or output: its name, its numpy dtype, and its shape, in which a free size has a name."""


class Builder:
    """Collects nodes and initializers whose names all begin with `prefix` (`prelude/`)."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._counts: dict[str, int] = {}

    def name(self, hint: str) -> str:
        """Return a fresh name made from `hint`."""
        count = self._counts[hint] = self._counts.get(hint, -1) + 1
        return f"{self.prefix}{hint}_{count}" if count else f"{self.prefix}{hint}"

    def constant(self, value: Any, dtype: Any) -> Value:
        """Return an initializer; equal constants share one."""
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        array = array.reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.name("const")
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def i64(self, value: Any) -> Value:
        """Return an int64 constant."""
        return self.constant(value, np.int64)

    def i32(self, value: Any) -> Value:
        """Return an int32 constant."""
        return self.constant(value, np.int32)

    def f32(self, value: Any) -> Value:
        """Return a float32 constant."""
        return self.constant(value, np.float32)

    def f64(self, value: Any) -> Value:
        """Return a float64 constant."""
        return self.constant(value, np.float64)

    def op(self, kind: str, *inputs: Value, out: Value | None = None, **attributes: Any) -> Value:
        """Append one node with a single output and return the output's name."""
        name = self.name(kind)
        output = out if out is not None else f"{name}:0"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def ops(self, kind: str, *inputs: Value, outputs: int, **attributes: Any) -> list[Value]:
        """Append one node with several outputs and return their names."""
        name = self.name(kind)
        names = [f"{name}:{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names

    def choose(self, condition: Value, then: Branch, otherwise: Branch) -> Value:
        """Append `If` on a bool scalar; the branches see the outer tensors and share the outer constants."""
        name = self.name("If")
        graphs = []
        for tag, branch in (("then", then), ("else", otherwise)):
            inner = Builder(f"{name}/{tag}/")
            inner.initializers, inner._constants = self.initializers, self._constants
            result = branch(inner)
            output = onnx.ValueInfoProto(name=result)
            graphs.append(helper.make_graph(inner.nodes, f"{name}/{tag}", [], [output]))
        self.nodes.append(
            helper.make_node(
                "If", [condition], [f"{name}:0"], name=name, then_branch=graphs[0], else_branch=graphs[1]
            )
        )
        return f"{name}:0"

    def cast(self, value: Value, to: Any) -> Value:
        """Append `Cast` to a numpy dtype."""
        return self.op("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(to)))

    def model(self, inputs: list[Declaration], outputs: list[Declaration]) -> onnx.ModelProto:
        """Return the finished model, checked."""
        given, made = ([_value_info(*value) for value in values] for values in (inputs, outputs))
        graph = helper.make_graph(self.nodes, "zooc", given, made, self.initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="zooc"
        )
        onnx.checker.check_model(model)
        return model


def _value_info(name: str, dtype: Any, shape: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
