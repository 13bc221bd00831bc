"""ONNX operators in torch, as far as blocks of classifiers have them, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from zooc.ir.graph import FLOAT, Constant, Graph, Node, maker, values_of

__all__ = ["Made", "Tensors", "constants_of", "rounded", "run", "unsupported"]

Values = Mapping[str, torch.Tensor]
Tensors = dict[str, torch.Tensor]
Made = Callable[[], torch.Tensor]
Operator = Callable[[Node, list[Any]], torch.Tensor | tuple[torch.Tensor, ...]]


def unsupported(graph: Graph) -> list[str]:
    """Return the operators of a graph that `run` does not know."""
    several = {node.op for node in graph.nodes if len(node.outputs) != 1} - {"Split"}
    return sorted(several | {node.op for node in graph.nodes if node.op not in _OPERATORS})


def constants_of(graph: Graph) -> Tensors:
    """Return a graph's stored tensors."""
    stored = (tensor for tensor in graph.tensors().values() if isinstance(tensor, Constant))
    return {tensor.name: torch.from_numpy(np.array(values_of(tensor))) for tensor in stored}


def run(graph: Graph, values: Values, made: Mapping[str, Made]) -> torch.Tensor:
    """Return the output of a graph.

    Args:
        graph: with one output; see `unsupported`.
        values: its input and its constants.
        made: what makes tensors in place of their nodes, by the tensor's name.
    """
    known = dict(values)
    for node in graph.nodes:
        name = node.outputs[0].name
        if name in made:
            known[name] = made[name]()
            continue
        result = _OPERATORS[node.op](node, [known.get(tensor.name) for tensor in node.inputs])
        parts = result if isinstance(result, tuple) else (result,)
        known |= {tensor.name: part for tensor, part in zip(node.outputs, parts, strict=True)}
    return known[graph.outputs[0].name]


def rounded(values: torch.Tensor) -> torch.Tensor:
    """Round to nearest; the gradient passes as if nothing was rounded (the straight-through estimator)."""
    return values + (values.round() - values).detach()


def _quantize(_: Node, inputs: list[Any]) -> torch.Tensor:
    """What the levels stand for: one pass over the values, where rounding and scaling back would take six."""
    values, scale, zero = inputs
    limits = torch.iinfo(zero.dtype)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero.to(torch.int32), limits.min, limits.max)


def _dequantize(node: Node, inputs: list[Any]) -> torch.Tensor:
    values, scale, zero = inputs
    if maker(node.inputs[0], "QuantizeLinear") is not None:
        return torch.as_tensor(values)
    shape = [1] * values.ndim
    if scale.ndim:
        shape[node.attrs.get("axis", 1)] = -1
    return (values.to(torch.float32) - zero.reshape(shape)) * scale.reshape(shape)


def _padded(node: Node, values: torch.Tensor, fill: float) -> torch.Tensor:
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise NotImplementedError(node.attrs["auto_pad"])
    pads = node.attrs.get("pads", [])
    half = len(pads) // 2
    ends = [side for axis in reversed(range(half)) for side in (pads[axis], pads[half + axis])]
    return functional.pad(values, ends, value=fill) if any(ends) else values


def _pad(node: Node, inputs: list[Any]) -> torch.Tensor:
    values, pads, fill = (*inputs, None)[:3]
    if node.attrs.get("mode", "constant") != "constant" or len(inputs) > 3:
        raise NotImplementedError("Pad")
    pads, rank = pads.tolist(), values.ndim
    ends = [side for axis in reversed(range(rank)) for side in (pads[axis], pads[rank + axis])]
    return functional.pad(values, ends, value=0.0 if fill is None else fill.item())


def _conv(node: Node, inputs: list[Any]) -> torch.Tensor:
    values, weight, bias = (*inputs, None)[:3]
    attrs = node.attrs
    call = functional.conv2d if weight.ndim == 4 else functional.conv1d
    return call(
        _padded(node, values, 0.0),
        weight,
        bias,
        stride=attrs.get("strides", 1),
        dilation=attrs.get("dilations", 1),
        groups=attrs.get("group", 1),
    )


def _gemm(node: Node, inputs: list[Any]) -> torch.Tensor:
    first, second, bias = (*inputs, None)[:3]
    attrs = node.attrs
    first = first.T if attrs.get("transA", 0) else first
    second = second.T if attrs.get("transB", 0) else second
    result = attrs.get("alpha", 1.0) * (first @ second)
    return result if bias is None else result + attrs.get("beta", 1.0) * bias


def _max_pool(node: Node, inputs: list[Any]) -> torch.Tensor:
    if node.attrs.get("ceil_mode", 0):
        raise NotImplementedError("ceil_mode")
    padded = _padded(node, inputs[0], -torch.inf)
    shape, step = node.attrs["kernel_shape"], node.attrs.get("strides", 1)
    return functional.max_pool2d(padded, shape, step, dilation=node.attrs.get("dilations", 1))


