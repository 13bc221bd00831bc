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
from zooc.ir.large_weights import without_large_weights
from zooc.ir.session import open_session, weight_values
from zooc.verification.agreement import Agreement, compare_logits

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
        """Noise power relative to the signal's; 0 if nothing changed."""
        return float(10.0 ** (-self.agreement.sqnr_db / 10.0))


def quantize_alone(reference: onnx.ModelProto, graph: IntegerGraph, layer: Layer) -> onnx.ModelProto:
    """The float reference with one layer as the quantized graph has it.

    What it reads is rounded for it alone, its weights are its integers, and its result is rounded for all
    readers.

    Args:
        reference: the float body; node and tensor names are those of `graph`.
        graph: the quantized body.
        layer: one of `graph.layers`.
    """
    model = onnx.ModelProto()
    model.CopyFrom(reference)
    outputs = {value.name for value in model.graph.output}
    output = layer.output if layer.tensor not in outputs else None
    nodes: list[onnx.NodeProto] = []
    needed: set[str] = set()
    for node in model.graph.node:
        if node.name == layer.name:
            rounding = [n for pair in layer.inputs for n in _pair_nodes(graph, pair, f"{pair.result}/alone")]
            before = [*rounding, *(graph.nodes[graph.producer[w.result]] for w in layer.weights)]
            nodes += before
            results = list(node.output)
            node.CopyFrom(graph.nodes[layer.index])
            node.output[:] = results
            _rename(node, {pair.result: f"{pair.result}/alone" for pair in layer.inputs})
            needed |= {name for n in before for name in n.input}
        elif output is not None:
            _rename(node, {layer.tensor: output.result})
        nodes.append(node)
        if output is not None and layer.tensor in node.output:
            behind = _pair_nodes(graph, output, output.result)
            nodes += behind
            needed |= {name for n in behind for name in n.input}
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    made = {name for node in nodes for name in node.output}  # a stripped reference stores what we compute
    stored = [tensor for tensor in model.graph.initializer if tensor.name not in made]
    del model.graph.initializer[:]
    model.graph.initializer.extend(stored)
    have = {tensor.name for tensor in stored}
    used = needed | {name for node in nodes for name in node.input}
    model.graph.initializer.extend(t for n, t in graph.stored.items() if n in used and n not in have)
    return model


def measure_sensitivity(
    reference: onnx.ModelProto,
    graph: IntegerGraph,
    layers: Sequence[Layer],
    batches: Sequence[Batch],
    on_layer: Callable[[int], None] = lambda _count: None,
) -> list[LayerSensitivity]:
    """What each layer alone costs, in the order given.

    Args:
        reference: the float body.
        graph: the quantized body.
        layers: which to measure.
        batches: a few images; they are run once a layer.
        on_layer: called with 1 after each.
    """
    light, weights = without_large_weights(reference), weight_values(reference)
    expected = _logits(light, weights, batches)
    found = []
    for layer in layers:
        got = _logits(quantize_alone(light, graph, layer), weights, batches)
        found.append(LayerSensitivity(layer, compare_logits(expected, got), len(expected)))
        on_layer(1)
    return found


def _logits(
    model: onnx.ModelProto, weights: Mapping[str, onnxruntime.OrtValue], batches: Sequence[Batch]
) -> npt.NDArray[Any]:
    session, source = open_session(model, weights=weights), model.graph.input[0].name
    return np.concatenate([session.run(None, {source: batch})[0] for batch in batches])


def _pair_nodes(graph: IntegerGraph, pair: ActivationPair, result: str) -> list[onnx.NodeProto]:
    rounding = onnx.NodeProto()
    rounding.CopyFrom(graph.nodes[graph.producer[pair.levels]])
    back = onnx.NodeProto()
    back.CopyFrom(graph.nodes[graph.producer[pair.result]])
    levels = f"{result}/levels"
    rounding.output[0], rounding.name = levels, f"{levels}/QuantizeLinear"
    back.input[0], back.output[0], back.name = levels, result, f"{result}/DequantizeLinear"
    return [rounding, back]


def _rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    for position, name in enumerate(node.input):
        node.input[position] = names.get(name, name)
