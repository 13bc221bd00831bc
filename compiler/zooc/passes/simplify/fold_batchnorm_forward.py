"""Folds a per-channel affine map that only convolutions and Gemms read into their weights and biases.

Algebra. Let a reader give `sum_c(W_c * y_c) + b` for `y_c = a_c * x_c + d_c`. Then it gives
`sum_c((a_c * W_c) * x_c) + (b + sum_c(d_c * W_c))`: a layer that reads x, with weights `a * W` for input
channel `c` and a larger bias.

Where a convolution pads, the border's zeros stand for y = 0 and not for x = 0, so there a map with a shift is
left alone. An x whose padding is right would have `-d_c / a_c` around it, a number a channel, which no engine
pads with, and the constant channel that `fold_normalization` adds costs more than the map in any layer but
the first. A map without a shift may be folded all the same.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from zooc.ir.channels import affine_map, input_channels, is_padded, output_channels, scale_inputs

__all__ = ["fold_batchnorm_forward"]


def fold_batchnorm_forward(graph: gs.Graph) -> bool:
    """Folds affine maps into what reads them, in place; tells whether anything changed.

    The orphaned nodes stay until `graph.cleanup()`.
    """
    modified = False
    ends = {id(tensor) for tensor in graph.outputs}
    for node in graph.nodes:
        if len(node.outputs) == 1 and id(node.outputs[0]) not in ends:
            modified |= _fold_out_of(node)
    return modified


def _fold_out_of(node: gs.Node) -> bool:
    """Folds this node into all of its readers, or into none."""
    (mapped,) = node.outputs
    readers = list(mapped.outputs)
    values = [i for i in node.inputs if not isinstance(i, gs.Constant)]
    if len(values) != 1 or not readers or any(output_channels(reader) is None for reader in readers):
        return False
    first = readers[0]
    affine = affine_map(node, values[0], input_channels(first), first.inputs[1].values.ndim)
    if affine is None or any(input_channels(reader) != len(affine[0]) for reader in readers):
        return False
    if affine[1].any() and any(is_padded(reader) for reader in readers):
        return False
    for reader in readers:
        scale_inputs(reader, *affine)
        reader.inputs[0] = values[0]
    return True
