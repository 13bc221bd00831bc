"""Precision, recall, F1 and average precision over images that have any number of classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..package.heads import Head
from ..support.arrays import AnyArray, F32Array
from .measurement import refuse_nothing, refuse_unknown

if TYPE_CHECKING:
    from ..inference.results import Result

__all__ = ["MultiLabelEvaluation", "average_precision"]


@dataclass
class MultiLabelEvaluation:
    """The probabilities so far, and the classes that the images really have.

    Attributes:
        head: whose classes they are; its threshold decides.
        answers: a row of probabilities, `float32 [classes]`, for each image that counts.
        truth: those images' class ids.
        skipped: a message for each image that does not count.
    """

    head: Head
    answers: list[F32Array] = field(default_factory=list)
    truth: list[frozenset[int]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def row(self, result: Result) -> AnyArray:
        """Return what counts of a result: the probabilities, float32 `[classes]`."""
        return result.probabilities[self.head.part]

    def add(self, path: str, truth: Iterable[int], row: AnyArray) -> None:
        """Take in an image's `row`; truth is the ids of the classes that it has. See `Measurement.add`."""
        ids = frozenset(truth)
        refuse_unknown(ids, self.head.classes)
        if row.shape != (self.head.classes,):
            raise ValueError(f"{row.size} scores, not {self.head.classes}")
        self.answers.append(row)
        self.truth.append(ids)

    def check(self) -> None:
        """Raise `PackageError` if no image could be read."""
        refuse_nothing(self.answers, self.skipped)

    def per_class(self) -> list[dict[str, Any]]:
        """Return each class's counts and rates.

        `{"id", "label", "images", "predicted", "correct", "precision", "recall", "f1", "average_precision"}`;
        rates in percent. As in scikit-learn, a rate of nothing (no image has the class, or none is said to)
        is 0; the average precision of a class that no image has is `None`.
        """
        wanted, found, scores = self._arrays()
        rows = []
        for index in range(self.head.classes):
            has, said = wanted[:, index], found[:, index]
            images, predicted, correct = int(has.sum()), int(said.sum()), int((has & said).sum())
            precision = average_precision(scores[:, index], has) if images else None
            rows.append(
                {
                    "id": index,
                    "label": self.head.label(index),
                    "images": images,
                    "predicted": predicted,
                    "correct": correct,
                    **_rates(images, predicted, correct),
                    "average_precision": None if precision is None else 100 * precision,
                }
            )
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return rates in percent, counts, a message for each image skipped, the table by class.

        `precision`, `recall` and `f1` are means over the classes that an image has or is said to have
        (macro); those of `micro` count all classes together. `map` is the mean of the average precisions,
        `all_right` the share of images all of whose classes are right.
        """
        wanted, found, _ = self._arrays()
        table = self.per_class()
        seen = [row for row in table if row["images"] or row["predicted"]]
        precisions = [row["average_precision"] for row in table if row["images"]]
        sums = [int(array.sum()) for array in (wanted, found, wanted & found)]
        return {
            **{name: _mean([row[name] for row in seen]) for name in ("precision", "recall", "f1")},
            "map": _mean(precisions),
            "micro": _rates(*sums),
            "all_right": 100 * float((wanted == found).all(axis=1).mean()) if len(wanted) else 0.0,
            "threshold": self.head.threshold,
            "images": len(self.answers),
            "skipped": self.skipped,
            "per_class": table,
        }

    def lines(self, *, table: bool = False) -> Iterator[str]:
        """Yield the result in words; the first line has the four rates."""
        document = self.to_json()
        yield (
            f"precision: {document['precision']:.3f} recall: {document['recall']:.3f} "
            f"f1: {document['f1']:.3f} map: {document['map']:.3f}"
        )
        yield f"{document['images']} images, {len(self.skipped)} skipped; threshold {self.head.threshold:g}"
        micro = document["micro"]
        yield (
            f"all classes together: precision {micro['precision']:.2f} %, recall {micro['recall']:.2f} %, "
            f"F1 {micro['f1']:.2f} %; every class right in {document['all_right']:.2f} % of the images"
        )
        if table:
            yield "   class  images  precision  recall      F1      AP  name"
            for row in document["per_class"]:
                average = row["average_precision"]
                yield (
                    f"  {row['id']:6d}  {row['images']:6d}  {row['precision']:9.2f}  {row['recall']:6.2f}  "
                    f"{row['f1']:6.2f}  {'     -' if average is None else f'{average:6.2f}'}  {row['label']}"
                )

    def _arrays(self) -> tuple[AnyArray, AnyArray, AnyArray]:
        """Which image has which class, which is said to, and the probabilities: all `[images, classes]`."""
        scores = np.array(self.answers, np.float32).reshape(-1, self.head.classes)
        wanted = np.zeros(scores.shape, np.bool_)
        for row, ids in zip(wanted, self.truth, strict=True):
            row[list(ids)] = True
        return wanted, scores >= self.head.threshold, scores


def average_precision(scores: AnyArray, positive: AnyArray) -> float:
    """Return the area under the precision-recall curve as a sum of steps, a share from 0 to 1.

    `sum_n (R_n - R_(n-1)) P_n` over the distinct scores from the greatest down, as scikit-learn's
    `average_precision_score` has it: precision is not interpolated, equal scores are one step.

    Args:
        scores: `[images]`.
        positive: which images have the class, bool `[images]`, at least one.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])
    last = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def _rates(images: int, predicted: int, correct: int) -> dict[str, float]:
    return {
        "precision": 100 * correct / max(predicted, 1),
        "recall": 100 * correct / max(images, 1),
        "f1": 200 * correct / max(images + predicted, 1),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
