"""Top-1 and top-5 over images with known classes, and what the mistakes are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..support.arrays import AnyArray
from .ground_truth import Classes
from .measurement import refuse_nothing, refuse_unknown
from .wilson import wilson_interval

if TYPE_CHECKING:
    from ..inference.results import Result

__all__ = ["Answer", "Evaluation"]

_FIRST = 5


@dataclass(frozen=True)
class Answer:
    """The best class ids for an image, best first, and its true class id."""

    path: str
    truth: int
    ids: tuple[int, ...]


@dataclass
class Evaluation:
    """The answers so far. Hits are by class id: labels may repeat (ImageNet has two cranes).

    Attributes:
        classes: what is known of the classes, for their names.
        answers: of the images that count.
        skipped: a message for each image that does not.
        head: of a package with several heads, the one in question.
    """

    classes: Classes
    answers: list[Answer] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    head: str = ""

    def row(self, result: Result) -> AnyArray:
        """Return what counts of a result: the best class ids, int64 `[at most 5]`."""
        own = result.heads[self.head] if result.heads else result
        return np.array([one.index for one in own.topk], np.int64)

    def add(self, path: str, truth: int, row: AnyArray) -> None:
        """Take in an image's `row`; see `Measurement.add`."""
        ids = tuple(row.tolist())
        if not ids:
            raise ValueError("an answer without a class")
        refuse_unknown((truth, *ids), self.classes.count)
        self.answers.append(Answer(path, truth, ids))

    def check(self) -> None:
        """Raise `PackageError` if no image could be read."""
        refuse_nothing(self.answers, self.skipped)

    @property
    def top1(self) -> int:
        """Images whose best class is right."""
        return sum(one.ids[:1] == (one.truth,) for one in self.answers)

    @property
    def top5(self) -> int:
        """Images with the right class among the best five."""
        return sum(one.truth in one.ids[:_FIRST] for one in self.answers)

    @property
    def depth(self) -> int:
        """How many classes "the best five" are: fewer where the answers have fewer."""
        return min((len(one.ids[:_FIRST]) for one in self.answers), default=_FIRST)

    def per_class(self) -> list[dict[str, Any]]:
        """`{"id", "label", "images", "top1_rate", "top5_rate"}` of each class with images, in percent."""
        grouped: dict[int, list[Answer]] = defaultdict(list)
        for one in self.answers:
            grouped[one.truth].append(one)
        table = []
        for index in sorted(grouped):
            part = Evaluation(self.classes, grouped[index])
            table.append(
                {
                    "id": index,
                    "label": self.classes.label(index),
                    "images": len(part.answers),
                    "top1_rate": 100 * part.top1 / len(part.answers),
                    "top5_rate": 100 * part.top5 / len(part.answers),
                }
            )
        return table

    def confusions(self, count: int) -> list[dict[str, Any]]:
        """The commonest mistakes first: `{"truth", "truth_label", "answer", "answer_label", "images"}`."""
        pairs = Counter((one.truth, one.ids[0]) for one in self.answers if one.ids[0] != one.truth)
        worst = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:count]
        label = self.classes.label
        return [
            {"truth": t, "truth_label": label(t), "answer": a, "answer_label": label(a), "images": images}
            for (t, a), images in worst
        ]

    def to_json(self) -> dict[str, Any]:
        """Return rates and intervals in percent, counts, a message for each image skipped, the two tables."""
        total = len(self.answers)
        document: dict[str, Any] = {}
        for name, hits in (("top1", self.top1), ("top5", self.top5)):
            document[f"{name}_rate"] = 100 * hits / max(total, 1)
            document[f"{name}_interval"] = [100 * end for end in wilson_interval(hits, total)]
        return {
            **document,
            "images": total,
            "top1": self.top1,
            "top5": self.top5,
            "topk": self.depth,
            "skipped": self.skipped,
            "confusions": self.confusions(20),
            "per_class": self.per_class(),
        }

    def lines(self, *, table: bool = False) -> Iterator[str]:
        """Yield the result in words; the first line is that of Vastai's eval_topk."""
        document = self.to_json()
        yield f"top1_rate: {document['top1_rate']:.3f} top5_rate: {document['top5_rate']:.3f}"
        yield f"{document['images']} images, {len(self.skipped)} skipped"
        for name, words in (("top1", "top-1 correct"), ("top5", f"among the first {self.depth}")):
            low, high = document[f"{name}_interval"]
            yield f"{document[name]} {words} (95 % interval {low:.2f} to {high:.2f} %)"
        if worst := self.confusions(5):
            yield "commonest mistakes:"
            yield from (
                f"  {one['images']:5d}  {_named(one['truth'], one['truth_label'])} taken for "
                f"{_named(one['answer'], one['answer_label'])}"
                for one in worst
            )
        if table:
            yield "   class  images    top1    top5  name"
            for row in document["per_class"]:
                yield (
                    f"  {row['id']:6d}  {row['images']:6d}  {row['top1_rate']:6.2f}  "
                    f"{row['top5_rate']:6.2f}  {row['label']}"
                )


def _named(index: int, label: str) -> str:
    return str(index) if label == str(index) else f"{label} ({index})"
