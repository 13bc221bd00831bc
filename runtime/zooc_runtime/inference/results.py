"""What a network says of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..package.heads import Head
from ..support.arrays import F32Array
from .shown import result_fields, result_html

__all__ = ["Prediction", "Result", "result_of"]


@dataclass(frozen=True)
class Prediction:
    """One class: its id, its name (the id as text in a package without labels), its probability."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Result:
    """What the network says of one image.

    Attributes:
        topk: the best classes, best first.
        probabilities: the graph's own, `float32 [classes]`; softmax is applied where it has no activation.
        predictions: the classes that the image has, best first: the best one; of a package compiled with
            `sigmoid` those whose probability is at least the threshold, which may be none.
        heads: of a package with a `heads` block each one's result, by name; `topk` and `predictions` are
            empty then, and `probabilities` are those of all heads in a row.
    """

    topk: tuple[Prediction, ...]
    probabilities: F32Array
    predictions: tuple[Prediction, ...] = ()
    heads: Mapping[str, Result] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        return result_html(self)

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:
        yield from result_fields(self)


def result_of(scores: F32Array, heads: tuple[Head, ...], count: int | None) -> Result:
    """Return the result of one image.

    Args:
        scores: what the graph gives, `float32 [scores]`.
        heads: the package's.
        count: how many classes to rank; each head's own number by default.
    """
    if heads[0].name:
        found = {head.name: _of_head(scores[head.part], head, count) for head in heads}
        return Result((), np.concatenate([one.probabilities for one in found.values()]), (), found)
    return _of_head(scores, heads[0], count)


def _of_head(scores: F32Array, head: Head, count: int | None) -> Result:
    if head.embeds:
        return Result((), scores)
    ranked = _predictions(head, head.ranked(scores, head.topk if count is None else count))
    return Result(ranked, head.probabilities(scores), _predictions(head, head.predicted(scores)))


def _predictions(head: Head, ranked: list[tuple[int, float]]) -> tuple[Prediction, ...]:
    return tuple(Prediction(index, head.label(index), probability) for index, probability in ranked)
