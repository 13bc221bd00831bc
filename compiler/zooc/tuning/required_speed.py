"""Whether a body is as fast as required: in every engine that counts, timed in turn until that is clear."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import onnx

from zooc.deployment import SpeedRequirement
from zooc.ir.interface import input_of
from zooc.tuning.race import confidence_interval
from zooc.tuning.runners import Runner, seconds_of
from zooc_runtime.errors import PackageError
from zooc_runtime.inference.cpu import available_cores, cpu_name

__all__ = ["NOISY", "Measured", "Open", "SpeedResult", "Way", "measure_required", "open_timed"]

_LOOKS = (8, 16, 32, 64)
"""Rounds after which it is seen whether all is clear."""

_LONGEST = 20.0
"""Seconds of rounds after which the next look is the last."""

_STEADY = 0.05
"""Where the rounds spread no more than this about the limit, their median decides."""


NOISY = 0.5
"""A spread that is not a network's own."""

_FAR = 1.5
"""How many times as fast as the best round the limit is where rounds that spread end early."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run a body, one image at a time or, where its batch is fixed, one batch.

    Attributes:
        threads: within a stream; `None` for as many as there are cores to it.
    """

    engine: str
    streams: int = 1
    threads: int | None = None

    def __str__(self) -> str:
        """In words."""
        streams = "1 stream" if self.streams == 1 else f"{self.streams} streams"
        threads = "" if self.threads is None else f", threads={self.threads}"
        return f"{self.engine} ({streams}{threads})"


Open = Callable[[onnx.ModelProto, Way], Callable[[], float]]
"""Opens a body; what it returns runs the body once in every stream and returns the seconds.

Raises PackageError where the engine refuses the body.
"""


def open_timed(body: onnx.ModelProto, way: Way) -> Callable[[], float]:
    """Open a body as a package does; see `Open`."""
    runner = Runner(body, way.engine, "latency", available_cores(), way.streams, way.threads)
    return lambda: seconds_of(runner, "wall")


