"""Ranges for tensors that are rounded only once a neighbour has gone back to float."""

from __future__ import annotations

import onnx

from zooc.calibration.ranges import Ranges
from zooc.deployment import Quantize
from zooc.ir.graph import read_graph
from zooc.quantization.placement import place

__all__ = ["complete_ranges"]


def complete_ranges(body: onnx.ModelProto, ranges: Ranges, quantize: Quantize) -> Ranges:
    """Return `ranges` and, for every tensor that shares another's scale, the range of that scale.

    A pool or reshape hands levels on, so only its operand was observed; if the layer before it goes back to
    float, its result gets a scale of its own, and the operand's range contains that.
    """
    placement = place(read_graph(body), quantize)
    complete = dict(ranges)
    for name, root in placement.quantized.items():
        known = [ranges[source] for source in placement.sources.get(root, ()) if source in ranges]
        if known and name not in complete:
            complete[name] = min(low for low, _ in known), max(high for _, high in known)
    return complete
