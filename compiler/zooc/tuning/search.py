"""Regions switched to float and back, largest first, as long as that makes the network faster."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from zooc.support.progress import Progress
from zooc.tuning.race import Verdict
from zooc.tuning.regions import Region

__all__ = ["Bench", "Step", "Trials", "Tuned", "climb_by_time"]

Layers = frozenset[str]

_PASSES = 3
"""How often the regions are gone through; the second time is for what the first has changed."""

_WORSE_DB = 0.5
"""By how much the logits' signal-to-noise ratio may fall below that of the network by the rules."""


class Bench(Protocol):
    """What the search asks of the network and the machine; layers are those in float beside the rules'."""

    def integers(self, layers: Layers) -> Layers:
        """Return the nodes that compute in integers, their neighbours considered."""
        ...

    def compare(self, before: Layers, after: Layers) -> Verdict:
        """Time both in turn."""
        ...

    def sqnr_db(self, layers: Layers) -> float:
        """Return the logits' signal-to-noise ratio."""
        ...

    def is_over(self) -> bool:
        """Tell whether the time is up."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A switch that made the network faster.

    Attributes:
        region: what was switched.
        to_float: to float, or back to integers.
        layers: those that changed.
        verdict: of the network before to the one after.
    """

    region: str
    to_float: bool
    layers: tuple[str, ...]
    verdict: Verdict

    def in_words(self) -> str:
        """Return one line for notes and tables."""
        where = "float" if self.to_float else "integers"
        return f"{self.region} in {where}: {self.verdict.ratio:.3f} times as fast"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "region": self.region,
            "to": "float" if self.to_float else "integers",
            "layers": list(self.layers),
            "ratio": round(self.verdict.ratio, 4),
            "low": round(self.verdict.low, 4),
        }


@dataclass(frozen=True, slots=True)
class Tuned:
    """What the search found.

    Attributes:
        layers: those in float beside the rules'.
        steps: how it got there.
        finished: whether every region was tried.
    """

    layers: Layers
    steps: tuple[Step, ...]
    finished: bool


class Trials:
    """The verdicts so far, by what was compared: a tuning that was cut off takes them from here."""

    def __init__(self, done: dict[str, Any]) -> None:
        """Begin with those of an earlier run, as `done` had them then."""
        self.done = done

    def verdict(self, before: Layers, after: Layers, what: str = "") -> Verdict | None:
        """Return how it ended, `None` if it was not compared; `what` tells several comparisons apart."""
        found = self.done.get(what + _key(before, after))
        return None if found is None else Verdict.from_json(found)

    def keep(self, before: Layers, after: Layers, verdict: Verdict, what: str = "") -> None:
        """Note how it ended."""
        self.done[what + _key(before, after)] = verdict.to_json()


def climb_by_time(
    regions: Sequence[Region],
    bench: Bench,
    trials: Trials,
    margin: float,
    progress: Progress,
) -> Tuned:
    """Go through the regions, and keep each switch that is faster by more than the margin.

    A region that is partly in float is tried in float first, then in integers. A switch that leaves the
    logits more than half a decibel below the network by the rules is passed over.

    Args:
        regions: largest first.
        bench: see `Bench`.
        trials: verdicts of an earlier run, to which those of this one are added.
        margin: see `Verdict.is_faster`.
        progress: told what is going on.
    """
    climb = _Climb(bench, trials, margin, progress)
    for number in range(1, _PASSES + 1):
        before = climb.now
        with progress.track(f"regions, pass {number}", len(regions)) as advance:
            for region in regions:
                if not climb.try_region(region):
                    return Tuned(climb.now, tuple(climb.steps), finished=False)
                advance(1)
        if climb.now == before:
            break
    return Tuned(climb.now, tuple(climb.steps), finished=True)


class _Climb:
    def __init__(self, bench: Bench, trials: Trials, margin: float, progress: Progress) -> None:
        self._bench, self._trials, self._margin, self._progress = bench, trials, margin, progress
        self.now: Layers = frozenset()
        self.steps: list[Step] = []
        self._seen = {bench.integers(self.now)}
        self._least_db: float | None = None

    def try_region(self, region: Region) -> bool:
        """Try both ways to switch it; `False` where the time is up."""
        for after, to_float in _switched(self.now, frozenset(region.layers)):
            integers = self._bench.integers(after)
            if integers in self._seen:
                continue
            verdict = self._trials.verdict(self.now, after)
            if verdict is None:
                if self._bench.is_over():
                    return False
                verdict = self._bench.compare(self.now, after)
                self._trials.keep(self.now, after, verdict)
            self._seen.add(integers)
            if verdict.is_faster(self._margin) and self._is_exact(after):
                changed = tuple(name for name in region.layers if (name in self.now) != (name in after))
                self.steps.append(Step(region.what, to_float, changed, verdict))
                self._progress.note(self.steps[-1].in_words())
                self.now = after
                break
        return True

    def _is_exact(self, layers: Layers) -> bool:
        """Whether the logits are about as close to float's as by the rules."""
        if self._least_db is None:
            self._least_db = self._bench.sqnr_db(frozenset()) - _WORSE_DB
        return self._bench.sqnr_db(layers) >= self._least_db


def _switched(now: Layers, region: Layers) -> list[tuple[Layers, bool]]:
    to_float = [(now | region, True)] if region - now else []
    back = [(now - region, False)] if region & now else []
    return [*to_float, *back]


def _key(before: Layers, after: Layers) -> str:
    text = "\n".join([*sorted(before), "", *sorted(after)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
