"""What a network's scores mean: its heads, with their activation, threshold and class names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ..classes import parse_labels, softmax, top_k
from ..errors import PackageError
from ..support.arrays import AnyArray, F32Array
from .manifest import Manifest

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Head",
    "decisions_of",
    "heads_to_json",
    "label_files",
    "only_head",
    "read_heads",
    "refuse_embeddings",
]

Activation = Literal["none", "softmax", "sigmoid", "l2_normalize"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


@dataclass(frozen=True, slots=True)
class Head:
    """One part of what a network gives, `float32 [N, classes]`.

    Attributes:
        classes: how many scores it has; those of an embedding are its dimensions.
        name: of one head among several; empty for the only one.
        begin: where its scores begin among those of all heads.
        activation: what its scores go through at the end of the graph.
        threshold: the least probability, from 0 to 1, of a class that an image has; for a sigmoid only.
        topk: how many classes an answer ranks.
        labels: the classes' names, as many as `names` says; empty without names.
    """

    classes: int
    name: str = ""
    begin: int = 0
    activation: Activation = "none"
    threshold: float = 0.5
    topk: int = 5
    labels: tuple[str, ...] = ()

    @property
    def part(self) -> slice:
        """Where its scores are along the last axis."""
        return slice(self.begin, self.begin + self.classes)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several classes, or none."""
        return self.activation == "sigmoid" and not self.named_sides

    @property
    def named_sides(self) -> bool:
        """Whether its one score tells two named classes apart: the first below the threshold."""
        return self.activation == "sigmoid" and self.classes == 1 and len(self.labels) == 2

    @property
    def embeds(self) -> bool:
        """Whether it gives an embedding and no classes."""
        return self.activation == "l2_normalize"

    @property
    def names(self) -> int:
        """How many classes an answer may name: 2 for one score that tells two named classes apart."""
        return 2 if self.named_sides else self.classes

    def label(self, index: int) -> str:
        """Return a class's name, its id as text without labels."""
        return self.labels[index] if self.labels else str(index)

    def probabilities(self, scores: F32Array) -> F32Array:
        """Return the probabilities of this head's own scores, `float32 [..., classes]`.

        The graph has applied the activation already. Without one, softmax is applied here, but for a single
        score, which stays as it is.
        """
        return softmax(scores) if self.activation == "none" and self.classes > 1 else scores

    def ranked(self, scores: F32Array, count: int) -> list[tuple[int, float]]:
        """Return class ids and probabilities of one image, the best first.

        Ranked by the scores: the probabilities of very unlikely classes round to equal numbers.

        Args:
            scores: this head's, `float32 [classes]`.
            count: how many at most.
        """
        probabilities = self.probabilities(scores)
        if self.named_sides:
            positive = float(probabilities[0])
            first = self._is_positive(positive)
            return [(1, positive), (0, 1.0 - positive)][:: 1 if first else -1][:count]
        return [(index, float(probabilities[index])) for index in top_k(scores, count)]

    def predicted(self, scores: F32Array) -> list[tuple[int, float]]:
        """Return the classes that one image has, best first: the best one, or all from the threshold up."""
        if not self.multi_label:
            return self.ranked(scores, 1)
        return [one for one in self.ranked(scores, self.classes) if self._is_positive(one[1])]

    def decisions(self, logits: AnyArray) -> AnyArray:
        """Return integer rows, one an image, that are equal where this head says the same of two images.

        Args:
            logits: of all heads, before any activation, `[N, scores]`.

        Returns:
            `int64 [N, 1]`, the best class; of a sigmoid `[N, classes]`, 1 for the classes from the threshold
            up; of an embedding `[N, 0]`.
        """
        own = logits[:, self.part]
        if self.embeds:
            return np.zeros((len(own), 0), np.int64)
        if self.activation == "sigmoid":
            with np.errstate(over="ignore"):
                probabilities = 1.0 / (1.0 + np.exp(-own.astype(np.float64)))
            return np.asarray(probabilities >= self.threshold, np.int64)
        return np.asarray(own.argmax(axis=-1)[:, None], np.int64)

    def _is_positive(self, probability: float) -> bool:
        return probability >= self.threshold


