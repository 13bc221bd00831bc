"""A QDQ body read back: its rounded activations, its stored integers, its layers.

Only the structure is looked at (QuantizeLinear, DequantizeLinear and what they join), no name, so a
package's graph serves as well as one that was quantized a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.graph import Constant, Node, Tensor, maker, only_reader, read_graph

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
        """Return the smallest value that has a level."""
        return (self.smallest - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        """Return the largest value that has a level."""
        return (self.largest - self.zero_point) * self.scale

    def rounded(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the values that the levels stand for."""
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
        """Return the numbers that the integers stand for."""
        scale = self.scale.astype(np.float64)
        if self.axis is not None and scale.ndim:
            scale = scale.reshape([-1 if a == self.axis else 1 for a in range(self.values.ndim)])
        return np.asarray(self.values * scale, np.float32)


@dataclass(frozen=True, slots=True)
class Layer:
    """One node that rounds something of its own, or multiplies by weights.

    Attributes:
        name, op: of its node.
        int8: whether it multiplies integers, or for a node without weights, joins rounded tensors.
        inputs: the rounded tensors that it reads.
        weights: its stored integers: weight, then bias; or a constant operand.
        tensor: its result, behind a fused activation.
        output: how that is rounded; `None` if it stays float32.
    """

    name: str
    op: str
    int8: bool
    inputs: tuple[ActivationPair, ...]
    weights: tuple[StoredWeight, ...]
    tensor: str
    output: ActivationPair | None

    @property
    def module(self) -> str:
        """Return the source network's module: the name without the operator."""
        return self.name.rpartition("/")[0] or self.name


class IntegerGraph:
    """A QDQ body's graph, and what its QuantizeLinears and DequantizeLinears stand for.

    Attributes:
        model: the body.
        graph: read from it; must not change.
        nodes, nodes_by_output: its nodes, by their names and by those of their outputs.
        pairs: rounded activations, by the tensor that readers get.
        weights: stored integers, by the tensor that readers get.
        layers: in the graph's order.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Read `model`; scales and zero points must be stored in it."""
        self.model = model
        self.graph = read_graph(model)
        self.nodes = {node.name: node for node in self.graph.nodes}
        self.nodes_by_output = {output.name: node for node in self.graph.nodes for output in node.outputs}
        self.pairs: dict[str, ActivationPair] = {}
        self.weights: dict[str, StoredWeight] = {}
        for node in self.graph.nodes:
            if node.op == "DequantizeLinear":
                self._read(node)
        self._by_tensor = {pair.tensor: pair for pair in self.pairs.values()}
        self.layers = [layer for node in self.graph.nodes if (layer := self._layer(node))]

    def _read(self, node: Node) -> None:
        source, result = node.inputs[0], node.outputs[0].name
        scale = np.asarray(node.inputs[1].values, np.float32)
        zero = node.inputs[2].values if len(node.inputs) > 2 else np.uint8(0)
        if isinstance(source, Constant):
            axis = node.attrs.get("axis", 1) if scale.ndim else None
            values = source.values.astype(np.int64) - np.asarray(zero, np.int64).reshape(-1)[0]
            self.weights[result] = StoredWeight(result, values, scale, axis)
            return
        rounding = maker(source, "QuantizeLinear")
        if rounding is None or scale.ndim:
            return
        limits = np.iinfo(zero.dtype)
        self.pairs[result] = ActivationPair(
            rounding.inputs[0].name,
            source.name,
            result,
            float(scale),
            int(zero),
            int(limits.min),
            int(limits.max),
        )

    def _layer(self, node: Node) -> Layer | None:
        if node.op in ("QuantizeLinear", "DequantizeLinear"):
            return None
        names = list(dict.fromkeys(tensor.name for tensor in node.inputs))
        inputs = tuple(self.pairs[name] for name in names if name in self.pairs)
        weights = tuple(self.weights[t.name] for t in node.inputs if t.name in self.weights)
        tensor, output = self._result(node.outputs[0])
        if node.op not in COMPUTE:
            if not inputs or output is None or not self._rounds(inputs, output):
                return None
            return Layer(node.name, node.op, True, inputs, weights, tensor, output)
        second = node.inputs[1] if len(node.inputs) > 1 else None
        if second is None or not (isinstance(second, Constant) or second.name in self.weights):
            return None
        return Layer(node.name, node.op, bool(weights), inputs, weights, tensor, output)

    def _result(self, tensor: Tensor) -> tuple[str, ActivationPair | None]:
        """A node's result behind its fused activation, and how it is rounded."""
        reader = only_reader(self.graph, tensor) if tensor.name not in self._by_tensor else None
        if reader is not None and reader.op in _CLAMPS and reader.outputs[0].name in self._by_tensor:
            tensor = reader.outputs[0]
        return tensor.name, self._by_tensor.get(tensor.name)

    @staticmethod
    def _rounds(inputs: tuple[ActivationPair, ...], output: ActivationPair) -> bool:
        """Whether the result has other levels than the operands: pools and reshapes only hand levels on."""
        levels = {(pair.scale, pair.zero_point) for pair in inputs}
        return levels != {(output.scale, output.zero_point)}
