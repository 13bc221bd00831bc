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

import onnx_graphsurgeon as gs

from zooc.ir.channels import affine_map, output_channels, scale_outputs

__all__ = ["fold_batchnorm"]


def fold_batchnorm(graph: gs.Graph) -> bool:
    """Folds every affine successor of a Conv or Gemm in `graph`, in place; tells whether anything changed.

    The layer keeps its node name; its output takes the successor's name. The orphaned nodes stay until
    `graph.cleanup()`.
    """
    modified = False
    for layer in graph.nodes:
        while _fold_into(layer, graph):
            modified = True
    return modified


def _fold_into(layer: gs.Node, graph: gs.Graph) -> bool:
    """Folds the one node after `layer` where that is allowed."""
    channels = output_channels(layer)
    if channels is None:
        return False
    (output,) = layer.outputs
    if len(output.outputs) != 1 or any(output is o for o in graph.outputs):
        return False
    follower = output.outputs[0]
    affine = affine_map(follower, output, channels, layer.inputs[1].values.ndim)
    if affine is None:
        return False
    scale_outputs(layer, *affine)
    (result,) = follower.outputs[:1]
    follower.outputs.clear()
    layer.outputs = [result]
    return True
