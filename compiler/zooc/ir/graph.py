"""A network's graph: nodes and tensors that know each other, read from an ONNX model and written to one.

The classes are onnx-graphsurgeon's. A `Node` has `op`, `name`, `attrs`, `inputs` and `outputs`; a `Tensor`
has `inputs` (the node that makes it) and `outputs` (those that read it), and is a `Constant` with values or
a `Variable`. Tensors compare by name, so ask `is` for sameness.
"""

from __future__ import annotations

import contextlib
from collections import ChainMap
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx_graphsurgeon import Constant, Graph, Node, Tensor, Variable, import_onnx
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter, dtype_to_onnx
from onnx_graphsurgeon.importers.onnx_importer import OnnxImporter
from onnx_graphsurgeon.ir.tensor import LazyValues
from onnx_graphsurgeon.logger import G_LOGGER

from zooc.ir.rename import name_nodes, subgraphs
from zooc.ir.weights import inferred_graph, is_large, large_weights, placeholder, without_large_weights

__all__ = [
    "BFLOAT16",
    "DEFAULT_DOMAIN",
    "DOUBLE",
    "FLOAT",
    "FLOAT16",
    "UINT8",
    "Constant",
    "Graph",
    "Node",
    "Tensor",
    "Variable",
    "bypass",
    "element_type",
    "infer_shapes",
    "is_clamp_from_zero",
    "is_output",
    "maker",
    "only_maker",
    "only_reader",
    "quiet_graphsurgeon",
    "read_graph",
    "readers",
    "reduced_axes",
    "remove_dead_nodes",
    "shape_of",
    "values_of",
    "variables",
    "write_graph",
]

DEFAULT_DOMAIN = ("", "ai.onnx", None)
BFLOAT16, DOUBLE, FLOAT, FLOAT16, UINT8 = (
    int(onnx.TensorProto.DataType.Value(name)) for name in ("BFLOAT16", "DOUBLE", "FLOAT", "FLOAT16", "UINT8")
)
"""Of ONNX's numbers of element types, see `element_type`."""


def read_graph(model: onnx.ModelProto) -> Graph:
    """Return a model's graph, with the shapes and types that inference finds in place of its `value_info`.

    Constant nodes have become constants, and every node has a name of its own. Large weights stay where they
    are: the graph reads the model's own when it is asked for their values, so that must not change.
    """
    light = without_large_weights(model)
    name_nodes(light.graph)
    for part in subgraphs(light.graph):
        for constant in part.node:
            if constant.op_type == "Constant" and constant.domain in DEFAULT_DOMAIN:
                _use_tensor_form(constant)
    del light.graph.value_info[:]
    inferred = inferred_graph(light)
    del light.graph.output[:]
    light.graph.value_info.extend(inferred.value_info)
    light.graph.output.extend(inferred.output)
    with quiet_graphsurgeon():
        graph = import_onnx(light)
        nested = [part.tensors() for part in graph.subgraphs(recursive=True)]
        tensors = dict(ChainMap(graph.tensors(), *nested))
    for weight in large_weights(model):
        if weight.name in tensors:
            tensors[weight.name].values, tensors[weight.name].data_location = LazyValues(weight), None
    for node in graph.nodes:
        if node.op == "Constant" and node.domain in DEFAULT_DOMAIN:
            _store(node)
    graph.nodes = [node for node in graph.nodes if node.outputs]
    return graph


def write_graph(graph: Graph) -> onnx.ModelProto:
    """Return the graph as a model of its opset, IR version and producer, with no `value_info`.

    Initializers stand in the order in which nodes first read them.
    """
    model = _without_initializers(graph)
    with quiet_graphsurgeon():
        for tensor in _constants(graph):
            model.graph.initializer.append(OnnxExporter.export_tensor_proto(tensor))
    return model


def infer_shapes(graph: Graph) -> None:
    """Give the variables of a changed graph the shapes and types that follow from its inputs, in place."""
    model = _without_initializers(graph)
    with quiet_graphsurgeon():
        for tensor in _constants(graph):
            model.graph.initializer.append(
                placeholder(tensor.name, tensor.shape, dtype_to_onnx(tensor.dtype))
                if is_large(tensor.shape)
                else OnnxExporter.export_tensor_proto(tensor)
            )
        inferred = inferred_graph(model)
        tensors = graph.tensors()
        for info in (*inferred.value_info, *inferred.output):
            known = OnnxImporter.import_tensor(info)
            if isinstance(tensor := tensors.get(info.name), Variable):
                tensor.dtype, tensor.shape = known.dtype, known.shape


def values_of(tensor: Tensor) -> npt.NDArray[Any] | None:
    """Return a stored tensor's values, `None` if it is computed.

    They are read anew each time, where `tensor.values` would hold them beside the model's own to the end.
    """
    if not isinstance(tensor, Constant):
        return None
    stored = tensor._values
    return onnx.numpy_helper.to_array(stored.tensor) if isinstance(stored, LazyValues) else stored


def shape_of(tensor: Tensor) -> tuple[int | None, ...] | None:
    """Return a tensor's shape, with `None` for free sizes; `None` if nothing is known."""
    if tensor.shape is None:
        return None
    return tuple(size if isinstance(size, int) else None for size in tensor.shape)


