"""Weights that are no numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zooc.ir.graph import Constant, Graph, values_of

__all__ = ["damaged_weights"]

_LAYERS = frozenset({"BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul"})


def damaged_weights(graph: Graph) -> Iterator[str]:
    """Yield a message for every stored float32 tensor that holds what it must not.

    That is NaN anywhere, and infinity in a layer's weights only, for attention masks hold it rightly.
    """
    for tensor in graph.tensors().values():
        values = values_of(tensor)
        if not isinstance(tensor, Constant) or values is None or values.dtype != np.float32:
            continue
        in_layer = any(node.op in _LAYERS for node in tensor.outputs)
        bad = int(np.count_nonzero(~np.isfinite(values) if in_layer else np.isnan(values)))
        if bad:
            reader = tensor.outputs[0].name if tensor.outputs else "no node"
            yield (
                f'the weight "{tensor.name}", used by {reader}, has {bad} of {values.size} values that are '
                "NaN or infinite"
            )
