"""One layer in integers, all others in float: what that layer alone costs the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from zooc.accuracy.integer_graph import ActivationPair, IntegerGraph, Layer
from zooc.ir.graph import Constant, Graph, Node, Tensor, Variable, bypass, is_output, read_graph, write_graph
from zooc.ir.interface import input_of
from zooc.ir.sent import SentModel
from zooc.ir.session import open_session, weight_values
from zooc.ir.weights import without_large_weights
from zooc.verification.agreement import Agreement, compare_logits
from zooc_runtime.package.heads import Head
from zooc_runtime.support.workers import HERE, Here, Job, Workers

__all__ = ["LayerSensitivity", "measure_sensitivity", "quantize_alone"]

Batch = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """The logits' agreement with float when one layer alone is quantized, on `images` images."""

    layer: Layer
    agreement: Agreement
    images: int

    @property
    def noise(self) -> float:
        """Return the noise power relative to the signal's; 0 if nothing changed."""
        return float(10.0 ** (-self.agreement.sqnr_db / 10.0))


def quantize_alone(reference: Graph, integer: IntegerGraph, layer: Layer) -> onnx.ModelProto:
    """Return the float reference with one layer as the quantized graph has it.

    What it reads is rounded for it alone, its weights are its integers, and its result is rounded for all
    readers.

    Args:
        reference: the float body; node and tensor names are those of `integer`. Not changed.
        integer: the quantized body.
        layer: one of `integer.layers`.
    """
    graph = reference.copy()
    tensors = graph.tensors()
    place = next(i for i, node in enumerate(graph.nodes) if node.name == layer.name)
    node, quantized = graph.nodes[place], integer.nodes[layer.name]
    results = [*(pair.result for pair in layer.inputs), *(weight.result for weight in layer.weights)]
    alone = {name: Variable(f"{name}/alone") for name in results}
    before = [n for p in layer.inputs for n in _round(integer, p, tensors[p.tensor], alone[p.result])]
    for weight in layer.weights:
        dequantize = integer.nodes_by_output[weight.result]
        before.append(_copy(dequantize, dequantize.inputs, alone[weight.result]))
    have = {**tensors, **alone}
    node.attrs = quantized.attrs
    node.inputs = [have[tensor.name] if tensor.name in have else tensor.copy() for tensor in quantized.inputs]
    graph.nodes[place:place] = before
    result = tensors.get(layer.tensor)  # a rounded graph output has a name of its own before it is rounded
    if layer.output is not None and result is not None and not is_output(graph, result):
        rounded = Variable(f"{layer.output.result}/alone")
        bypass(result, rounded)
        behind = next(i for i, n in enumerate(graph.nodes) if n is result.inputs[0]) + 1
        graph.nodes[behind:behind] = _round(integer, layer.output, result, rounded)
    return write_graph(graph)


def measure_sensitivity(
    reference: onnx.ModelProto,
    integer: IntegerGraph,
    layers: Sequence[Layer],
    batches: Sequence[Batch],
    on_layer: Callable[[int], None] = lambda _count: None,
    heads: tuple[Head, ...] = (),
    workers: Workers = HERE,
) -> list[LayerSensitivity]:
    """Return what each layer alone costs, in the order given.

    Args:
        reference: the float body.
        integer: the quantized body.
        layers: which to measure.
        batches: a few images; they are run once a layer.
        on_layer: called with 1 after each.
        heads: what the logits mean.
        workers: who runs a layer.
    """
    job: Job[str, Agreement]
    if isinstance(workers, Here):
        job = _Alone(without_large_weights(reference), weight_values(reference), integer, batches, heads)
    else:
        job = _AloneElsewhere(SentModel.of(reference), SentModel.of(integer.model), tuple(batches), heads)
    found: dict[int, Agreement] = {}
    for place, agreement in workers.map(job, [layer.name for layer in layers]):
        found[place] = agreement
        on_layer(1)
    images = sum(map(len, batches))
    return [LayerSensitivity(layer, found[place], images) for place, layer in enumerate(layers)]


@dataclass(frozen=True)
class _Alone:
    """The job: a layer's name to the agreement when that layer alone is quantized.

    `light` is the float reference without its large `weights`; `threads` are those within an operator.
    """

    light: onnx.ModelProto
    weights: Mapping[str, onnxruntime.OrtValue]
    integer: IntegerGraph
    batches: Sequence[Batch]
    heads: tuple[Head, ...]
    threads: int = 0

    def open(self) -> Callable[[str], Agreement]:
        expected, graph = self._logits(self.light), read_graph(self.light)
        layers = {layer.name: layer for layer in self.integer.layers}

        def run(name: str) -> Agreement:
            got = self._logits(quantize_alone(graph, self.integer, layers[name]))
            return compare_logits(expected, got, self.heads)

        return run

    def _logits(self, model: onnx.ModelProto) -> npt.NDArray[Any]:
        return _logits(model, self.weights, self.batches, self.threads)


@dataclass(frozen=True)
class _AloneElsewhere:
    """The same in a form that can be pickled, for workers of one CPU each."""

    reference: SentModel
    integer: SentModel
    batches: tuple[Batch, ...]
    heads: tuple[Head, ...]

    def open(self) -> Callable[[str], Agreement]:
        graph = IntegerGraph(self.integer.whole())
        weights = self.reference.weights()
        return _Alone(self.reference.model(), weights, graph, self.batches, self.heads, 1).open()


def _logits(
    model: onnx.ModelProto,
    weights: Mapping[str, onnxruntime.OrtValue],
    batches: Sequence[Batch],
    threads: int,
) -> npt.NDArray[Any]:
    session, source = open_session(model, threads=threads, weights=weights), input_of(model).name
    return np.concatenate([session.run(None, {source: batch})[0] for batch in batches])


def _round(integer: IntegerGraph, pair: ActivationPair, source: Tensor, result: Tensor) -> list[Node]:
    """QuantizeLinear and DequantizeLinear of a pair, from `source` to `result`."""
    rounding, back = (integer.nodes_by_output[name] for name in (pair.levels, pair.result))
    levels = Variable(f"{result.name}/levels")
    return [
        _copy(rounding, [source, *rounding.inputs[1:]], levels),
        _copy(back, [levels, *back.inputs[1:]], result),
    ]


def _copy(node: Node, inputs: Sequence[Tensor], result: Tensor) -> Node:
    """A node like another; the constants that it reads are copied with it."""
    own = [tensor.copy() if isinstance(tensor, Constant) else tensor for tensor in inputs]
    return Node(node.op, f"{result.name}/{node.op}", node.attrs, own, [result])
