"""Counts a network's trained parameters from its graph, whether float or quantized."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto

__all__ = ["count_parameters"]

_FLOAT = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)

_NOT_TRAINED: dict[str, tuple[int, ...]] = {
    "BatchNormalization": (3, 4),
    "Clip": (1, 2),
    "DequantizeLinear": (1, 2),
    "Pad": (2,),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QuantizeLinear": (1, 2),
    "Resize": (1, 2),
}
"""Inputs that hold running statistics, scales, zero points and limits."""

_INTEGER: dict[str, tuple[int, ...]] = {
    "ConvInteger": (1,),
    "DequantizeLinear": (0,),
    "MatMulInteger": (1,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (3,),
}
"""Inputs that hold quantized weights and biases."""

_AROUND = ("prelude/", "postlude/")


def count_parameters(model: onnx.ModelProto) -> int:
    """The elements of all constant tensors with dimensions that are weights of the network.

    Counts what a state dict of the folded network would hold: no BatchNorm statistics, no quantization
    scales, nothing of a compiled graph's prelude and postlude. A BatchNorm already folded into its
    convolution counts as what is left of it, the bias.
    """
    sizes = {t.name: (t.data_type in _FLOAT, math.prod(t.dims)) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            sizes[node.output[0]] = (tensor.data_type in _FLOAT, math.prod(tensor.dims))
    weights = set()
    for node in model.graph.node:
        if node.name.startswith(_AROUND):
            continue
        for index, name in enumerate(node.input):
            is_float, size = sizes.get(name, (False, 0))
            trained = is_float and index not in _NOT_TRAINED.get(node.op_type, ())
            if size > 1 and (trained or index in _INTEGER.get(node.op_type, ())):
                weights.add(name)
    return sum(sizes[name][1] for name in weights)
