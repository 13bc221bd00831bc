"""From scores to classes."""

from __future__ import annotations

import numpy as np

from .errors import PackageError
from .support.arrays import F32Array

__all__ = ["parse_labels", "softmax", "top_k"]


def softmax(logits: F32Array) -> F32Array:
    """Return softmax over the last axis, computed in float64 and rounded to float32."""
    wide = logits.astype(np.float64)
    exponentials = np.exp(wide - wide.max(axis=-1, keepdims=True))
    result: F32Array = (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result


def top_k(probabilities: F32Array, k: int) -> list[int]:
    """Return class ids of the `k` greatest of `float32 [classes]`, the lower id first among equals.

    Asking for more classes than there are gives all of them.
    """
    if k < 1:
        raise PackageError(f"topk {k}: at least 1 is required")
    order = np.argsort(-probabilities.astype(np.float64), kind="stable")
    return [int(i) for i in order[:k]]


def parse_labels(text: str, classes: int, name: str = "labels.txt") -> tuple[str, ...]:
    """Split the text of a labels file.

    Raises:
        PackageError: another number of lines than classes.
    """
    lines = text.split("\n")
    names = tuple(lines[:-1] if lines[-1] == "" else lines)
    if len(names) != classes:
        raise PackageError(f"{name}: {len(names)} labels for {classes} classes; compile the package again")
    return names
