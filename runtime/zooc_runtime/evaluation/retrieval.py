"""Recall@1 of embeddings: whether an image's nearest other image is of its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PackageError
from ..support.arrays import AnyArray, F32Array
from .wilson import wilson_interval

if TYPE_CHECKING:
    from ..inference.results import Result

__all__ = ["RetrievalEvaluation"]

_ROWS = 1024
"""Images compared with all others at a time: bounds the memory."""


@dataclass
class RetrievalEvaluation:
    """The embeddings so far, each with its class folder.

    Attributes:
        answers: embeddings of length 1, `float32 [dimensions]`, of the images that count.
        truth: the names of their class folders.
        skipped: a message for each image that does not count.
    """

    answers: list[F32Array] = field(default_factory=list)
    truth: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def row(self, result: Result) -> AnyArray:
        """Return what counts of a result: the embedding, float32 `[dimensions]`."""
        return result.probabilities

    def add(self, path: str, truth: str, row: AnyArray) -> None:
        """Take in an image's `row`; truth is the name of its class folder. See `Measurement.add`."""
        if not isinstance(truth, str):
            raise ValueError(f"the class folder {truth!r}, which is no name")
        self.answers.append(row)
        self.truth.append(truth)

    def check(self) -> None:
        """Raise `PackageError` if no two images of one class could be read."""
        if max(Counter(self.truth).values(), default=0) < 2:
            reason = f"; the first that could not be read: {self.skipped[0]}" if self.skipped else ""
            raise PackageError(f"no class folder has two images to be compared{reason}")

    def hits(self) -> tuple[AnyArray, AnyArray]:
        """Return which images count, and which of those have a nearest other image of their class.

        An image that is alone in its class cannot be found and does not count. The nearest is that of the
        greatest cosine similarity, the first of equals.
        """
        embeddings = np.stack(self.answers)
        sizes = Counter(self.truth)
        numbers = {name: index for index, name in enumerate(sizes)}
        classes = np.array([numbers[name] for name in self.truth])
        nearest = np.empty(len(embeddings), np.int64)
        for start in range(0, len(embeddings), _ROWS):
            similar = embeddings[start : start + _ROWS] @ embeddings.T
            rows = np.arange(len(similar))
            similar[rows, start + rows] = -np.inf
            nearest[start : start + _ROWS] = similar.argmax(axis=1)
        return np.array([sizes[name] > 1 for name in self.truth]), classes[nearest] == classes

    def to_json(self) -> dict[str, Any]:
        """Return recall@1 and its interval in percent, counts, a message for each image skipped."""
        counts, hits = self.hits()
        queries, found = int(counts.sum()), int((hits & counts).sum())
        return {
            "recall_at_1": 100 * found / max(queries, 1),
            "recall_at_1_interval": [100 * end for end in wilson_interval(found, queries)],
            "images": len(self.answers),
            "queries": queries,
            "found": found,
            "classes": len(set(self.truth)),
            "skipped": self.skipped,
        }

    def lines(self, *, table: bool = False) -> Iterator[str]:
        """Yield the result in words; the first line has the rate."""
        document = self.to_json()
        low, high = document["recall_at_1_interval"]
        yield f"recall@1: {document['recall_at_1']:.3f}"
        yield f"{document['images']} images of {document['classes']} classes, {len(self.skipped)} skipped"
        yield (
            f"the nearest other image of {document['found']} of {document['queries']} images is of their "
            f"class (95 % interval {low:.2f} to {high:.2f} %)"
        )
        if table:
            counts, hits = self.hits()
            yield "  images   found  class"
            for name in sorted(set(self.truth)):
                own = np.array([one == name for one in self.truth])
                yield f"  {int(own.sum()):6d}  {int((hits & counts & own).sum()):6d}  {name}"
