"""What two networks say of each image, and how far their probabilities are apart."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.interface import input_of
from zooc.ir.session import open_session
from zooc.verification.agreement import Agreement, compare_logits
from zooc_runtime.package.heads import Head, decisions_of

__all__ = ["BodyComparison", "Parted", "compare_bodies", "divergences", "said"]

_KEPT = 12
"""Images on which two networks part that are kept for people to look at."""

Array = npt.NDArray[Any]


def divergences(heads: tuple[Head, ...], reference: Array, other: Array) -> npt.NDArray[np.float64] | None:
    """Return the Kullback-Leibler divergence of the other's probabilities from the reference's, in nats.

    Of a sigmoid it is that of all its classes, each a probability of its own, added up; heads add up, too.
    Embeddings have no probabilities and are left out.

    Args:
        heads: what the logits mean.
        reference, other: logits, `[images, scores]`.

    Returns:
        float64 `[images]`; `None` if no head has probabilities.
    """
    found = [_of_head(head, reference, other) for head in heads if not head.embeds]
    return np.asarray(np.sum(found, axis=0)) if found else None


def _of_head(head: Head, reference: Array, other: Array) -> npt.NDArray[np.float64]:
    first, second = (values[:, head.part].astype(np.float64) for values in (reference, other))
    if head.activation == "sigmoid" or head.classes == 1:
        # The logarithms of p and of 1 - p.
        yes, no = ([-np.logaddexp(0.0, sign * x) for x in (first, second)] for sign in (-1.0, 1.0))
        terms = np.exp(yes[0]) * (yes[0] - yes[1]) + np.exp(no[0]) * (no[0] - no[1])
        return np.asarray(terms.sum(axis=1))
    logs = [values - np.logaddexp.reduce(values, axis=1, keepdims=True) for values in (first, second)]
    return np.asarray((np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1))


def said(heads: tuple[Head, ...], logits: Array) -> str:
    """Return what a network says of an image in words: a class's name, or those of all its classes and heads.

    Args:
        heads: what the logits mean.
        logits: of one image, `[scores]`.
    """
    parts = []
    for head in heads:
        decided = head.decisions(logits[None])[0]
        indices = np.flatnonzero(decided) if head.multi_label else decided
        words = ", ".join(head.label(int(index)) for index in indices) or "none"
        parts.append(f"{head.name}: {words}" if head.name else words)
    return "; ".join(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Parted:
    """An image of which two networks say different things.

    Attributes:
        place: its number among the images.
        expected, got: what the reference says, and what the other does.
        divergence: of its probabilities, in nats.
        pixels: what the networks see, uint8 `[channels, h, w]`.
    """

    place: int
    expected: str
    got: str
    divergence: float
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class BodyComparison:
    """Two networks on the same images.

    Attributes:
        agreement: of their logits.
        expected, got: the first one's logits and the other's, `[images, scores]`.
        divergence: mean and worst over the images, in nats; `None` if nothing has probabilities.
        parted: images of which they say different things, the most different first; a few.
        parted_count: all of them.
    """

    agreement: Agreement
    expected: Array
    got: Array
    divergence: tuple[float, float] | None
    parted: tuple[Parted, ...]
    parted_count: int

    @property
    def images(self) -> int:
        """On how many images they were compared."""
        return len(self.expected)


def compare_bodies(
    float_body: onnx.ModelProto,
    body: onnx.ModelProto,
    batches: Iterable[tuple[Array, Array]],
    heads: tuple[Head, ...],
    on_batch: Callable[[int], None],
) -> BodyComparison:
    """Run both on every batch; one batch's pixels exist at a time, but for the few images that are kept.

    Args:
        float_body: the reference.
        body: the other.
        batches: what the reference is given, and what the other is: of the same images.
        heads: what the logits mean.
        on_batch: called with how many more images have been compared.
    """
    sessions = [open_session(model) for model in (float_body, body)]
    source = input_of(body).name
    logits: tuple[list[Array], list[Array]] = ([], [])
    kept: list[tuple[float, int, Parted]] = []
    count = seen = 0
    for pair in batches:
        batch = pair[1]
        first, second = (
            session.run(None, {source: given})[0] for session, given in zip(sessions, pair, strict=True)
        )
        for rows, values in zip(logits, (first, second), strict=True):
            rows.append(values)
        apart = _parted(heads, first, second, batch, seen)
        count, seen = count + len(apart), seen + len(batch)
        kept = heapq.nlargest(_KEPT, [*kept, *((one.divergence, -one.place, one) for one in apart)])
        on_batch(len(batch))
    expected, got = (np.concatenate(rows) for rows in logits)
    found = divergences(heads, expected, got)
    divergence = None if found is None else (float(found.mean()), float(found.max()))
    agreement = compare_logits(expected, got, heads)
    return BodyComparison(agreement, expected, got, divergence, tuple(one for _, _, one in kept), count)


def _parted(
    heads: tuple[Head, ...], first: Array, second: Array, batch: Array, seen: int
) -> Sequence[Parted]:
    decisions = [decisions_of(heads, values) for values in (first, second)]
    apart = np.flatnonzero((decisions[0] != decisions[1]).any(axis=1))
    found = divergences(heads, first, second)
    return [
        Parted(
            seen + int(row),
            said(heads, first[row]),
            said(heads, second[row]),
            0.0 if found is None else float(found[row]),
            batch[row].copy(),
        )
        for row in apart
    ]
