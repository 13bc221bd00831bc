"""Runs each layer of a float body beside its quantized self, on the float body's inputs, in one session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from zooc.memory import release
from zooc.quantize.body_graph import BodyGraph
from zooc_runtime.machine import available_cores

__all__ = ["Probe", "QuantizedLayer", "quantized_layers", "run_batches"]

_MOST_WORKERS = 4
_FLOAT = onnx.TensorProto.FLOAT


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """A weighted node of the float body and what became of it.

    Attributes:
        name: the node's.
        index: its place in the float body.
        node: it, in the quantized body.
        weight: names of its int8 weights and of their scale.
        bias: names of its int32 bias and of the bias's scale, `None` if it has no bias.
    """

    name: str
    index: int
    node: onnx.NodeProto
    weight: tuple[str, str]
    bias: tuple[str, str] | None


def quantized_layers(graph: BodyGraph, quantized: BodyGraph) -> list[QuantizedLayer]:
    """The convolutions, Gemms and MatMuls that have int8 weights, in order."""
    found = []
    for index, node in enumerate(graph.nodes):
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        result = node.output[0]
        place = quantized.producer.get(f"{result}/float", quantized.producer.get(result))
        if place is None or quantized.nodes[place].op_type != node.op_type:
            continue
        new = quantized.nodes[place]
        weight = _dequantizer(quantized, new.input[1])
        if weight is None:
            continue
        bias = _dequantizer(quantized, new.input[2]) if len(new.input) > 2 else None
        names = None if bias is None else (bias.input[0], bias.input[1])
        weights = weight.input[0], weight.input[1]
        found.append(QuantizedLayer(graph.name(index), index, new, weights, names))
    return found


def _dequantizer(graph: BodyGraph, tensor: str) -> onnx.NodeProto | None:
    """The DequantizeLinear that makes a tensor, if it does."""
    maker = graph.producer.get(tensor)
    node = None if maker is None else graph.nodes[maker]
    return node if node is not None and node.op_type == "DequantizeLinear" else None


class Probe:
    """A float body with additions, to be run over a few batches."""

    def __init__(self, body: onnx.ModelProto, quantized: BodyGraph) -> None:
        """`body` is not changed; `quantized` is its quantized self."""
        self._graph = BodyGraph(body)
        self._quantized = quantized
        self._added: list[onnx.NodeProto] = []
        self._stored: dict[str, onnx.TensorProto] = {}
        self._outputs: list[str] = []

    def rounded_input(self, layer: QuantizedLayer) -> str:
        """The layer's float input, rounded to the levels that it has in integers; the tensor's name."""
        node = self._graph.nodes[layer.index]
        source = str(node.input[0])
        reader = _dequantizer(self._quantized, layer.node.input[0])
        maker = None if reader is None else self._quantized.producer.get(reader.input[0])
        quantizer = None if maker is None else self._quantized.nodes[maker]
        if quantizer is None or quantizer.op_type != "QuantizeLinear":
            return source  # pixels, which are levels already
        scales = [self._borrow(name) for name in quantizer.input[1:]]
        name = f"{node.output[0]}/probe"
        self._added.append(helper.make_node("QuantizeLinear", [source, *scales], [f"{name}/levels"]))
        self._added.append(
            helper.make_node("DequantizeLinear", [f"{name}/levels", *scales], [f"{name}/input"])
        )
        return f"{name}/input"

    def shift(self, layer: QuantizedLayer) -> str:
        """Adds the mean over space of how far integers change the layer's result, `[batch, channels]`."""
        result = self._graph.nodes[layer.index].output[0]
        name = f"{result}/probe"
        clone = onnx.NodeProto()
        clone.CopyFrom(layer.node)
        clone.name = name
        operands = [self._constant(tensor) for tensor in layer.node.input[1:]]
        clone.input[:] = [self.rounded_input(layer), *operands]
        clone.output[:] = [f"{name}/result"]
        self._added.append(clone)
        self._added.append(helper.make_node("Sub", [f"{name}/result", result], [f"{name}/change"]))
        change = f"{name}/change"
        if layer.node.op_type == "Conv":
            weight = self._graph.constant(self._graph.nodes[layer.index].input[1])
            assert weight is not None
            axes = np.arange(2, weight.ndim, dtype=np.int64)
            self._stored[f"{name}/axes"] = numpy_helper.from_array(axes, f"{name}/axes")
            means = [change, f"{name}/axes"]
            self._added.append(helper.make_node("ReduceMean", means, [f"{name}/shift"], keepdims=0))
            change = f"{name}/shift"
        self._outputs.append(change)
        return change

    def _borrow(self, name: str) -> str:
        """A tensor stored in the quantized body."""
        values = self._quantized.constant(name)
        assert values is not None
        self._stored[name] = numpy_helper.from_array(values, name)
        return name

    def _constant(self, tensor: str) -> str:
        """The dequantized values of stored integers, as float32."""
        maker = _dequantizer(self._quantized, tensor)
        if maker is None:
            return tensor
        copy = onnx.NodeProto()
        copy.CopyFrom(maker)
        copy.name = copy.output[0] = result = f"{tensor}/probe"
        copy.input[:] = [self._borrow(name) for name in maker.input]
        self._added.append(copy)
        return result

    def session(self, outputs: Sequence[str] | None = None) -> ort.InferenceSession:
        """A session on one thread that gives `outputs`, all that were added by default."""
        model = onnx.ModelProto()
        model.CopyFrom(self._graph.model)
        del model.graph.value_info[:], model.graph.output[:]
        model.graph.node.extend(self._added)
        model.graph.initializer.extend(self._stored.values())
        wanted = self._outputs if outputs is None else outputs
        model.graph.output.extend(helper.make_tensor_value_info(name, _FLOAT, None) for name in wanted)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps every layer's largest operands
        content = model.SerializeToString()
        del model  # a copy of all weights less while the session makes its own
        release()
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        del content
        release()
        return session


def run_batches(
    session: ort.InferenceSession,
    batches: Sequence[npt.NDArray[Any]],
    on_batch: Callable[[int], None] | None = None,
) -> list[list[npt.NDArray[np.float32]]]:
    """Every batch's outputs, in the order of the batches, computed on several threads."""
    source = session.get_inputs()[0].name

    def run(batch: npt.NDArray[Any]) -> list[npt.NDArray[np.float32]]:
        result: list[npt.NDArray[np.float32]] = session.run(None, {source: batch})
        return result

    found = []
    with ThreadPoolExecutor(min(available_cores(), _MOST_WORKERS)) as pool:
        for batch, values in zip(batches, pool.map(run, batches), strict=True):
            found.append(values)
            if on_batch is not None:
                on_batch(len(batch))
    return found
