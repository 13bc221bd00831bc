"""A QDQ body read back: its rounded activations, its stored integers, its layers.

Only the structure is looked at (QuantizeLinear, DequantizeLinear and what they join), no name, so a
package's graph serves as well as one that was quantized a moment ago.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

__all__ = ["COMPUTE", "ActivationPair", "IntegerGraph", "Layer", "StoredWeight"]

COMPUTE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_CLAMPS = frozenset({"Relu", "Clip"})


@dataclass(frozen=True, slots=True)
class ActivationPair:
    """A QuantizeLinear and the DequantizeLinear behind it.

    Attributes:
        tensor: what is rounded, float32.
        levels: the integers.
        result: what readers get, float32.
        scale, zero_point: of the whole tensor.
        smallest, largest: the levels' limits, 0 and 255 for uint8.
    """

    tensor: str
    levels: str
    result: str
    scale: float
    zero_point: int
    smallest: int
    largest: int

    @property
    def low(self) -> float:
        """The smallest value that has a level."""
        return (self.smallest - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        """The largest value that has a level."""
        return (self.largest - self.zero_point) * self.scale

    def rounded(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The values that the levels stand for."""
        levels = np.rint(values / np.float32(self.scale))
        np.clip(levels, self.smallest - self.zero_point, self.largest - self.zero_point, out=levels)
        return np.asarray(levels * np.float32(self.scale), np.float32)


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """Integers in the file behind a DequantizeLinear, zero point taken off.

    `axis` is that of the scales, `None` for a single one.
    """

    result: str
    values: npt.NDArray[np.int64]
    scale: npt.NDArray[np.float32]
    axis: int | None

    def dequantized(self) -> npt.NDArray[np.float32]:
        """The numbers that the integers stand for."""
        scale = self.scale.astype(np.float64)
        if self.axis is not None and scale.ndim:
            scale = scale.reshape([-1 if a == self.axis else 1 for a in range(self.values.ndim)])
        return np.asarray(self.values * scale, np.float32)


@dataclass(frozen=True, slots=True)
class Layer:
    """One node that rounds something of its own, or multiplies by weights.

    Attributes:
        index: of its node.
        name, op: the node's.
        int8: whether it multiplies integers, or for a node without weights, joins rounded tensors.
        inputs: the rounded tensors that it reads.
        weights: its stored integers: weight, then bias; or a constant operand.
        tensor: its result, behind a fused activation.
        output: how that is rounded; `None` if it stays float32.
    """

    index: int
    name: str
    op: str
    int8: bool
    inputs: tuple[ActivationPair, ...]
    weights: tuple[StoredWeight, ...]
    tensor: str
    output: ActivationPair | None

    @property
    def module(self) -> str:
        """The source network's module: the name without the operator."""
        return self.name.rpartition("/")[0] or self.name


class IntegerGraph:
    """An index over a QDQ body, which must not change while the index is in use."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Reads `model`; scales and zero points must be stored in it."""
        self.model = model
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.stored: dict[str, onnx.TensorProto] = {t.name: t for t in model.graph.initializer}
        self.consumers: dict[str, list[int]] = defaultdict(list)
        self.producer: dict[str, int] = {}
        for index, node in enumerate(self.nodes):
            for name in dict.fromkeys(node.input):
                self.consumers[name].append(index)
            for name in node.output:
                self.producer[name] = index
        self.outputs = {value.name for value in model.graph.output}
        self.pairs: dict[str, ActivationPair] = {}
        self.weights: dict[str, StoredWeight] = {}
        for node in self.nodes:
            if node.op_type == "DequantizeLinear":
                self._read(node)
        self._by_tensor = {pair.tensor: pair for pair in self.pairs.values()}
        self.layers = [layer for index in range(len(self.nodes)) if (layer := self._layer(index))]

    def array(self, name: str) -> npt.NDArray[Any]:
        """A stored tensor's values."""
        return np.asarray(numpy_helper.to_array(self.stored[name]))

    def is_plain(self, node: onnx.NodeProto) -> bool:
        """Whether a DequantizeLinear is a cast: scale 1, zero point 0."""
        return float(self.array(node.input[1]).sum()) == 1.0 and not any(
            self.array(n).any() for n in node.input[2:]
        )

    def _read(self, node: onnx.NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        scale = np.asarray(self.array(node.input[1]), np.float32)
        if source in self.stored:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1) if scale.ndim else None
            zero = self.array(node.input[2]) if len(node.input) > 2 else np.zeros((), np.int64)
            values = self.array(source).astype(np.int64) - zero.reshape(-1)[0]
            self.weights[result] = StoredWeight(result, values, scale, axis)
            return
        maker = self.nodes[self.producer[source]] if source in self.producer else None
        if maker is None or maker.op_type != "QuantizeLinear" or scale.ndim:
            return
        zero = self.array(node.input[2]) if len(node.input) > 2 else np.uint8(0)
        limits = np.iinfo(zero.dtype)
        self.pairs[result] = ActivationPair(
            maker.input[0], source, result, float(scale), int(zero), int(limits.min), int(limits.max)
        )

    def _layer(self, index: int) -> Layer | None:
        node = self.nodes[index]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Constant") or not node.output:
            return None
        inputs = tuple(self.pairs[name] for name in dict.fromkeys(node.input) if name in self.pairs)
        weights = tuple(self.weights[name] for name in node.input if name in self.weights)
        tensor, output = self._result(node.output[0])
        if node.op_type not in COMPUTE:
            if not inputs or output is None or not self._rounds(inputs, output):
                return None
            return Layer(index, node.name, node.op_type, True, inputs, weights, tensor, output)
        second = node.input[1] if len(node.input) > 1 else ""
        if second not in self.stored and second not in self.weights:
            return None
        return Layer(index, node.name, node.op_type, bool(weights), inputs, weights, tensor, output)

    def _result(self, tensor: str) -> tuple[str, ActivationPair | None]:
        """A node's result behind its fused activation, and how it is rounded."""
        readers = self.consumers[tensor]
        if len(readers) == 1 and tensor not in self.outputs and tensor not in self._by_tensor:
            only = self.nodes[readers[0]]
            if only.op_type in _CLAMPS and only.output[0] in self._by_tensor:
                tensor = only.output[0]
        return tensor, self._by_tensor.get(tensor)

    @staticmethod
    def _rounds(inputs: tuple[ActivationPair, ...], output: ActivationPair) -> bool:
        """Whether the result has other levels than the operands: pools and reshapes only hand levels on."""
        levels = {(pair.scale, pair.zero_point) for pair in inputs}
        return levels != {(output.scale, output.zero_point)}
