"""The multiply-accumulates, parameters and operators of a network, float or integer."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from zooc.ir.names import STAGE_PREFIXES
from zooc.ir.session import quiet_engine
from zooc.ir.weights import inferred_graph

__all__ = [
    "EXAMPLE_IMAGE",
    "count_convolutions",
    "count_macs",
    "count_operators",
    "count_parameters",
    "macs_of_nodes",
]

EXAMPLE_IMAGE = (375, 500)
"""Height and width assumed of a compiled graph's `image`, whose size is free; no count depends on it."""

_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Where each operator has its weight."""

_PRODUCTS = frozenset({"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"})

Shape = tuple[int, ...]


def count_macs(model: onnx.ModelProto, batch: int = 1) -> int:
    """Return the multiply-accumulates of one run: the sum of `macs_of_nodes`."""
    return sum(macs_of_nodes(model, batch).values())


def macs_of_nodes(model: onnx.ModelProto, batch: int = 1) -> dict[str, int]:
    """Return the multiply-accumulates of one run, by node name.

    Counted are Conv, ConvTranspose, Gemm, MatMul and their integer variants.

    A convolution costs one for each weight that reaches an output element, padding included, as is usual.
    A compiled graph's prelude and postlude are not counted, nor is what is elementwise. FLOPs are twice this.

    Args:
        model: with one input, `[batch, channels, height, width]`, or `image` `[height, width, 3]`.
        batch: the batch size assumed where it is free.

    Raises:
        ValueError: a layer's shape cannot be found, neither by inference nor by running the model.
    """
    sized = _with_sizes(model, batch)
    layers = [
        node
        for node in sized.graph.node
        if not node.name.startswith(STAGE_PREFIXES)
        and (node.op_type in _CONVOLUTIONS or node.op_type in _PRODUCTS or node.op_type == "ConvTranspose")
    ]
    shapes = _inferred_shapes(sized)
    needed = {name for node in layers for name in (*node.input, node.output[0]) if name}
    missing = sorted(needed - shapes.keys())
    if missing:
        shapes |= _measured_shapes(sized, missing)
    counts: Counter[str] = Counter()
    for node in layers:
        counts[node.name] += _node_macs(node, shapes)
    return dict(counts)


def _node_macs(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    result = shapes[node.output[0]]
    if node.op_type in _CONVOLUTIONS:
        weight = shapes[node.input[_CONVOLUTIONS[node.op_type]]]
        return math.prod(result) * math.prod(weight[1:])
    first = shapes[node.input[0]]
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(shapes[node.input[1]][1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(result) * first[0 if transposed else -1]


def _with_sizes(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy in which the input's free dimensions are numbers, and the batch everywhere."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {t.name for t in copy.graph.initializer}
    symbols = {"batch": batch}
    for value in copy.graph.input:
        if value.name in constants:
            continue
        dims = value.type.tensor_type.shape.dim
        free = (*EXAMPLE_IMAGE, 3) if len(dims) == 3 else (batch, 3, 224, 224)
        for dim, size in zip(dims, free, strict=False):
            if not dim.HasField("dim_value"):
                if dim.dim_param:
                    symbols[dim.dim_param] = size
                dim.dim_value = size
    for value in (*copy.graph.value_info, *copy.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in symbols:
                dim.dim_value = symbols[dim.dim_param]
    return copy


def _inferred_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """The shapes, known whole, that ONNX's inference finds."""
    inferred = inferred_graph(model)
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
    return shapes


def _measured_shapes(model: onnx.ModelProto, names: list[str]) -> dict[str, Shape]:
    """The shapes of `names` as they are when the model runs on zeros."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    for name in names:
        probe.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        content = probe.SerializeToString()
        with quiet_engine():
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            feed = {
                i.name: np.zeros(i.shape, np.uint8 if "uint8" in i.type else np.float32)
                for i in session.get_inputs()
            }
            return {n: np.shape(v) for n, v in zip(names, session.run(names, feed), strict=True)}
    except Exception as problem:  # ONNX Runtime's own exceptions share no base class but this one
        raise ValueError(f"cannot find the shape of {names[0]}") from problem


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


def count_parameters(model: onnx.ModelProto) -> int:
    """Return the elements of all constant tensors with dimensions that are weights of the network.

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
        if node.name.startswith(STAGE_PREFIXES):
            continue
        for index, name in enumerate(node.input):
            is_float, size = sizes.get(name, (False, 0))
            trained = is_float and index not in _NOT_TRAINED.get(node.op_type, ())
            if size > 1 and (trained or index in _INTEGER.get(node.op_type, ())):
                weights.add(name)
    return sum(sizes[name][1] for name in weights)


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Return the operators of the outermost graph and how often each occurs, the most frequent first."""
    counts = Counter(f"{n.domain}.{n.op_type}" if n.domain else n.op_type for n in model.graph.node)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def count_convolutions(model: onnx.ModelProto) -> tuple[int, int]:
    """Return the number of convolutions, and of those that are integer once an engine has fused."""
    makers = {output: node.op_type for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type in _CONVOLUTIONS]
    integer = sum(
        node.op_type != "Conv" or all(makers.get(name) == "DequantizeLinear" for name in node.input[:2])
        for node in convolutions
    )
    return len(convolutions), integer
