"""Frees a network's batch size where its export fixed it, and proves by running that this changed nothing."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from zooc.models.execute import ExecutionError, close, example_input, run
from zooc.models.onnx_interface import ImageInput

__all__ = ["fix_batch", "free_batch", "same_results"]


def free_batch(model: onnx.ModelProto, fixed: int) -> onnx.ModelProto:
    """A copy of `model` whose batch is free as far as can be told from the graph; not yet known to work.

    Constant Reshape targets that begin with the fixed batch are freed too: `[n, rest]` becomes `[-1, rest]`,
    or `[0, rest]` (keep the input's) where the rest holds a -1 already.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.value_info[:]
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    graph.output[0].type.tensor_type.ClearField("shape")
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {
        node.output[0]: node.attribute[0].t
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    for number, node in enumerate(list(graph.node)):
        if node.op_type != "Reshape" or node.input[1] not in constants or node.input[0] in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]])
        if target.ndim != 1 or target.size == 0 or target[0] != fixed:
            continue
        freed = np.array(target, dtype=np.int64)
        freed[0] = 0 if (freed[1:] == -1).any() else -1
        name = f"{node.input[1]}:free{number}"
        graph.initializer.append(numpy_helper.from_array(freed, name))
        node.input[1] = name
    return copy


def fix_batch(model: onnx.ModelProto, batch: int) -> None:
    """Sets the batch size of the input and the output, in place."""
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = batch


def same_results(original: onnx.ModelProto, changed: onnx.ModelProto, size: ImageInput, batch: int) -> bool:
    """Whether `changed`, run on `2 * batch` images at once, gives what `original` gives on two batches.

    Scores `[n, classes, 1, 1]` of the original count as `[n, classes]`.
    """
    images = example_input(2 * batch, size.channels, size.height, size.width)
    try:
        expected, got = run(original, images[:batch], images[batch:]), run(changed, images)
        return close(expected.reshape(2 * batch, -1), got) is None
    except ExecutionError:
        return False
