"""Frees a network's batch size where its export fixed it, and proves by running that this changed nothing."""

from __future__ import annotations

import numpy as np
import onnx

from zooc.ir.graph import Constant, infer_shapes, read_graph, shape_of, write_graph
from zooc.networks.onnx_file.run_once import ExecutionError, Reference, close, run

__all__ = ["free_batch", "same_results"]


def free_batch(model: onnx.ModelProto, fixed: int) -> onnx.ModelProto:
    """Return `model` with a batch that is free as far as can be told from the graph; not yet known to work.

    A Reshape to `[fixed, rest]`, its target constant or computed from constants, becomes one to `[-1, rest]`.
    """
    graph = read_graph(model)
    ends = [*graph.inputs, *graph.outputs]
    for tensor in ends:
        tensor.shape = [fixed, *tensor.shape[1:]]
    infer_shapes(graph)
    for number, node in enumerate(graph.nodes):
        shape = shape_of(node.outputs[0])
        if node.op != "Reshape" or isinstance(node.inputs[0], Constant) or not shape or shape[0] != fixed:
            continue
        if all(shape):
            target = np.array([-1, *shape[1:]], np.int64)
            node.inputs = [node.inputs[0], Constant(f"{node.inputs[1].name}:free{number}", target)]
    for tensor in ends:
        tensor.shape = ["batch", *tensor.shape[1:]]
    return write_graph(graph)


def same_results(reference: Reference, changed: onnx.ModelProto, batch: int) -> bool:
    """Tell whether `changed`, run on `2 * batch` images at once, gives what the file gives on two batches.

    Scores `[n, classes, 1, 1]` of the file count as `[n, classes]`.
    """
    images = reference.example(2 * batch)
    try:
        expected, got = reference.scores(images[:batch], images[batch:]), run(changed, images)
        return close(expected.reshape(2 * batch, -1), got, reference.tolerance) is None
    except ExecutionError:
        return False
