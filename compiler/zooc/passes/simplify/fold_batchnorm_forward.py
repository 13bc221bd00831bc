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

from zooc.ir.channels import affine_map, input_channels, is_padded, output_channels, scale_inputs
from zooc.ir.graph import Constant, Graph, Node, is_output
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["fold_batchnorm_forward"]


def fold_batchnorm_forward(graph: Graph, node: Node) -> Outcome:
    """An affine map that only convolutions and Gemms read goes into all of them, or into none."""
    values = [tensor for tensor in node.inputs if not isinstance(tensor, Constant)]
    if len(node.outputs) != 1 or len(values) != 1:
        return False
    (mapped,) = node.outputs
    layers = [reader for reader in mapped.outputs if output_channels(reader) is not None]
    if not layers:
        return False
    first = layers[0]
    affine = affine_map(node, values[0], input_channels(first), first.inputs[1].values.ndim)
    if affine is None:
        return False
    if is_output(graph, mapped) or len(layers) != len(mapped.outputs):
        return Refused("its result is also read elsewhere")
    if any(input_channels(layer) != len(affine[0]) for layer in layers):
        return Refused("its readers differ in their channels")
    if affine[1].any() and any(is_padded(layer) for layer in layers):
        return Refused("a reader pads, and its zeros would have to be other numbers")
    for layer in layers:
        scale_inputs(layer, *affine)
        layer.inputs[0] = values[0]
    return True
