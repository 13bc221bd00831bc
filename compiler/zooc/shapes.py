"""Shapes of a graph's tensors, without copying its weights."""

from __future__ import annotations

import onnx

__all__ = ["inferred_graph"]

_LARGE = 4096


def inferred_graph(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph with what ONNX's shape inference found in its `value_info` and `output`.

    Large weights are among its inputs: inference takes and returns whole models as bytes, of which protobuf
    allows 2 GiB, and which cost a second for 100 MB of weights.
    """
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(light.graph, field).extend(getattr(model.graph, field))
    own = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.ByteSize() < _LARGE:
            light.graph.initializer.append(tensor)
        elif tensor.name not in own:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            light.graph.input.append(value)
    return onnx.shape_inference.infer_shapes(light, data_prop=True).graph