def _average_pool(node: Node, inputs: list[Any]) -> torch.Tensor:
    if node.attrs.get("ceil_mode", 0):
        raise NotImplementedError("ceil_mode")
    shape, step = node.attrs["kernel_shape"], node.attrs.get("strides", 1)
    sums = functional.avg_pool2d(_padded(node, inputs[0], 0.0), shape, step)
    if node.attrs.get("count_include_pad", 0):
        return sums
    return sums / functional.avg_pool2d(_padded(node, torch.ones_like(inputs[0]), 0.0), shape, step)


def _mean(node: Node, inputs: list[Any]) -> torch.Tensor:
    axes = node.attrs["axes"] if len(inputs) < 2 else inputs[1].tolist()
    return inputs[0].mean(axes, keepdim=bool(node.attrs.get("keepdims", 1)))


def _sum(node: Node, inputs: list[Any]) -> torch.Tensor:
    return inputs[0].sum(inputs[1].tolist(), keepdim=bool(node.attrs.get("keepdims", 1)))


def _split(node: Node, inputs: list[Any]) -> tuple[torch.Tensor, ...]:
    values, axis, count = inputs[0], node.attrs.get("axis", 0), len(node.outputs)
    sizes = inputs[1].tolist() if len(inputs) > 1 else -(-values.shape[axis] // count)
    return tuple(torch.split(values, sizes, axis))


def _squeeze(_: Node, inputs: list[Any]) -> torch.Tensor:
    return inputs[0].squeeze(inputs[1].tolist())


def _unsqueeze(_: Node, inputs: list[Any]) -> torch.Tensor:
    values, axes = inputs[0], inputs[1].tolist()
    for axis in sorted(axis % (values.ndim + len(axes)) for axis in axes):
        values = values.unsqueeze(axis)
    return values


def _reshape(node: Node, inputs: list[Any]) -> torch.Tensor:
    values, shape = inputs
    sizes = [values.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())]
    return values.reshape(sizes)


def _flatten(node: Node, inputs: list[Any]) -> torch.Tensor:
    axis = node.attrs.get("axis", 1)
    return inputs[0].reshape(int(np.prod(inputs[0].shape[:axis])), -1)


def _cast(node: Node, inputs: list[Any]) -> torch.Tensor:
    if node.attrs["to"] not in (FLOAT, np.float32):
        raise NotImplementedError("Cast")
    return inputs[0].to(torch.float32)


def _clip(_: Node, inputs: list[Any]) -> torch.Tensor:
    values, low, high = (*inputs, None, None)[:3]
    return torch.clamp(values, low, high)


def _hard_sigmoid(node: Node, inputs: list[Any]) -> torch.Tensor:
    return torch.clamp(node.attrs.get("alpha", 0.2) * inputs[0] + node.attrs.get("beta", 0.5), 0, 1)


def _layer_norm(node: Node, inputs: list[Any]) -> torch.Tensor:
    values, weight, bias = (*inputs, None)[:3]
    axis = node.attrs.get("axis", -1) % values.ndim
    return functional.layer_norm(values, values.shape[axis:], weight, bias, node.attrs.get("epsilon", 1e-5))


def _gelu(node: Node, inputs: list[Any]) -> torch.Tensor:
    return functional.gelu(inputs[0], approximate=node.attrs.get("approximate", "none"))


_OPERATORS: dict[str, Operator] = {
    "Add": lambda _, i: i[0] + i[1],
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda n, i: torch.cat(i, n.attrs["axis"]),
    "Conv": _conv,
    "DequantizeLinear": _dequantize,
    "Div": lambda _, i: i[0] / i[1],
    "Erf": lambda _, i: torch.erf(i[0]),
    "Flatten": _flatten,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _, i: i[0].mean((2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _, i: functional.hardswish(i[0]),
    "Identity": lambda _, i: i[0],
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda n, i: functional.leaky_relu(i[0], n.attrs.get("alpha", 0.01)),
    "MatMul": lambda _, i: i[0] @ i[1],
    "MaxPool": _max_pool,
    "Mul": lambda _, i: i[0] * i[1],
    "Pad": _pad,
    "PRelu": lambda _, i: torch.where(i[0] < 0, i[0] * i[1], i[0]),
    "QuantizeLinear": _quantize,
    "ReduceMean": _mean,
    "ReduceSum": _sum,
    "Relu": lambda _, i: torch.relu(i[0]),
    "Reshape": _reshape,
    "Sigmoid": lambda _, i: torch.sigmoid(i[0]),
    "Softmax": lambda n, i: torch.softmax(i[0], n.attrs.get("axis", -1)),
    "Split": _split,
    "Sqrt": lambda _, i: torch.sqrt(i[0]),
    "Squeeze": _squeeze,
    "Sub": lambda _, i: i[0] - i[1],
    "Tanh": lambda _, i: torch.tanh(i[0]),
    "Transpose": lambda n, i: i[0].permute(n.attrs["perm"]),
    "Unsqueeze": _unsqueeze,
}
