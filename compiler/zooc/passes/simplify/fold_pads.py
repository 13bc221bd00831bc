"""Lets convolutions and pools pad by themselves what a Pad puts around their input.

    Conv(Pad(x, p, value=0), pads=q)  =  Conv(x, pads=p + q)

An average that counts its padding is the same, and so is a maximum where the pads are lower than every value:
implicit ones are minus infinity. TensorFlow's "SAME" pads, as torch's networks of that origin spell them, are
such Pads; before an integer convolution one costs more than the pads themselves.
"""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Constant, Graph, Node, Tensor, is_clamp_from_zero, maker, values_of
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["fold_pads"]

_LOWEST = -3e38
_NOT_NEGATIVE = frozenset({"Abs", "Exp", "HardSigmoid", "Sigmoid", "Softmax", "Softplus"})
_KEEPS_SIGN = frozenset(
    {
        *("Add", "AveragePool", "Concat", "Flatten", "GlobalAveragePool", "GlobalMaxPool", "Identity"),
        *("MaxPool", "Mul", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    }
)
"""What is made of no negative number is none."""


def fold_pads(graph: Graph, node: Node) -> Outcome:
    """A convolution or a pool behind a Pad of its two last axes has those pads itself."""
    pad = maker(node.inputs[0], "Pad") if node.op in ("Conv", "AveragePool", "MaxPool") else None
    if pad is None:
        return False
    pads = values_of(pad.inputs[1])
    if pad.attrs.get("mode", "constant") != "constant" or pads is None or len(pad.inputs) > 3:
        return Refused("the Pad repeats the border, or its pads are computed")
    rank = pads.size // 2
    before, after = pads[2:rank].tolist(), pads[rank + 2 :].tolist()
    if rank < 3 or pads[:2].any() or pads[rank : rank + 2].any() or min([*before, *after]) < 0:
        return Refused("the Pad also changes images or channels, or cuts")
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return Refused("it pads by a rule of its own")
    own = node.attrs.get("pads", [0] * (2 * (rank - 2)))
    reason = _why_not(node, pad, own, max([*before, *after]))
    if reason is not None:
        return Refused(reason)
    if node.op == "AveragePool":
        node.attrs["count_include_pad"] = 1
    node.attrs.pop("auto_pad", None)
    node.attrs["pads"] = [int(a + b) for a, b in zip(own, [*before, *after], strict=True)]
    node.inputs[0] = pad.inputs[0]
    return True


def _why_not(node: Node, pad: Node, own: list[int], widest: int) -> str | None:
    value = _value(pad)
    if value is None:
        return "the Pad's value is computed"
    if node.op == "Conv":
        return None if value == 0 else "the Pad's value is not 0"
    if node.attrs.get("ceil_mode", 0) or widest >= min(node.attrs["kernel_shape"]) or any(own):
        return "a window could lie in the pads alone, or in two kinds of them"
    if node.op == "AveragePool":
        return None if value == 0 else "the Pad's value is not 0"
    if len(node.outputs) > 1:
        return "its indices would be others"
    lowest = value <= _LOWEST or (value <= 0 and _is_not_negative(pad.inputs[0]))
    return None if lowest else "the Pad's value could be the maximum"


def _is_not_negative(tensor: Tensor) -> bool:
    """Whether no value can be negative: then a pad of 0 is the maximum of no window but one of zeros."""
    if isinstance(tensor, Constant):
        return bool((tensor.values >= 0).all())
    node = maker(tensor)
    if node is None:
        return False
    if is_clamp_from_zero(node) or node.op in _NOT_NEGATIVE:
        return True
    operands = node.inputs if node.op in ("Add", "Concat", "Mul") else node.inputs[:1]
    return node.op in _KEEPS_SIGN and all(_is_not_negative(operand) for operand in operands)


def _value(pad: Node) -> float | None:
    if len(pad.inputs) < 3 or pad.inputs[2].is_empty():
        return 0.0
    value = pad.inputs[2]
    return float(np.asarray(value.values).reshape(-1)[0]) if isinstance(value, Constant) else None
