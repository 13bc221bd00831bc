"""How a package runs: in which engine, with how many streams, threads and images at a time."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ..errors import PackageError
from .placement import DEFAULT, Placement

__all__ = ["HINTS", "Settings", "default_settings", "positive"]

HINTS = ("latency", "throughput")

_BATCH = 8
_ELSEWHERE = 2
"""Streams that keep another processor busy: one batch is computed while the next is brought."""


@dataclass(frozen=True)
class Settings:
    """What a model was loaded with.

    Attributes:
        engine: runs the body.
        streams: batches in the network at the same time, each brought by a thread of the caller's.
        threads: threads within a stream.
        batch: images that go through the network together.
        placement: the execution providers or the device that run the body.
    """

    engine: str
    streams: int
    threads: int
    batch: int
    placement: Placement = DEFAULT


def default_settings(
    engine: str,
    cores: int,
    hint: str | None = None,
    streams: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    placement: Placement = DEFAULT,
) -> Settings:
    """Return the settings where nothing was measured; what is given counts.

    Args:
        engine: the engine.
        cores: those that the process may use.
        hint: `latency` is one stream on all cores, `throughput` a stream a core, both one image at a time;
            without a hint images go through one stream in batches of 8. Elsewhere than on the CPU,
            `throughput` is two streams of batches of 8, and without a hint images go one by one where each
            batch takes as long as a full one.
        streams: see `Settings`.
        threads: see `Settings`.
        batch: see `Settings`.
        placement: see `Settings`.

    Raises:
        PackageError: an unknown hint, or a number below 1.
    """
    if hint is not None and hint not in HINTS:
        near = difflib.get_close_matches(str(hint), HINTS, 1)
        advice = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(HINTS)}"
        raise PackageError(f'unknown hint "{hint}"; {advice}')
    if streams is None:
        most = max(1, cores // positive("threads", threads or 1)) if placement.on_cpu else _ELSEWHERE
        streams = most if hint == "throughput" else 1
    else:
        positive("streams", streams)
    threads = max(1, cores // streams) if threads is None else positive("threads", threads)
    batch = _default_batch(hint, placement) if batch is None else positive("batch_size", batch)
    return Settings(engine, streams, threads, batch, placement)


def _default_batch(hint: str | None, placement: Placement) -> int:
    if placement.on_cpu:
        return 1 if hint else _BATCH
    alone = hint == "latency" or (hint is None and placement.fixed_batch)
    return 1 if alone else _BATCH


def positive(name: str, value: int) -> int:
    """Return `value`, if it is a whole number of at least 1.

    Raises:
        PackageError: it is not; `name` is the option's.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PackageError(f"{name} is {value!r}; a whole number of at least 1 is expected")
    return value
