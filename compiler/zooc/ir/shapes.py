"""Shapes of a graph's tensors, without copying its weights."""

from __future__ import annotations

import onnx

from zooc.ir.large_weights import without_large_weights

__all__ = ["inferred_graph"]


def inferred_graph(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return the graph with what ONNX's shape inference found in its `value_info` and `output`.

    Its large weights have no content.
    """
    return onnx.shape_inference.infer_shapes(without_large_weights(model), data_prop=True).graph
