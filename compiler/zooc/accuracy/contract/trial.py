"""One trial of a quantized body against float, image by image, until the contract's answer is clear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from zooc.accuracy.contract.images import ContractImages
from zooc.accuracy.contract.sequential_test import SequentialTest, Verdict
from zooc.ir.interface import input_of
from zooc.ir.session import open_session
from zooc_runtime.package.heads import Head, decisions_of
from zooc_runtime.support.arrays import fill_batch

__all__ = ["FloatAnswers", "Trial", "run_trial"]

Answer: TypeAlias = tuple[int, ...]
"""`decisions_of` an image: of a single class head its best class."""

_BATCH = 8
"""Images together where the network's batch is free; a test looks at them one by one all the same."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial saw.

    Attributes:
        verdict: whether the contract holds.
        drawn: images in the set.
        images: those looked at that counted.
        lost: right in float and wrong in int8; without labels, classified otherwise.
        won: wrong in float and right in int8; 0 without labels.
        right: right in float; `None` without labels.
        early: whether the answer was clear before the last image.
    """

    verdict: Verdict
    drawn: int
    images: int
    lost: int
    won: int
    right: int | None
    early: bool

    @property
    def drop(self) -> float:
        """The share lost so far: a share of `images`."""
        return (self.lost - self.won) / max(self.images, 1)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for manifests and `--format json`."""
        return {
            "holds": self.verdict == "holds",
            "drop": round(self.drop, 6),
            "images": self.images,
            "drawn": self.drawn,
            "lost": self.lost,
            "won": self.won,
            "float_right": self.right,
            "stopped_early": self.early,
        }


class FloatAnswers:
    """What the float body says of each image, found once and kept."""

    def __init__(self, body: onnx.ModelProto, heads: tuple[Head, ...]) -> None:
        """The session is opened when the first image comes."""
        self._body = body
        self.heads = heads
        self._runner: _Runner | None = None
        self._known: dict[int, Answer] = {}

    def of(self, indices: list[int], images: ContractImages) -> list[Answer]:
        """Return the answer to each of these usable images, decoded in full."""
        missing = [index for index in indices if index not in self._known]
        if missing:
            self._runner = self._runner or _Runner(self._body, self.heads)
            pixels = [found for index in missing if (found := images.exact_pixels(index)) is not None]
            self._known |= dict(zip(missing, self._runner.answers(pixels), strict=True))
        return [self._known[index] for index in indices]


def run_trial(
    images: ContractImages,
    answers: FloatAnswers,
    body: onnx.ModelProto,
    limit: float,
    alpha: float | None,
    on_images: Callable[[int], None] = lambda _count: None,
) -> Trial:
    """Look at the images in their order until the answer is clear.

    Args:
        images: the contract's.
        answers: the float body's.
        body: the quantized one.
        limit: the largest drop, a share.
        alpha: see `SequentialTest`; `None` looks at all images, however clear the answer.
        on_images: called with how many more have been looked at.

    Raises:
        ZoocError: Z0495, more than half of the images cannot be used.
    """
    runner = _Runner(body, answers.heads)
    test = SequentialTest(
        limit, len(images), least=-1.0 if images.truth is not None else 0.0, alpha=alpha or 1.0
    )
    seen = lost = won = right = 0
    for start in range(0, len(images), runner.batch):
        indices = list(range(start, min(start + runner.batch, len(images))))
        found = {index: pixels for index in indices if (pixels := images.pixels(index)) is not None}
        usable = list(found)
        first = dict(zip(usable, answers.of(usable, images), strict=True))
        second = dict(zip(usable, runner.answers(list(found.values())), strict=True))
        for index in indices:
            if index not in found:
                test.add(None)
                continue
            seen += 1
            loses, wins = _outcome(first[index], second[index], images.truth, index)
            lost, won = lost + loses, won + wins
            right += images.truth is not None and first[index] == (images.truth[index],)
            test.add(loses - wins)
            if alpha is not None and test.verdict is not None:
                break
        on_images(len(indices))
        if alpha is not None and test.verdict is not None:
            break
    counted = right if images.truth is not None else None
    if alpha is None:
        verdict: Verdict = "holds" if lost - won <= limit * seen + 1e-9 * len(images) else "fails"
        return Trial(verdict, len(images), seen, lost, won, counted, early=False)
    assert test.verdict is not None, "the last image decides"
    return Trial(test.verdict, len(images), seen, lost, won, counted, test.early)


def _outcome(first: Answer, second: Answer, truth: list[int] | None, index: int) -> tuple[int, int]:
    """Whether the image is lost, and whether it is won."""
    if truth is None:
        return int(first != second), 0
    was_right, is_right = first == (truth[index],), second == (truth[index],)
    return int(was_right and not is_right), int(is_right and not was_right)


class _Runner:
    """What a body says of a few images, filled up to the batch where that is fixed."""

    def __init__(self, body: onnx.ModelProto, heads: tuple[Head, ...]) -> None:
        self._heads = heads
        self._session = open_session(body)
        self._source = input_of(body).name
        self._fixed = input_of(body).sizes[0] or 0
        self.batch = self._fixed or _BATCH

    def answers(self, pixels: list[npt.NDArray[np.uint8]]) -> list[Answer]:
        if not pixels:
            return []
        batch = fill_batch(np.concatenate(pixels), self._fixed)
        logits = self._session.run(None, {self._source: batch})[0]
        return [tuple(row) for row in decisions_of(self._heads, logits[: len(pixels)]).tolist()]
