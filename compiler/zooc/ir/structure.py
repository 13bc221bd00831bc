"""What a network is made of, apart from the values of its weights."""

from __future__ import annotations

import hashlib

import onnx

from zooc.ir.weights import without_large_weights

__all__ = ["structure_sha256"]


def structure_sha256(model: onnx.ModelProto) -> str:
    """Return the sha256 (hex) of a model's nodes, names and shapes; stored tensors count without values.

    So a network has the same hash after it was trained on, and another one after a node was added.
    """
    light = without_large_weights(model)
    graph = onnx.GraphProto()
    graph.CopyFrom(light.graph)
    del graph.initializer[:], graph.value_info[:]
    graph.name = graph.doc_string = ""
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
