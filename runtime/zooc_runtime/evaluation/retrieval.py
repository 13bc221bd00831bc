"""Recall@1 of embeddings: whether an image's nearest other image is of its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PackageError
from ..preprocessing.decode import ImageLike, describe
from ..support.arrays import AnyArray, F32Array
from .answered import answered
from .wilson import wilson_interval

if TYPE_CHECKING:
    from ..inference.model import Model

__all__ = ["RetrievalEvaluation", "embeddings_of"]

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


def embeddings_of(
    model: Model,
    paths: Sequence[ImageLike],
    folders: Sequence[str],
    result: RetrievalEvaluation,
    report: Callable[[RetrievalEvaluation], None] = lambda _: None,
) -> RetrievalEvaluation:
    """Run images through the model; unreadable ones are skipped and counted.

    Args:
        model: a package that gives embeddings.
        paths: the images.
        folders: their class folders.
        result: is filled in, and returned.
        report: called after every image.

    Raises:
        PackageError: an image that lies in no class folder; no two images of one class could be read.
    """
    loose = next((path for path, folder in zip(paths, folders, strict=True) if not folder), None)
    if loose is not None:
        name = describe(loose)
        raise PackageError(f"{name}: is not in a class folder; sort the images into one folder per class")
    with answered(paths, lambda images: model.pipeline.stream(model, images, None, "return")) as outcomes:
        for folder, outcome in zip(folders, outcomes, strict=True):
            if isinstance(outcome, PackageError):
                result.skipped.append(str(outcome))
            else:
                result.answers.append(outcome.probabilities)
                result.truth.append(folder)
            report(result)
    if max(Counter(result.truth).values(), default=0) < 2:
        reason = f"; the first that could not be read: {result.skipped[0]}" if result.skipped else ""
        raise PackageError(f"no class folder has two images to be compared{reason}")
    return result
