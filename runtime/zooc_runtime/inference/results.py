"""What a network says of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

import numpy as np

from ..package.heads import Head
from ..support.arrays import F32Array

__all__ = ["Prediction", "Result", "result_of"]

_LEFT = ' style="text-align:left"'


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
        """Return the tables that a notebook shows. Labels come from files, and are escaped."""
        return _html(self)

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:
        yield from _fields(self)


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


def _html(result: Result) -> str:
    """Return tables of the classes of one image, one a head; embeddings as their number of dimensions."""
    if result.heads:
        return "".join(f"<p>{escape(name)}</p>{_html(one)}" for name, one in result.heads.items())
    if not result.topk:
        return f"<p>an embedding of {result.probabilities.size} dimensions</p>"
    chosen = {one.index for one in result.predictions}
    rows = [(one, one.index in chosen) for one in result.topk]
    body = "".join(_row(one, bold=bold) for one, bold in rows)
    head = f"<tr><th>id</th><th{_LEFT}>class</th><th>probability</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row(one: Prediction, *, bold: bool) -> str:
    label = f"<b>{escape(one.label)}</b>" if bold else escape(one.label)
    return f"<tr><td>{one.index}</td><td{_LEFT}>{label}</td><td>{one.probability:.1%}</td></tr>"


def _fields(result: Result) -> Iterator[tuple[str, object]]:
    """Yield what rich prints: the answers, and the shape of the scores instead of all of them."""
    if result.heads:
        yield "heads", dict(result.heads)
        return
    yield "topk", [(one.label, round(one.probability, 4)) for one in result.topk]
    if result.predictions != result.topk[:1]:
        yield "predictions", [one.label for one in result.predictions]
    yield "probabilities", f"float32 [{result.probabilities.size}]"
