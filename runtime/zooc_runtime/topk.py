"""From scores to classes."""

from __future__ import annotations

import numpy as np

from .arrays import F32Array
from .errors import PackageError

__all__ = ["softmax", "top_k"]


def softmax(logits: F32Array) -> F32Array:
    """Softmax over the last axis, computed in float64 and rounded to float32."""
    wide = logits.astype(np.float64)
    exponentials = np.exp(wide - wide.max(axis=-1, keepdims=True))
    result: F32Array = (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result


def top_k(probabilities: F32Array, k: int) -> list[int]:
    """Class ids of the `k` greatest of `float32 [classes]`, the lower id first among equals.

    Asking for more classes than there are gives all of them.
    """
    if k < 1:
        raise PackageError(f"topk {k}: at least 1 is wanted")
    order = np.argsort(-probabilities.astype(np.float64), kind="stable")
    return [int(i) for i in order[:k]]
