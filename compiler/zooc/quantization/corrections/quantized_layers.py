"""The layers of a float body that have integer weights, beside what became of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.graph import Constant, Node, Tensor, maker, read_graph, values_of
from zooc.quantization.saturation import within_pairs

__all__ = ["QuantizedLayer", "quantized_layers"]


class QuantizedLayer:
    """A weighted node of the float body and what became of it.

    Attributes:
        node: it, in the float body.
        source: name of its input there.
        levels: names of the scale and the zero point to which its input is rounded; `None` for pixels, which
            are levels already, and for what was rounded before (a pooling's input).
        stored_weight: names of its int8 weights and of their scale.
        stored_bias: names of its int32 bias and of the bias's scale, `None` if it has no bias.
        shape: of its weights.
        groups: of its channels.
        inputs: how many products each of its sums has.
    """

    def __init__(self, node: Node, new: Node) -> None:
        """Describe `node` of the float body, which is `new` with integer weights in the quantized one."""
        self.node = node
        self.source = str(node.inputs[0].name)
        self.levels = _levels(new.inputs[0])
        stored = [maker(tensor, "DequantizeLinear") for tensor in new.inputs[1:]]
        names = [(node.inputs[0].name, node.inputs[1].name) for node in stored if node is not None]
        self.stored_weight, self.stored_bias = names[0], names[1] if len(names) > 1 else None
        self._transposed = node.op != "Conv" and not node.attrs.get("transB", 0)
        self.shape = tuple(node.inputs[1].shape)
        self.groups = node.attrs.get("group", 1)
        self.inputs = self.shape[0] if self._transposed else math.prod(self.shape[1:])

    @property
    def weight(self) -> npt.NDArray[np.float32]:
        """What the int8 weights stand for; a new array each time."""
        values = values_of(self.node.inputs[1])
        assert values is not None
        factor = self.node.attrs.get("alpha", 1.0) if self.node.op == "Gemm" else 1.0
        return values if factor == 1.0 else values * np.float32(factor)

    @property
    def bias(self) -> npt.NDArray[np.float64]:
        """`[channels]`, what the int32 bias stands for."""
        result = np.zeros(math.prod(self.shape) // self.inputs)
        if len(self.node.inputs) > 2 and (values := values_of(self.node.inputs[2])) is not None:
            factor = self.node.attrs.get("beta", 1.0) if self.node.op == "Gemm" else 1.0
            result += values.reshape(-1) * factor
        return result

    @property
    def channel_axis(self) -> int:
        """Of the weights."""
        return int(self._transposed)

    def rows(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return weights, or the like, as `[groups, channels, inputs]`."""
        return (values.T if self._transposed else values).reshape(self.groups, -1, self.inputs)

    def from_rows(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what `rows` was given."""
        return rows[0].T if self._transposed else rows.reshape(self.shape)

    def broadcast(self, scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the weights' scale, `[channels]` or a scalar, in a form to multiply weights with."""
        behind = 0 if self._transposed else len(self.shape) - 1
        return scale.reshape(-1, *[1] * behind)

    def other_levels(
        self, levels: npt.NDArray[np.int8], scale: npt.NDArray[np.float32], *, bounded: bool
    ) -> npt.NDArray[np.int8]:
        """Return the level on the other side of each weight's float value, its own where it may not change.

        Args:
            levels: of the weights.
            scale: theirs, `[channels]` or a scalar.
            bounded: keep every pair of weights from overflowing 16 bits (`saturation.py`).
        """
        others = np.clip(levels + np.sign(self.weight / self.broadcast(scale) - levels), -127, 127)
        others = others.astype(np.int8)
        return within_pairs(levels, others, self.node.op, 1 - self.channel_axis) if bounded else others


def quantized_layers(body: onnx.ModelProto, quantized: onnx.ModelProto) -> list[QuantizedLayer]:
    """Return the convolutions, Gemms and MatMuls that have int8 weights in the QDQ form, in order."""
    integer = {node.name: node for node in read_graph(quantized).nodes}
    found = []
    for node in read_graph(body).nodes:
        weighted = node.op in ("Conv", "Gemm", "MatMul") and isinstance(node.inputs[1], Constant)
        new = integer.get(node.name) if weighted else None
        if new is not None and maker(new.inputs[1], "DequantizeLinear") is not None:
            found.append(QuantizedLayer(node, new))
    return found


def _levels(source: Tensor) -> tuple[str, str] | None:
    """Scale and zero point of a tensor that was just rounded."""
    dequantize = maker(source, "DequantizeLinear")
    quantize = None if dequantize is None else maker(dequantize.inputs[0], "QuantizeLinear")
    return None if quantize is None else (quantize.inputs[1].name, quantize.inputs[2].name)