def element_type(tensor: Tensor) -> int:
    """Return ONNX's number of a tensor's element type, 0 if it is not known."""
    return 0 if tensor.dtype is None else int(dtype_to_onnx(tensor.dtype))


def is_output(graph: Graph, tensor: Tensor) -> bool:
    """Tell whether a tensor is one of the graph's results."""
    return any(tensor is output for output in graph.outputs)


def maker(tensor: Tensor, op: str | None = None) -> Node | None:
    """Return the node that makes `tensor`; `None` if there is none, or its operator is not `op`."""
    node = tensor.inputs[0] if tensor.inputs else None
    return node if node is not None and op in (None, node.op) else None


def readers(tensor: Tensor) -> list[Node]:
    """Return the nodes that read `tensor`, each once."""
    return list({id(node): node for node in tensor.outputs}.values())


def only_reader(graph: Graph, tensor: Tensor) -> Node | None:
    """Return the one node that reads `tensor`; `None` if several do, or the graph gives it as a result."""
    found = readers(tensor)
    return found[0] if len(found) == 1 and not is_output(graph, tensor) else None


def only_maker(graph: Graph, tensor: Tensor, op: str) -> Node | None:
    """Return the node of operator `op` that makes `tensor`, if a single node reads the tensor."""
    return maker(tensor, op) if only_reader(graph, tensor) is not None else None


def is_clamp_from_zero(node: Node) -> bool:
    """Tell whether a node is `Relu` or `Clip(0, c)`, which a uint8 zero point of 0 performs by itself.

    A Clip's `c` bounds the observed range, so the largest level does not exceed it.
    """
    if node.op != "Clip":
        return bool(node.op == "Relu")
    low = values_of(node.inputs[1]) if len(node.inputs) > 1 else None
    stored_top = len(node.inputs) < 3 or node.inputs[2].is_empty() or isinstance(node.inputs[2], Constant)
    return low is not None and stored_top and low.size == 1 and float(low.reshape(-1)[0]) == 0.0


def reduced_axes(node: Node) -> list[int] | None:
    """Return the axes of a reduction, non-negative and sorted; `None` if they are computed or unknown."""
    axes = values_of(node.inputs[1]) if len(node.inputs) > 1 else None
    shape = node.inputs[0].shape
    if axes is None or shape is None:
        return None
    return sorted(int(a) % len(shape) for a in axes.reshape(-1))


def variables(graph: Graph) -> Iterator[Tensor]:
    """Yield the computed tensors in order: the graph's inputs, then every node's outputs."""
    yield from graph.inputs
    for node in graph.nodes:
        yield from node.outputs


def bypass(tensor: Tensor, source: Tensor) -> None:
    """Let all readers of `tensor` read `source` instead."""
    for reader in readers(tensor):
        reader.inputs = [source if i is tensor else i for i in reader.inputs]


def remove_dead_nodes(graph: Graph) -> None:
    """Remove the nodes whose results nothing reads, in place."""
    live = []
    for node in reversed(graph.nodes):
        if any(tensor.outputs or is_output(graph, tensor) for tensor in node.outputs):
            live.append(node)
        else:
            node.inputs.clear()
            node.outputs.clear()
    graph.nodes = live[::-1]


@contextlib.contextmanager
def quiet_graphsurgeon() -> Iterator[None]:
    """Keep onnx-graphsurgeon from printing warnings, within."""
    severity, G_LOGGER.severity = G_LOGGER.severity, G_LOGGER.CRITICAL
    try:
        yield
    finally:
        G_LOGGER.severity = severity


def _constants(graph: Graph) -> list[Constant]:
    return [tensor for tensor in graph.tensors().values() if isinstance(tensor, Constant)]


def _without_initializers(graph: Graph) -> onnx.ModelProto:
    model = onnx.ModelProto(
        ir_version=graph.ir_version,
        producer_name=graph.producer_name,
        producer_version=graph.producer_version,
        opset_import=graph.import_domains,
    )
    with quiet_graphsurgeon():
        model.functions.extend(OnnxExporter.export_function(function) for function in graph.functions)
        model.graph.name = graph.name
        model.graph.node.extend(OnnxExporter.export_node(node) for node in graph.nodes)
        for values, tensors in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
            values.extend(
                OnnxExporter.export_value_info_proto(tensor, do_type_check=False) for tensor in tensors
            )
    return model


def _use_tensor_form(node: onnx.NodeProto) -> None:
    """Write a Constant node's value as a tensor: graphsurgeon takes a plain `value_float` for a double."""
    (attribute,) = node.attribute
    dtype = {"value_float": np.float32, "value_floats": np.float32}.get(attribute.name, np.int64)
    if attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
        values = np.array(onnx.helper.get_attribute_value(attribute), dtype=dtype)
        node.attribute[0].CopyFrom(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(values)))


def _store(node: Node) -> None:
    """Turn a Constant node's output into a constant, where numpy has its type."""
    value = node.attrs.get("value")
    if isinstance(value, Constant):
        (result,) = node.outputs
        node.outputs.clear()
        result.to_constant(value.values)