@dataclass(frozen=True, slots=True)
class Measured:
    """How one engine does what one requirement asks for.

    Attributes:
        dtype: of the body.
        way: of several numbers of streams the fastest.
        value: median of the rounds, in the requirement's unit.
        low, high: what contains the median but with a probability of one percent.
        best: the round that was disturbed least.
        verdict: `holds` where the median does, and `fails` where no round does; between the two what the
            median says, or `unclear` where the rounds spread too much.
    """

    requirement: SpeedRequirement
    dtype: str
    way: Way
    value: float
    low: float
    high: float
    best: float
    rounds: int
    verdict: Literal["holds", "fails", "unclear"]

    @property
    def figure(self) -> float:
        """What is larger for what is better."""
        return self.requirement.sense * self.value

    @property
    def spread(self) -> float:
        """From the best round to the far end of the median's interval, as a share."""
        ends = (self.low, self.high, self.best)
        return max(ends) / min(ends) - 1.0

    def in_words(self) -> str:
        """Return one line."""
        unit = self.requirement.with_unit
        return (
            f"{self.dtype} in {self.way}: {unit(self.value)} "
            f"({unit(self.low)} to {unit(self.high)}, the best of {self.rounds} rounds {unit(self.best)})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "quantity": self.requirement.quantity,
            "limit": self.requirement.limit,
            "dtype": self.dtype,
            "engine": self.way.engine,
            "streams": self.way.streams,
            "threads": self.way.threads,
            "value": float(f"{self.value:.4g}"),
            "low": float(f"{self.low:.4g}"),
            "high": float(f"{self.high:.4g}"),
            "best": float(f"{self.best:.4g}"),
            "rounds": self.rounds,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class SpeedResult:
    """Requirements that hold.

    Attributes:
        asked_for: the description's data type.
        held: for each requirement the first engine that holds it.
        measured: all that was timed.
    """

    asked_for: str
    held: tuple[Measured, ...]
    measured: tuple[Measured, ...]

    @property
    def dtype(self) -> str:
        """The data type with which all of them hold."""
        return self.held[0].dtype

    def in_words(self, *, figures: bool = True) -> list[str]:
        """Return lines for summary and report; without figures they are the same from compile to compile."""
        instead = "" if self.dtype == self.asked_for else f"; {self.asked_for} does not hold it"
        return [
            f"{one.requirement} held by {one.dtype} in "
            + (f"{one.way}: {one.requirement.with_unit(one.value)}" if figures else one.way.engine)
            + instead
            for one in self.held
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `--format json`."""
        return {
            "machine": cpu_name(),
            "cores": available_cores(),
            "asked_for": self.asked_for,
            "dtype": self.dtype,
            "held": [one.to_json() for one in self.held],
            "measured": [one.to_json() for one in self.measured],
        }

    def choice(self) -> dict[str, Any]:
        """Return what was chosen, without figures, for the manifest."""
        return {
            "asked_for": self.asked_for,
            "dtype": self.dtype,
            **{
                one.requirement.quantity: {
                    "limit": one.requirement.limit,
                    "engine": one.way.engine,
                    "threads": one.requirement.threads,
                    "streams": one.requirement.streams,
                }
                for one in self.held
            },
        }


def measure_required(
    body: onnx.ModelProto,
    dtype: str,
    wanted: Mapping[SpeedRequirement, Sequence[str]],
    cores: int,
    open_body: Open,
    refused: dict[str, str],
) -> list[Measured]:
    """Time a body in turn in all ways that count, and return what each engine does for each requirement.

    Args:
        body: what is timed.
        dtype: its data type.
        wanted: for each requirement the engines in question.
        cores: those that the process may use.
        open_body: see `Open`.
        refused: gets the engines that refuse the body, with their reasons.
    """
    ways = {
        (requirement, engine): [
            Way(engine, streams, requirement.threads) for streams in _streams(requirement, cores)
        ]
        for requirement, engines in wanted.items()
        for engine in engines
    }
    opened: dict[Way, Callable[[], float]] = {}
    for way in dict.fromkeys(way for several in ways.values() for way in several):
        if way.engine in refused:
            continue
        try:
            opened[way] = open_body(body, way)
        except PackageError as problem:
            refused[way.engine] = str(problem)
    seconds: dict[Way, list[float]] = {way: [] for way in opened if way.engine not in refused}
    images = input_of(body).batch or 1
    found: list[Measured] = []
    for look in _LOOKS if seconds else ():
        while any(len(taken) < look for taken in seconds.values()):
            order = list(seconds)
            for way in order if len(seconds[order[0]]) % 2 else reversed(order):
                seconds[way].append(opened[way]())
        found = [
            max(
                (_judge(requirement, dtype, way, seconds[way], images) for way in several),
                key=lambda one: one.figure,
            )
            for (requirement, engine), several in ways.items()
            if engine not in refused
        ]
        spent = math.fsum(math.fsum(taken) for taken in seconds.values())
        if spent > _LONGEST or all(_is_clear(one) for one in found):
            break
    return found


def _streams(requirement: SpeedRequirement, cores: int) -> Iterable[int]:
    """The numbers of streams to try."""
    if requirement.streams is not None:
        return (requirement.streams,)
    if requirement.quantity == "latency":
        return (1,)
    most = max(1, cores // (requirement.threads or 1))
    return sorted({1, max(1, most // 2), most})


def _judge(
    requirement: SpeedRequirement, dtype: str, way: Way, seconds: Sequence[float], images: int
) -> Measured:
    is_time = requirement.quantity == "latency"
    values = [1e3 * taken if is_time else way.streams * images / taken for taken in seconds]
    low, high = confidence_interval(values)
    best = min(values) if is_time else max(values)
    value = median(values)
    found = Measured(requirement, dtype, way, value, low, high, best, len(values), "unclear")
    if _median_holds(found) or not requirement.allows(best) or found.spread <= _STEADY:
        return replace(found, verdict="holds" if requirement.allows(value) else "fails")
    return found


def _median_holds(one: Measured) -> bool:
    return one.requirement.allows(one.low) and one.requirement.allows(one.high)


def _is_clear(one: Measured) -> bool:
    """Whether more rounds would hardly change the verdict, even if they were less disturbed."""
    if _median_holds(one):
        return True
    likely = one.best if one.spread <= _STEADY else one.best * _FAR**one.requirement.sense
    return not one.requirement.allows(likely)
