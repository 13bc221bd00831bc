"""Frees a network's batch size where its export fixed it, and proves by running that this changed nothing."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from zooc.ir.weights import inferred_graph
from zooc.networks.onnx_file.run_once import ExecutionError, Reference, close, run

__all__ = ["fix_batch", "free_batch", "same_results"]


def free_batch(model: onnx.ModelProto, fixed: int) -> onnx.ModelProto:
    """A copy of `model` whose batch is free as far as can be told from the graph; not yet known to work.

    A Reshape to `[fixed, rest]`, its target constant or computed from constants, becomes one to `[-1, rest]`.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    shapes = _shapes(copy, fixed)
    constants = {tensor.name for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        shape = shapes.get(node.output[0]) if node.op_type == "Reshape" else None
        if not shape or shape[0] != fixed or 0 in shape or node.input[0] in constants:
            continue
        name = f"{node.input[1]}:free{number}"
        graph.initializer.append(numpy_helper.from_array(np.array([-1, *shape[1:]], np.int64), name))
        node.input[1] = name
    del graph.value_info[:]
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return copy


def _shapes(model: onnx.ModelProto, batch: int) -> dict[str, list[int]]:
    """The tensors' shapes for this batch size, where inference finds them whole."""
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    fix_batch(sized, batch)
    graph = inferred_graph(sized)
    return {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
        if all(d.HasField("dim_value") for d in value.type.tensor_type.shape.dim)
    }


def fix_batch(model: onnx.ModelProto, batch: int) -> None:
    """Set the batch size of the input and the output, in place."""
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = batch


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
