"""Names an exported graph after the modules it came from: `layer1.0.conv1/Conv` in place of `node_Conv_1433`.

torch's exporter records a node's module path in its metadata (`pkg.torch.onnx.name_scopes`, a list of the
paths from the outermost module inward, ended by the operation's own name), and names initializers as the
state dict does.
"""

from __future__ import annotations

import ast
from collections import Counter

import onnx

from zooc.ir.rename import rename_tensors

__all__ = ["name_by_modules", "name_by_scopes"]

_SCOPES = "pkg.torch.onnx.name_scopes"
_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def name_by_modules(graph: onnx.GraphProto) -> None:
    """Rename nodes to `MODULE/OPERATOR`, numbered from the second on, and tensors after them, in place.

    A node's outputs become `NODE:0`, `NODE:1`; constants that are no weights become `NODE:const1` after the
    first node and the position that reads them. Inputs, outputs and weights keep their names.
    """
    modules = {tensor.name for tensor in graph.initializer if "." in tensor.name}
    kept = {value.name for value in (*graph.input, *graph.output)}
    count: Counter[str] = Counter()
    names: dict[str, str] = {}
    for node in graph.node:
        module = _module(node, modules)
        plain = f"{module}/{node.op_type}" if module else node.op_type
        node.name = f"{plain}_{count[plain]}" if count[plain] else plain
        count[plain] += 1
        for index, output in enumerate(node.output):
            if output and output not in kept:
                names[output] = f"{node.name}:{index}"
    constants = {tensor.name for tensor in graph.initializer} - modules
    for node in graph.node:
        for index, source in enumerate(node.input):
            if source in constants and source not in names:
                names[source] = f"{node.name}:const{index}"
    rename_tensors(graph, names)


def name_by_scopes(graph: onnx.GraphProto) -> None:
    """Rename the older exporter's nodes, in place: `/layer1/0/conv1/Conv` to `layer1.0.conv1/Conv`."""
    for node in graph.node:
        scopes, slash, operator = node.name.lstrip("/").rpartition("/")
        if not slash:
            node.name = operator
            continue
        path = ""
        for scope in scopes.split("/"):
            # A tracer repeats the path of an indexed module: layer1, layer1.0, conv1.
            path = scope if not path or scope.startswith(f"{path}.") else f"{path}.{scope}"
        node.name = f"{path}/{operator}"


def _module(node: onnx.NodeProto, weights: set[str]) -> str:
    """The path of the module that `node` belongs to, empty for the outermost.

    A layer goes by its weight: where BatchNorm was fused into it, the metadata names the BatchNorm.
    """
    if node.op_type in _LAYERS and len(node.input) > 1:
        weight: str = node.input[1]
        if weight in weights and weight.endswith(".weight"):
            return weight.removesuffix(".weight")
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            try:
                scopes = ast.literal_eval(entry.value)
            except (SyntaxError, ValueError):
                return ""
            path = str(scopes[-2]) if len(scopes) > 1 else ""
            # A leading underscore is the exporter's own scope, for what belongs to no module.
            return "" if path.startswith("_") else path
    return ""
