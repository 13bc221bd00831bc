"""How far two networks' logits on the same images are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc_runtime.package.heads import Head, decisions_of

__all__ = ["Agreement", "compare_logits", "cosine", "sqnr_db", "top1_agreement"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """`sqnr_db` in decibels (`inf` if equal), `cosine` averaged over images, `top1` a share from 0 to 1.

    `top1` is the share of images of which both say the same: the same best class, or the same classes from a
    threshold up; `None` for embeddings, which say no class.
    """

    sqnr_db: float
    cosine: float
    top1: float | None


def compare_logits(reference: Array, other: Array, heads: tuple[Head, ...] = ()) -> Agreement:
    """Return all three measures of float `[images, classes]` arrays.

    Args:
        reference: the logits to be reached.
        other: those in question.
        heads: what the logits mean; by default one class of all.
    """
    same = top1_agreement(reference, other, heads)
    return Agreement(sqnr_db(reference, other), cosine(reference, other), same)


def sqnr_db(reference: Array, other: Array) -> float:
    """Return the signal-to-noise ratio, `10 log10(sum r^2 / sum (o - r)^2)`, over all elements."""
    exact = reference.astype(np.float64)
    noise = float(np.square(other - exact).sum())
    signal = float(np.square(exact).sum())
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal else -math.inf


def cosine(reference: Array, other: Array) -> float:
    """Mean cosine of the angle between rows; two zero rows count 1, one zero row 0."""
    first, second = reference.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    products = (first * second).sum(axis=-1)
    both_zero = ~first.any(axis=-1) & ~second.any(axis=-1)
    values = np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1.0), both_zero)
    return float(values.mean())


def top1_agreement(reference: Array, other: Array, heads: tuple[Head, ...] = ()) -> float | None:
    """Return the share of rows that say the same, by default whose largest element is in the same place.

    `None` if they say nothing.
    """
    heads = heads or (Head(reference.shape[-1]),)
    first, second = decisions_of(heads, reference), decisions_of(heads, other)
    return float((first == second).all(axis=-1).mean()) if first.shape[-1] else None