def decisions_of(heads: tuple[Head, ...], logits: AnyArray) -> AnyArray:
    """Return what all heads say of each image: their `decisions` side by side, `int64 [N, n]`."""
    return np.concatenate([head.decisions(logits) for head in heads], axis=1)


def label_files(heads: tuple[Head, ...]) -> dict[str, tuple[str, ...]]:
    """Return the names of the files for the heads' labels, with what is in them."""
    names = _label_names(heads)
    return {name: head.labels for name, head in zip(names, heads, strict=True) if name is not None}


def heads_to_json(heads: tuple[Head, ...]) -> dict[str, Any]:
    """Return `postprocess` of a manifest: the only head's entries, or `{"heads": [...]}`."""
    entries = [_to_json(head, name) for head, name in zip(heads, _label_names(heads), strict=True)]
    if not heads[0].name:
        return entries[0]
    return {
        "heads": [
            {"name": head.name, "classes": head.classes, **entry}
            for head, entry in zip(heads, entries, strict=True)
        ]
    }


def _label_names(heads: tuple[Head, ...]) -> list[str | None]:
    several = bool(heads[0].name)
    return [
        (f"labels_{index}.txt" if several else "labels.txt") if head.labels else None
        for index, head in enumerate(heads)
    ]


def _to_json(head: Head, labels: str | None) -> dict[str, Any]:
    threshold = {"threshold": head.threshold} if head.activation == "sigmoid" else {}
    return {"activation": head.activation, **threshold, "topk": head.topk, "labels": labels}


def read_heads(manifest: Manifest) -> tuple[Head, ...]:
    """Return a package's heads with their labels.

    Raises:
        PackageError: a list of labels of another length, or a changed file.
    """
    post, begin = manifest["postprocess"], 0
    heads: list[Head] = []
    for entry in post.get("heads", [post]):
        head = _read_head(manifest, entry, begin)
        heads.append(head)
        begin += head.classes
    return tuple(heads)


def _read_head(manifest: Manifest, entry: dict[str, Any], begin: int) -> Head:
    classes = int(entry.get("classes", manifest["model"]["classes"]))
    # Packages of zooc 0.1 say only whether there is a softmax.
    activation: Activation = entry.get("activation") or ("softmax" if entry.get("softmax") else "none")
    labels: tuple[str, ...] = ()
    if name := entry["labels"]:
        text = manifest.read(name).decode("utf-8")
        sides = activation == "sigmoid" and classes == 1 and text.count("\n") == 2
        labels = parse_labels(text, 2 if sides else classes, name)
    return Head(
        classes=classes,
        name=str(entry.get("name", "")),
        begin=begin,
        activation=activation,
        threshold=float(entry.get("threshold", 0.5)),
        topk=int(entry["topk"]),
        labels=labels,
    )


def refuse_embeddings(name: str, heads: tuple[Head, ...]) -> None:
    """Raise `PackageError` if the package `name` gives embeddings, where classes are wanted."""
    if heads[0].embeds:
        raise PackageError(f"{name} gives embeddings and knows no classes; in Python call embed(images)")


def only_head(heads: tuple[Head, ...], name: str | None, source: str) -> Head:
    """Return the head of that name, or the only one.

    Args:
        heads: a package's.
        name: what the user asked for, `None` for nothing.
        source: the package's name, for the message.

    Raises:
        PackageError: no such head, or several and none was asked for.
    """
    if name is None and len(heads) == 1:
        return heads[0]
    for head in heads:
        if name is not None and head.name == name:
            return head
    known = ", ".join(_names(heads)) or "a single one without a name"
    if name is None:
        raise PackageError(f"{source} has several heads: {known}; choose one with --head")
    raise PackageError(f"{source} has no head {name!r}; its heads: {known}")


def _names(heads: tuple[Head, ...]) -> Iterator[str]:
    return (head.name for head in heads if head.name)
