"""Grouped convolutions in groups wide enough for integer matrix products."""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Graph, Node, values_of
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["widen_groups"]

_WIDTH = 16
"""ONNX Runtime would gain another sixth at 32, where OpenVINO loses two thirds."""


def widen_groups(graph: Graph, node: Node) -> Outcome:
    """Groups of few channels are joined, with zeros where a channel does not meet another's weights.

    `[[A, 0], [0, B]]` on two groups' channels gives what A and B give on each. ONNX Runtime multiplies group
    by group: a 3 x 3 convolution of 32 groups of 4 channels takes a third of the time in 8 groups of 16.
    Depthwise convolutions have kernels of their own and are left alone.
    """
    groups = node.attrs.get("group", 1) if node.op == "Conv" else 1
    if groups == 1:
        return False
    weight = values_of(node.inputs[1])
    if weight is None:
        return Refused("its weights are computed")
    if len(weight) == groups:
        return Refused("it is depthwise")
    width = max(weight.shape[1], len(weight) // groups)
    joined = max(k for k in range(1, groups + 1) if groups % k == 0 and (k == 1 or k * width <= _WIDTH))
    if joined == 1:
        return Refused("its groups are wide enough")
    new = Replacement(graph, node)
    outputs, inputs = len(weight) // groups, weight.shape[1]
    wide = np.zeros((groups // joined, joined, outputs, joined, inputs, *weight.shape[2:]), weight.dtype)
    every = np.arange(joined)
    wide[:, every, :, every] = weight.reshape(-1, joined, outputs, *weight.shape[1:]).swapaxes(0, 1)
    stored = new.constant("weight_joined", wide.reshape(len(weight), joined * inputs, *weight.shape[2:]))
    new.copy(node, [node.inputs[0], stored, *node.inputs[2:]], node.outputs[0], group=groups // joined)
    return True
