"""Folds a per-channel affine map that follows a convolution or a Gemm into its weights and bias.

Algebra. Let the layer give `z_c = sum(W_c * x) + b_c` for output channel `c`, and what follows give
`y_c = a_c * z_c + d_c`. Then `y_c = sum((a_c * W_c) * x) + (a_c * b_c + d_c)`: the layer alone, with weights
`a * W` and bias `a * b + d`. A BatchNormalization of inference has `a = gamma / sqrt(var + eps)` and
`d = beta - a * mean`; a Mul or an Add by a constant that varies over channels only is the same with
`d = 0` or `a = 1`.

A fold is refused where the layer's output is also used elsewhere or is an output of the graph, where a
weight is computed at run time, where the BatchNormalization trains, and where the constant varies over
anything but channels.
"""

from __future__ import annotations

from zooc.ir.channels import affine_map, output_channels, scale_outputs
from zooc.ir.graph import Graph, Node, is_output, only_reader
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["fold_batchnorm"]


def fold_batchnorm(graph: Graph, layer: Node) -> Outcome:
    """A Conv or Gemm takes in every affine map behind it.

    The layer keeps its node name; its output takes the last map's.
    """
    modified = False
    while (outcome := _fold_into(layer, graph)) is True:
        modified = True
    return modified or outcome


def _fold_into(layer: Node, graph: Graph) -> Outcome:
    """Fold the one node after `layer` where that is allowed."""
    channels = output_channels(layer)
    if channels is None:
        return False
    (output,) = layer.outputs
    rank = layer.inputs[1].values.ndim
    maps = [affine for node in output.outputs if (affine := affine_map(node, output, channels, rank))]
    if not maps:
        return False
    if is_output(graph, output) or len(output.outputs) != 1:
        return Refused("its result is also read elsewhere")
    follower = only_reader(graph, output)
    assert follower is not None
    scale_outputs(layer, *maps[0])
    (result,) = follower.outputs[:1]
    follower.outputs.clear()
    layer.outputs = [result]
    return True
