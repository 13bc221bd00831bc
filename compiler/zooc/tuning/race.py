"""Which of two is faster: timed in turn, decided by a bound on the median of the paired ratios.

The bound is that of the sign test: of `n` independent ratios, the `k`-th smallest lies below the median but
with the probability that a fair coin falls heads less than `k` times in `n`. It asks nothing of their
distribution, so that a machine that others use does not mislead it, only make it undecided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

__all__ = ["Clock", "Verdict", "compare_openings", "confidence_interval", "race"]

Clock = Callable[[Any], float]
"""Runs a competitor once and returns its seconds."""

_LOOKS = (8, 16, 32, 64)
"""Rounds after which it is seen whether the race is decided."""

_OPENINGS = 4
"""How often `compare_openings` opens both networks."""

_ALPHA = 0.005
"""Probability, at each look and side, that the interval lies beside the median."""

_ENOUGH = 16
"""Rounds after which a second network that is slower by the median is given up."""

_LONGEST = 10.0
"""Seconds after which a race ends at the next look, whatever was found."""

_SLACK = 0.01
"""Within which one of several engines counts as no slower."""

_CLOSE = 0.003
"""What is less than this much faster is not worth more rounds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a race ended; ratios of the first one's time to the second's, above 1: the second is faster.

    Attributes:
        ratio: the median over the rounds, of all engines together (geometric mean).
        low, high: what contains it but with a probability of one percent.
        rounds: how many.
        by_engine: the median for each engine.
        openings: the median for each time that both were opened anew, where they were.
    """

    ratio: float
    low: float
    high: float
    rounds: int
    by_engine: tuple[float, ...]
    openings: tuple[float, ...] = ()

    @property
    def spread(self) -> float:
        """By how much the openings differ from 1 (root mean square): for a network against itself, noise."""
        return math.sqrt(math.fsum((ratio - 1.0) ** 2 for ratio in self.openings) / len(self.openings))

    def is_faster(self, margin: float = 0.0) -> bool:
        """Tell whether the second is faster, by more than the margin, and slower in no engine."""
        return self.low > 1.0 + margin and min(self.by_engine) > 1.0 - max(margin, _SLACK)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "by_engine": list(self.by_engine), "openings": list(self.openings)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Verdict:
        """Return what `to_json` gave."""
        by_engine, openings = tuple(data["by_engine"]), tuple(data["openings"])
        return cls(**{**data, "by_engine": by_engine, "openings": openings})


def race(first: Sequence[Any], second: Sequence[Any], clock: Clock, margin: float = 0.0) -> Verdict:
    """Time two networks in turn until it is clear whether the second is faster by more than the margin.

    Args:
        first: for each engine what `clock` takes.
        second: likewise.
        clock: see `Clock`.
        margin: see `Verdict.is_faster`.
    """
    ratios: list[tuple[float, ...]] = []
    spent = 0.0
    for runner in (*first, *second):
        clock(runner)  # the first run allocates
    verdict = None
    for look in _LOOKS:
        while len(ratios) < look:
            times = _round(first, second, clock, swapped=bool(len(ratios) % 2))
            spent += math.fsum(a + b for a, b in times)
            ratios.append(tuple(a / b for a, b in times))
        verdict = _verdict(ratios)
        hopeless = verdict.high < 1.0 + max(margin, _CLOSE) or (look >= _ENOUGH and verdict.ratio < 1.0)
        decided = verdict.is_faster(margin) or hopeless
        if spent > _LONGEST or decided:
            break
    assert verdict is not None
    return verdict


def compare_openings(open_both: Callable[[], tuple[Sequence[Any], Sequence[Any]]], clock: Clock) -> Verdict:
    """Time two networks that are opened anew several times, where the ratio itself is wanted.

    Two sessions of one network differ, by how their memory lies; what one pair shows may be that.
    """
    ratios: list[tuple[float, ...]] = []
    openings = []
    for _ in range(_OPENINGS):
        first, second = open_both()
        for runner in (*first, *second):
            clock(runner)
        found: list[tuple[float, ...]] = []
        spent = 0.0
        while len(found) < _LOOKS[-1] // _OPENINGS and (spent < _LONGEST / _OPENINGS or len(found) < 2):
            times = _round(first, second, clock, swapped=bool(len(found) % 2))
            spent += math.fsum(a + b for a, b in times)
            found.append(tuple(a / b for a, b in times))
        openings.append(_verdict(found).ratio)
        ratios += found
    return replace(_verdict(ratios), openings=tuple(openings))


def confidence_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return what contains the median of a distribution but with a probability of one percent.

    With fewer than eight values that cannot be told, and it is the smallest and largest of them.
    """
    ordered, count = sorted(values), len(values)
    below, tail = 0, 0.0
    while below < count // 2:
        tail += math.comb(count, below) / 2.0**count
        if tail > _ALPHA:
            break
        below += 1
    below = max(below, 1)
    return ordered[below - 1], ordered[count - below]


def _round(
    first: Sequence[Any], second: Sequence[Any], clock: Clock, *, swapped: bool
) -> list[tuple[float, float]]:
    """One after the other in each engine; every other round the second goes first."""
    times = []
    for a, b in zip(first, second, strict=True):
        if swapped:
            of_b, of_a = clock(b), clock(a)
        else:
            of_a, of_b = clock(a), clock(b)
        times.append((of_a, of_b))
    return times


def _verdict(ratios: Sequence[tuple[float, ...]]) -> Verdict:
    together = [math.exp(math.fsum(map(math.log, row)) / len(row)) for row in ratios]
    low, high = confidence_interval(together)
    by_engine = tuple(median(column) for column in zip(*ratios, strict=True))
    return Verdict(median(together), low, high, len(ratios), by_engine)
