"""The end of a file's network: `[batch, classes]`, a head or several, and the activation behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx

from zooc.deployment import Model
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.graph import (
    Graph,
    Node,
    Tensor,
    Variable,
    is_output,
    maker,
    only_reader,
    read_graph,
    shape_of,
    write_graph,
)
from zooc.networks.network import OUTPUT, HeadFacts
from zooc.networks.onnx_file.interface import Interface
from zooc.networks.onnx_file.run_once import Array

__all__ = ["count_heads", "flatten_scores", "take_off_activations"]

_ACTIVATIONS: dict[str, Literal["softmax", "sigmoid"]] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
_KEEP_ORDER = ("Identity", "Flatten", "Reshape", "Squeeze")
"""Operators that leave the scores in their order."""

_ROUND = ("QuantizeLinear", "DequantizeLinear")


def count_heads(scores: Sequence[Array], interface: Interface, model: Model, file: str) -> tuple[int, ...]:
    """Return how many classes each head has.

    Args:
        scores: what the file gives for an example, by head.
        interface: the names of those outputs.
        model: the description.
        file: the file's name, for messages.

    Raises:
        ZoocError: `Z0214` for an output that is not `[batch, classes]`, `Z0221` for another number of classes
            than the description's.
    """
    for port, given in zip(interface.scores, scores, strict=True):
        if given.ndim < 2 or given.size != given.shape[0] * given.shape[1]:
            which = f"the output {port.name}" if len(scores) > 1 else "the output"
            raise ZoocError(
                error(
                    "Z0214",
                    f"{which} of {file} has shape {list(given.shape)}, not [batch, classes]",
                    model.source.span,
                    hint="export the model up to its class scores",
                )
            )
    classes = tuple(int(given.shape[1]) for given in scores)
    if model.classes is not None and model.classes != sum(classes):
        raise ZoocError(
            error(
                "Z0221",
                f"`classes` is {model.classes}, but {file} has {sum(classes)}",
                model.classes_span or model.source.span,
                hint=f"write classes {sum(classes)}",
            )
        )
    return classes


def flatten_scores(model: onnx.ModelProto, scores: Sequence[Array], classes: int) -> onnx.ModelProto:
    """Add the Flatten that networks leave out which end in a pooling, with `[batch, classes, 1, 1]`."""
    graph = read_graph(model)
    (result,) = graph.outputs
    if len(scores) == 1 and scores[0].ndim > 2:
        pooled, result = result, Variable(OUTPUT)
        pooled.name = "body/scores"
        graph.nodes.append(Node("Flatten", "body/Flatten", {}, [pooled], [result]))
        graph.outputs = [result]
    result.dtype = np.dtype(np.float32)
    result.shape = ["batch", classes]
    return write_graph(graph)


def take_off_activations(
    model: onnx.ModelProto, classes: Sequence[int]
) -> tuple[onnx.ModelProto, tuple[HeadFacts, ...]]:
    """Return the network up to its logits, and what each head's softmax or sigmoid was.

    Args:
        model: the network with its single output.
        classes: of each head; the scores of several are joined by the last Concat.
    """
    graph = read_graph(model)
    (result,) = graph.outputs
    joined = maker(result, "Concat") if len(classes) > 1 else None
    ends = [result] if joined is None else list(joined.inputs)
    heads = tuple(HeadFacts(count, _take_off(graph, end)) for end, count in zip(ends, classes, strict=True))
    if all(head.activation == "none" for head in heads):
        return model, heads
    return write_graph(graph), heads


def _take_off(graph: Graph, end: Tensor) -> Literal["none", "softmax", "sigmoid"]:
    """Turn the activation that makes `end` into an Identity, which simplifying removes.

    A quantized file may round the probabilities: what does so goes with the activation.
    """
    node, rounding = maker(end), []
    while node is not None and node.op in (*_KEEP_ORDER, *_ROUND) and _is_private(graph, node):
        rounding += [node] if node.op in _ROUND else []
        node = maker(node.inputs[0])
    if node is None or node.op not in _ACTIVATIONS or not _is_private(graph, node):
        return "none"
    if node.op == "Softmax" and not _over_classes(node):
        return "none"
    activation = _ACTIVATIONS[node.op]
    for idle in (node, *rounding):
        idle.op = "Identity"
        idle.attrs.clear()
        idle.inputs = idle.inputs[:1]
        idle.outputs[0].dtype = np.dtype(np.float32)
    return activation


def _is_private(graph: Graph, node: Node) -> bool:
    """Whether nothing but the way to the scores reads the node's result."""
    (result,) = node.outputs
    return is_output(graph, result) or only_reader(graph, result) is not None


def _over_classes(softmax: Node) -> bool:
    shape = shape_of(softmax.inputs[0])
    return shape is not None and softmax.attrs.get("axis", -1) % len(shape) == 1
