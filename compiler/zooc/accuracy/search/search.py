"""`calibrate auto`: the ranges with which the network's own output is closest to float's."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zooc.accuracy.search.candidates import METHODS
from zooc.accuracy.search.output_noise import HeldBack, Noise, Part, is_less, noise_db
from zooc.accuracy.search.trials import Trials
from zooc.calibration.ranges import Ranges

__all__ = ["SearchResult", "Step", "search_ranges"]


@dataclass(frozen=True, slots=True)
class Step:
    """A change that was accepted.

    Attributes:
        first, last: the first and the last tensor of those that were changed, in network order.
        tensors: how many scales.
        candidate: what their ranges are now.
        search_db, held_db: SQNR of the logits after it, on both parts of the images.
    """

    first: str
    last: str
    tensors: int
    candidate: str
    search_db: float
    held_db: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "first": self.first,
            "last": self.last,
            "scales": self.tensors,
            "candidate": self.candidate,
            "search_sqnr_db": _rounded(self.search_db),
            "held_sqnr_db": _rounded(self.held_db),
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        ranges: of all observed tensors.
        methods: SQNR of the logits by each method's whole network, on both parts, in decibels.
        start: the best of them on the part held back.
        held_db: the SQNR reached there.
        steps: what was changed since.
        trials: networks run after the methods'.
        search_images, held_images: how many images; 0 held ones where they were too few for two parts.
    """

    ranges: Ranges
    methods: Mapping[str, tuple[float, float]]
    start: str
    held_db: float
    steps: tuple[Step, ...]
    trials: int
    search_images: int
    held_images: int

    def in_words(self) -> str:
        """Return one line for summary and report."""
        before = self.methods[self.start][1]
        changes = f", {len(self.steps)} changes: {before:.1f} to" if self.steps else ":"
        where = f"on {self.held_images} images held back" if self.held_images else "on the images searched"
        return f"ranges by {self.start}{changes} {self.held_db:.1f} dB {where}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for manifests and `--format json`."""
        return {
            "methods": {
                name: {"search_sqnr_db": _rounded(search), "held_sqnr_db": _rounded(held)}
                for name, (search, held) in self.methods.items()
            },
            "start": self.start,
            "held_sqnr_db": _rounded(self.held_db),
            "steps": [step.to_json() for step in self.steps],
            "trials": self.trials,
            "search_images": self.search_images,
            "held_images": self.held_images,
        }


def search_ranges(
    trials: Trials,
    candidates: Mapping[str, Ranges],
    groups: Mapping[str, Sequence[str]],
    budget: int,
    images: HeldBack,
    on_trial: Callable[[int], None],
) -> SearchResult:
    """Return the best method's ranges, changed where another candidate makes the output's error smaller.

    All scales of the network, in its order, are a segment. In each segment every candidate is tried for all
    of its scales together; the best is taken if it lowers the error on the search part and on the part held
    back as well. Then the segment is halved, down to single scales. The segment in which candidates made the
    largest difference comes first, so that what affects the output most is looked at most closely. Equal
    inputs give equal results; the budget counts networks, not seconds.

    Args:
        trials: tries ranges.
        candidates: of `candidate_ranges`, `METHODS` among them.
        groups: the tensors that share a scale, by its name, in network order.
        budget: networks to be tried after the methods'.
        images: those of `trials`.
        on_trial: called with 1 after every network.
    """

    def noise(ranges: Ranges, part: Part) -> Noise:
        found = trials.noise(ranges, part)
        on_trial(1)
        return found

    tried = {name: (noise(candidates[name], "search"), noise(candidates[name], "held")) for name in METHODS}
    start = min(tried, key=lambda name: _mean(tried[name][1]))
    ranges, (search, held) = dict(candidates[start]), tried[start]
    names, steps, left = list(groups), list[Step](), budget
    # An effect is a share of the noise; the segments' places make the order unambiguous.
    waiting = [(-math.inf, 0, len(names))] if names else []
    while waiting and left > 0:
        _, first, end = heapq.heappop(waiting)
        changed = [tensor for name in names[first:end] for tensor in groups[name]]
        found: dict[str, tuple[Noise, Ranges]] = {}
        for name, every in candidates.items():
            other = ranges | {tensor: every[tensor] for tensor in changed}
            if left > 0 and other not in [ranges, *(known for _, known in found.values())]:
                found[name] = noise(other, "search"), other
                left -= 1
        if not found:
            continue
        best = min(found, key=lambda name: _mean(found[name][0]))
        effect = max(abs(_mean(other) - _mean(search)) for other, _ in found.values())
        if left > 0 and is_less(found[best][0], search):
            after = noise(found[best][1], "held")
            left -= 1
            if is_less(after, held):
                (search, ranges), held = found[best], after
                steps.append(
                    Step(names[first], names[end - 1], end - first, best, noise_db(search), noise_db(held))
                )
        if end - first > 1:
            middle = (first + end) // 2
            heapq.heappush(waiting, (-effect, first, middle))
            heapq.heappush(waiting, (-effect, middle, end))
    methods = {name: (noise_db(one), noise_db(two)) for name, (one, two) in tried.items()}
    searched = sum(map(len, images.search))
    kept = sum(map(len, images.held)) if images.apart else 0
    return SearchResult(ranges, methods, start, noise_db(held), tuple(steps), budget - left, searched, kept)


def _mean(noise: Noise) -> float:
    return float(noise.mean())


def _rounded(db: float) -> float:
    return round(min(db, 999.0), 2)
