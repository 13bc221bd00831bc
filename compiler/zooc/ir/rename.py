"""The names of a network's tensors and nodes, and what else a file should not carry on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from zooc.ir.names import RESERVED_TENSORS, STAGE_PREFIXES

__all__ = [
    "name_nodes",
    "names_read",
    "normalize",
    "rename_tensors",
    "strip_metadata",
    "subgraphs",
]


def subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield `graph` itself, then every graph nested in its nodes' attributes, depth first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    yield from subgraphs(inner)


def names_read(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the tensors that nodes read, those of nested graphs too."""
    return {name for one in subgraphs(graph) for node in one.node for name in node.input}


def normalize(model: onnx.ModelProto, source: str, result: str) -> None:
    """Bring a network of one input and one output to the compiler's form, in place.

    The ends are called `source` and `result`, nodes have names of their own, no name is one that the compiled
    graph's stages use, and no metadata is left.
    """
    strip_metadata(model)
    # The ends are found by position, for they may have been moved out of a reserved name.
    _free_reserved_names(model.graph)
    rename_tensors(model.graph, {model.graph.input[0].name: source, model.graph.output[0].name: result})
    name_nodes(model.graph)


def rename_tensors(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give tensors new names, in place, wherever they are defined or used; `names` maps old to new."""
    for one in subgraphs(graph):
        for node in one.node:
            for values in (node.input, node.output):
                for i, name in enumerate(values):
                    if name in names:
                        values[i] = names[name]
        for tensor in (*one.initializer, *one.input, *one.output, *one.value_info):
            tensor.name = names.get(tensor.name, tensor.name)


def strip_metadata(model: onnx.ModelProto) -> None:
    """Remove documentation strings, metadata, producer and stale shapes, in place.

    torch's exporter writes stack traces with local file names there.
    """
    del model.metadata_props[:]
    model.ClearField("doc_string")
    model.ClearField("domain")
    model.ClearField("model_version")
    model.ClearField("producer_name")
    model.ClearField("producer_version")
    model.graph.name = "network"
    for graph in subgraphs(model.graph):
        graph.ClearField("doc_string")
        del graph.metadata_props[:]
        del graph.value_info[:]
        for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
            item.ClearField("doc_string")
            del item.metadata_props[:]


def _free_reserved_names(graph: onnx.GraphProto) -> None:
    """Move tensors and nodes out of the names that the compiled graph's stages use, under `body/`."""
    taken: set[str] = set()
    for one in subgraphs(graph):
        taken.update(name for node in one.node for name in (*node.input, *node.output))
        taken.update(tensor.name for tensor in (*one.initializer, *one.input, *one.output))
    names = {}
    for name in sorted(n for n in taken if n in RESERVED_TENSORS or n.startswith(STAGE_PREFIXES)):
        names[name] = _unused(f"body/{name}", taken)
    rename_tensors(graph, names)
    for one in subgraphs(graph):
        for node in one.node:
            if node.name.startswith(STAGE_PREFIXES):
                node.name = f"body/{node.name}"


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give nodes without a name their operator's, and make names unique by numbers at the end."""
    taken = {node.name for one in subgraphs(graph) for node in one.node}
    seen: set[str] = set()
    for one in subgraphs(graph):
        for node in one.node:
            if not node.name or node.name in seen:
                node.name = _unused(node.name or node.op_type, taken)
                taken.add(node.name)
            seen.add(node.name)


def _unused(wanted: str, taken: set[str]) -> str:
    if wanted not in taken:
        return wanted
    number = 1
    while f"{wanted}_{number}" in taken:
        number += 1
    return f"{wanted}_{number}"
